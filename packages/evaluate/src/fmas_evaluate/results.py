"""What an evaluation returns: numbers that know how they came about."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, SupportsFloat

from fmas_evaluate.counts import DefectCounts
from fmas_evaluate.errors import InvalidInput
from fmas_evaluate.regions import CONNECTIVITY

__all__ = ["METRICS", "ROUNDING", "Evaluation", "Result", "aupro_name", "result_of"]

METRICS: Final = ("image_auroc", "pixel_auroc", "average_precision", "f1_max", "aupro")
"""The metrics of every evaluation, in the order they are shown."""


ROUNDING: Final = 2.0**-30
"""Bounds as close as this, about 1e-9, differ by what sums of floats round off, not by what is unknown."""


class Result(float):
    """One metric: a float that carries its certified bounds and what it was computed from.

    It compares, formats, pickles and serialises as the float it is.
    """

    __slots__ = ("_about", "_bounds", "_limit", "_threshold")

    _about: tuple[int, int, int, int, str]
    _bounds: tuple[float, float]
    _limit: float | None
    _threshold: float | None

    def __new__(
        cls,
        value: SupportsFloat,
        *,
        lower: float | None = None,
        upper: float | None = None,
        n_images: int = 0,
        n_regions: int = 0,
        n_pixels: int = 0,
        connectivity: int = CONNECTIVITY,
        limit: float | None = None,
        threshold: float | None = None,
        version: str | None = None,
    ) -> Result:
        """Wrap a value; a bound that is left out equals it."""
        result = super().__new__(cls, value)
        exact = float(value)
        result._bounds = (exact if lower is None else float(lower), exact if upper is None else float(upper))
        result._about = (
            int(n_images),
            int(n_regions),
            int(n_pixels),
            int(connectivity),
            version or _installed_version(),
        )
        result._limit = None if limit is None else float(limit)
        result._threshold = None if threshold is None else float(threshold)
        return result

    @property
    def value(self) -> float:
        """The metric as a plain float."""
        return float(self)

    @property
    def lower(self) -> float:
        """Certified lower bound; where the value is exact, the value itself or what rounding can make of it."""
        return self._bounds[0]

    @property
    def upper(self) -> float:
        """Certified upper bound; where the value is exact, the value itself or what rounding can make of it."""
        return self._bounds[1]

    @property
    def exact(self) -> bool:
        """Whether the bounds leave nothing open but rounding (an undefined metric is exact, too)."""
        return self.upper - self.lower <= ROUNDING or math.isnan(self)

    @property
    def n_images(self) -> int:
        """Images that were read."""
        return self._about[0]

    @property
    def n_regions(self) -> int:
        """Defect regions in all images."""
        return self._about[1]

    @property
    def n_pixels(self) -> int:
        """Pixels in all images, defect and normal."""
        return self._about[2]

    @property
    def connectivity(self) -> int:
        """8: pixels that touch at an edge or a corner belong to one region."""
        return self._about[3]

    @property
    def version(self) -> str:
        """Version of ``fmas-evaluate`` that computed the value."""
        return self._about[4]

    @property
    def limit(self) -> float | None:
        """Upper end of the FPR range that PRO integrates over; ``None`` for other metrics."""
        return self._limit

    @property
    def threshold(self) -> float | None:
        """Score at which F1 is largest (a pixel at or above it counts as defect); ``None`` for other metrics."""
        return self._threshold

    def as_dict(self) -> dict[str, Any]:
        """Return value, bounds and origin under the names of the attributes; what does not apply is left out."""
        content: dict[str, Any] = {"value": self.value, "lower": self.lower, "upper": self.upper}
        content |= {"n_images": self.n_images, "n_regions": self.n_regions, "n_pixels": self.n_pixels}
        content |= {"connectivity": self.connectivity, "version": self.version}
        if self.limit is not None:
            content["limit"] = self.limit
        if self.threshold is not None:
            content["threshold"] = self.threshold
        return content

    def __repr__(self) -> str:
        parts = [repr(self.value)]
        if not self.exact:
            parts.append(f"lower={self.lower!r}, upper={self.upper!r}")
        if self.limit is not None:
            parts.append(f"limit={self.limit!r}")
        if self.threshold is not None:
            parts.append(f"threshold={self.threshold!r}")
        parts.append(f"n_images={self.n_images}, n_regions={self.n_regions}, n_pixels={self.n_pixels}")
        return f"Result({', '.join(parts)})"

    # A float's str is its repr: printing and f-strings show the number alone.
    def __str__(self) -> str:
        return repr(self.value)

    def __getnewargs_ex__(self) -> tuple[tuple[float], dict[str, Any]]:
        content = self.as_dict()
        return (content.pop("value"),), content

    def __getstate__(self) -> None:
        """All state travels through the constructor's arguments."""


def _installed_version() -> str:
    """Return the package's version; asked late, because the package itself imports this module."""
    from fmas_evaluate import __version__

    return __version__


def result_of(
    value: float, counts: DefectCounts, *, limit: float | None = None, threshold: float | None = None
) -> Result:
    """Return an exact result with the numbers of images, regions and pixels of its counts."""
    return Result(
        value,
        n_images=counts.n_images,
        n_regions=counts.n_regions,
        n_pixels=counts.n_pixels,
        limit=limit,
        threshold=threshold,
    )


def aupro_name(limit: float, first: float) -> str:
    """Return the key of a PRO value: ``aupro`` for the first limit asked for, ``aupro@0.05`` for another."""
    return "aupro" if limit == first else f"aupro@{limit!r}"


# Compared as the mapping it is, and like other mappings without a hash.
@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Evaluation(Mapping[str, Result]):
    """The metrics of one evaluation, by name and as attributes, in a fixed order.

    Attributes:
        results: The metrics by name: ``image_auroc, pixel_auroc, average_precision, f1_max, aupro`` and, for every
            further limit, ``aupro@0.05``.
    """

    results: Mapping[str, Result]
    _order: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        missing = [name for name in METRICS if name not in self.results]
        if missing:
            raise InvalidInput(
                f"expected results for {', '.join(METRICS)}, got none for {', '.join(missing)}; pass nan for a "
                "metric that is not defined"
            )
        further = [name for name in self.results if name not in METRICS]
        object.__setattr__(self, "_order", (*METRICS, *further))
        object.__setattr__(self, "results", {name: self.results[name] for name in self._order})

    def __getitem__(self, name: str) -> Result:
        return self.results[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._order)

    def __len__(self) -> int:
        return len(self._order)

    def __repr__(self) -> str:
        return f"Evaluation({', '.join(f'{name}={value.value!r}' for name, value in self.items())})"

    @property
    def image_auroc(self) -> Result:
        """Chance that a defective image scores higher than a good one."""
        return self.results["image_auroc"]

    @property
    def pixel_auroc(self) -> Result:
        """Chance that a defect pixel scores higher than a normal one."""
        return self.results["pixel_auroc"]

    @property
    def average_precision(self) -> Result:
        """Precision averaged over the recall steps, pixel by pixel."""
        return self.results["average_precision"]

    @property
    def f1_max(self) -> Result:
        """Largest F1 over all thresholds; ``.threshold`` says where."""
        return self.results["f1_max"]

    @property
    def aupro(self) -> Result:
        """Per-region overlap, averaged over false-positive rates up to the first limit."""
        return self.results["aupro"]

    def as_dict(self) -> dict[str, Any]:
        """Return plain numbers for JSON: every metric at top level, then what they were computed from.

        Metrics that are not exact have their bounds under ``certified``, as ``{name: [lower, upper]}``; an undefined
        metric is ``nan`` (write it as ``null`` where strict JSON is needed).
        """
        content: dict[str, Any] = {name: value.value for name, value in self.items()}
        any_pixel = self.aupro
        content |= {"n_images": any_pixel.n_images, "n_regions": any_pixel.n_regions, "n_pixels": any_pixel.n_pixels}
        content |= {"f1_max_threshold": self.f1_max.threshold, "aupro_limit": self.aupro.limit}
        content |= {"connectivity": any_pixel.connectivity, "version": any_pixel.version}
        certified = {name: [value.lower, value.upper] for name, value in self.items() if not value.exact}
        if certified:
            content["certified"] = certified
        return content
