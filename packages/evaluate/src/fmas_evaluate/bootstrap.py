"""How far a measure would move with other images of the same kind: percentile bootstrap intervals over images.

Images, not pixels, are the independent observations: the pixels of one image share its part, its light and its defect.
Each replicate therefore draws as many images as there are, with replacement, good and defective images on their own, so
that every replicate has the same number of both (Efron and Tibshirani 1993, "An Introduction to the Bootstrap",
chapters 13 and 8). The interval holds the middle ``level`` share of the replicates' values. It speaks of the images
drawn, not of another training run.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fmas_evaluate.auroc import auroc_of_images
from fmas_evaluate.errors import InvalidInput, InvalidType
from fmas_evaluate.inputs import Maps, Masks
from fmas_evaluate.limits import checked_limit
from fmas_evaluate.measures import auroc, average_precision, f1_max, pro
from fmas_evaluate.results import METRICS
from fmas_evaluate.samples import Sample, count_samples, take_apart
from fmas_evaluate.undefined import missing_images, missing_pixels, warn
from fmas_evaluate.weighted import CellTable, weighted_image_auroc, weighted_measures

__all__ = [
    "HISTOGRAM_CELLS",
    "METHODS",
    "Interval",
    "Intervals",
    "bootstrap",
    "checked_plan",
    "image_weights",
    "measure",
    "missing",
    "replicate",
]

METHODS: Final = ("histogram", "exact")
HISTOGRAM_CELLS: Final = 12288
"""Cells of ``method="histogram"``: replicates within 1e-4 of the exact ones (``benchmarks/bench_bootstrap.py``)."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A measure with its bootstrap interval.

    Attributes:
        value: The measure of the images themselves, exact; NaN if it is not defined.
        lower: Lower end of the interval.
        upper: Upper end of the interval.
        level: Share of the replicates inside, such as 0.95.
        standard_error: Standard deviation of the replicates.
        replicates: ``(R,)`` the measure of every replicate; NaN where it is not defined.
        n_undefined: Replicates that are NaN; they are left out of the interval.
    """

    value: float
    lower: float
    upper: float
    level: float
    standard_error: float
    replicates: Floats
    n_undefined: int

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.lower:.4f}, {self.upper:.4f}]"


class Intervals(Mapping[str, Interval]):
    """Intervals by name of the measure; read-only.

    Attributes:
        n_images: Number of images.
        seed: Seed of the draws: the same seed and images give the same intervals.
        method: ``"histogram"`` or ``"exact"``.
    """

    __slots__ = ("_rows", "method", "n_images", "seed")

    def __init__(self, rows: Mapping[str, Interval], *, n_images: int, seed: int, method: str) -> None:
        self._rows = dict(rows)
        self.n_images = n_images
        self.seed = seed
        self.method = method

    def __getitem__(self, name: str) -> Interval:
        return self._rows[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"Intervals({', '.join(f'{name}={row}' for name, row in self._rows.items())})"

    def as_dict(self) -> dict[str, dict[str, float | int]]:
        """Return the numbers by name of the measure, without the replicates."""
        return {
            name: {
                "value": row.value,
                "lower": row.lower,
                "upper": row.upper,
                "level": row.level,
                "standard_error": row.standard_error,
                "n_replicates": row.replicates.size,
                "n_undefined": row.n_undefined,
            }
            for name, row in self._rows.items()
        }


def bootstrap(
    maps: Maps,
    masks: Masks,
    *,
    labels: ArrayLike | None = None,
    image_scores: ArrayLike | None = None,
    metrics: Sequence[str] = METRICS,
    max_fpr: float = 0.3,
    replicates: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    method: str = "histogram",
    stratified: bool = True,
) -> Intervals:
    """Compute percentile intervals of the measures by resampling images.

    Args:
        maps: Score maps, ``(N, H, W)`` or an iterable of ``(H, W)``; larger is more anomalous.
        masks: Defect masks of the same sizes; ``None`` for an image without a defect.
        labels: ``(N,)`` bool, ``True`` marks a defective image; by default, whether its mask marks a pixel.
        image_scores: ``(N,)`` one score per image; by default, the map's maximum.
        metrics: Which measures, in this order.
        max_fpr: Upper end of the FPR range that PRO integrates over, in ``(0, 1]``.
        replicates: Number of replicates, at least 1.
        level: Share of the replicates inside the interval, in ``(0, 1)``.
        seed: Seed of the draws.
        method: ``"exact"``: a replicate equals the measure of the drawn images. ``"histogram"``: scores are quantised
            to about 12,000 steps, which moves a replicate by less than 1e-4; many times faster.
        stratified: Draw good and defective images on their own; ``False`` draws from all.

    Returns:
        One ``Interval`` per measure.

    Raises:
        InvalidInput: For an unknown measure or method, or a number outside its range, or unusable images.
        InvalidType: For maps, masks or labels of the wrong kind.

    Examples:
        >>> rng = np.random.default_rng(0)
        >>> masks = np.zeros((8, 16, 16), dtype=bool)
        >>> masks[::2, 4:8, 4:8] = True
        >>> interval = bootstrap(rng.normal(masks, 1.0), masks, replicates=200)["pixel_auroc"]
        >>> interval.lower < interval.value < interval.upper
        True
    """
    checked_plan(metrics=metrics, max_fpr=max_fpr, replicates=replicates, level=level, method=method, seed=seed)
    samples = take_apart(maps, masks, labels=labels, image_scores=image_scores)
    weights = image_weights(samples, replicates, seed=seed, stratified=stratified)
    drawn = replicate(samples, weights, metrics=metrics, max_fpr=max_fpr, method=method)
    values = measure(samples, metrics=metrics, max_fpr=max_fpr)
    warn(*missing(samples, metrics))
    rows = {name: _interval(values[name], drawn[name], level) for name in metrics}
    return Intervals(rows, n_images=len(samples), seed=seed, method=method)


def checked_plan(
    *,
    metrics: Sequence[str],
    max_fpr: float,
    replicates: int,
    level: float,
    method: str,
    seed: int = 0,
    methods: Sequence[str] = METHODS,
) -> None:
    """Refuse unknown names and numbers outside their range.

    Raises:
        InvalidInput: Saying which argument, its value and what is possible.
        InvalidType: For replicates or a seed that are no integers, or a level that is no number.
    """
    given: tuple[tuple[str, object, type, str], ...] = (
        ("replicates", replicates, Integral, "an integer"),
        ("seed", seed, Integral, "an integer"),
        ("level", level, Real, "a number"),
    )
    for name, value, kind, wanted in given:
        if isinstance(value, bool) or not isinstance(value, kind):
            raise InvalidType(f"expected {name} as {wanted}, got {value!r}; {name} is {_MEANING[name]}")
    unknown = [name for name in metrics if name not in METRICS]
    if unknown or not metrics:
        raise InvalidInput(
            f"expected metrics from {', '.join(METRICS)}, got {list(metrics)}; name at least one of them"
        )
    if method not in methods:
        raise InvalidInput(f"expected one of {', '.join(methods)}, got {method!r}; pass one of these names")
    checked_limit(max_fpr)
    for name, value, fits, range_ in (
        ("level", level, 0 < level < 1, "between 0 and 1"),
        ("replicates", replicates, replicates >= 1, "of at least 1"),
        ("seed", seed, seed >= 0, "of at least 0"),
    ):
        if not fits:
            raise InvalidInput(f"expected {name} {range_}, got {value}; {name} is {_MEANING[name]}")


_MEANING: Final = {
    "level": "the share of replicates inside the interval, such as 0.95",
    "replicates": "how often images are drawn, such as 1000",
    "seed": "where the draws start, such as 0",
}


def image_weights(samples: Sequence[Sample], replicates: int, *, seed: int, stratified: bool = True) -> Floats:
    """Draw images with replacement.

    Args:
        samples: The images.
        replicates: Number of replicates ``R``.
        seed: Seed of the draws.
        stratified: Draw good and defective images on their own.

    Returns:
        ``(R, N)`` float64, how often each image was drawn; every row adds up to ``N``.
    """
    rng = np.random.default_rng(seed)
    defective = np.array([sample.defective for sample in samples], dtype=np.bool_)
    groups = [np.flatnonzero(defective), np.flatnonzero(~defective)] if stratified else [np.arange(defective.size)]
    weights = np.zeros((replicates, defective.size))
    for group in groups:
        if group.size:
            weights[:, group] = rng.multinomial(group.size, np.full(group.size, 1.0 / group.size), size=replicates)
    return weights


def replicate(
    samples: Sequence[Sample], weights: Floats, *, metrics: Sequence[str], max_fpr: float, method: str
) -> dict[str, Floats]:
    """Compute the measures of every weighting of the images.

    Args:
        samples: The images.
        weights: ``(R, N)`` float64, how often each image counts.
        metrics: Which measures.
        max_fpr: Upper end of the FPR range that PRO integrates over.
        method: ``"histogram"`` or ``"exact"``.

    Returns:
        Name to ``(R,)`` values, NaN where not defined.
    """
    values: dict[str, Floats] = {}
    if any(name != "image_auroc" for name in metrics):
        table = CellTable(samples, HISTOGRAM_CELLS if method == "histogram" else None)
        values = weighted_measures(table, weights, max_fpr=max_fpr, metrics=metrics)
    if "image_auroc" in metrics:
        values["image_auroc"] = weighted_image_auroc(samples, weights)
    return values


def measure(samples: Sequence[Sample], *, metrics: Sequence[str], max_fpr: float) -> dict[str, float]:
    """Compute the measures of the images themselves, exactly.

    Args:
        samples: The images.
        metrics: Which measures.
        max_fpr: Upper end of the FPR range that PRO integrates over.

    Returns:
        Name to value; NaN, without a warning, where not defined.
    """
    counts = count_samples(samples)
    computed = {
        "image_auroc": lambda: auroc_of_images(
            np.array([sample.score for sample in samples]), np.array([sample.defective for sample in samples], np.bool_)
        ),
        "pixel_auroc": lambda: auroc(counts),
        "average_precision": lambda: average_precision(counts),
        "f1_max": lambda: f1_max(counts)[0],
        "aupro": lambda: pro(counts, max_fpr),
    }
    return {name: computed[name]() for name in metrics}


def missing(samples: Sequence[Sample], metrics: Sequence[str]) -> tuple[str, str]:
    """Describe which of the measures are not defined for these images and why; empty strings if all are."""
    of_pixels = [name for name in metrics if name != "image_auroc"]
    n_defect, n_normal = sum(s.defects.size for s in samples), sum(s.normal.size for s in samples)
    return (
        missing_images([sample.defective for sample in samples]) if "image_auroc" in metrics else "",
        missing_pixels(of_pixels, n_defect, n_normal) if of_pixels else "",
    )


def _interval(value: float, drawn: Floats, level: float) -> Interval:
    """Cut the tails of the replicates that are defined."""
    defined = drawn[~np.isnan(drawn)]
    if defined.size:
        lower, upper = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
        spread = float(defined.std(ddof=1)) if defined.size > 1 else math.nan
    else:
        lower, upper, spread = math.nan, math.nan, math.nan
    drawn.flags.writeable = False
    return Interval(value, float(lower), float(upper), level, spread, drawn, drawn.size - defined.size)
