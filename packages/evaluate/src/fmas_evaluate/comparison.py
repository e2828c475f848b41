"""Is one method better than another on the same images, or is it the choice of images?

Both methods are evaluated on the same draws of images, so what an image does to both of them cancels in the difference
(a paired comparison). Let ``d`` be the difference, first minus second, and ``d_r`` that of replicate ``r`` of ``R``.

``test="bootstrap"``: the interval of the difference holds the middle share of the ``d_r``, and

``p = min(1, 2 (1 + min(number of d_r <= 0, number of d_r >= 0)) / (R + 1))``,

which is below ``1 - level`` just when the interval of that level leaves out 0, up to the added one (Efron and
Tibshirani 1993, sections 13.3 and 15.4; the added one keeps ``p`` above 0: Davison and Hinkley 1997, section 4.2).

``test="permutation"``: the interval is the same; for the p-value the two maps of every image are swapped at random.
Scores of two methods have no common unit, so each score is first replaced by its rank among all pixels of its method,
which leaves every measure as it is (Venkatraman and Begg 1996 do so for two ROC curves). With ``d*_r`` the difference
after swap ``r``,

``p = (1 + number of |d*_r| >= |d|) / (R + 1)``.

It asks whether the methods are exchangeable image by image: a stronger hypothesis than equal measures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fmas_evaluate.bootstrap import checked_plan, image_weights, measure, missing, replicate
from fmas_evaluate.errors import EvaluateError, InvalidInput
from fmas_evaluate.inputs import Maps, Masks
from fmas_evaluate.results import METRICS
from fmas_evaluate.samples import Sample, take_apart
from fmas_evaluate.undefined import warn

__all__ = ["TESTS", "Comparison", "Difference", "compare"]

TESTS: Final = ("bootstrap", "permutation")

_ROUNDING: Final = 1e-12  # two swaps that give equal differences may differ by rounding

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Difference:
    """One measure of two methods.

    Attributes:
        first: The measure of the first method, exact.
        second: The measure of the second method, exact.
        difference: ``first - second``.
        lower: Lower end of the interval of the difference.
        upper: Upper end of the interval of the difference.
        level: Share of the replicates inside the interval.
        p_value: Two-sided, in ``(0, 1]``, as defined in ``fmas_evaluate.comparison``; NaN if nothing is defined.
        n_undefined: Replicates without a value; they are left out.
    """

    first: float
    second: float
    difference: float
    lower: float
    upper: float
    level: float
    p_value: float
    n_undefined: int

    def __str__(self) -> str:
        return f"{self.difference:+.4f} [{self.lower:+.4f}, {self.upper:+.4f}], p = {self.p_value:.3g}"

    def as_dict(self) -> dict[str, float | int]:
        """Return the numbers under the names of the attributes."""
        return {name: getattr(self, name) for name in self.__slots__}


class Comparison(Mapping[str, Difference]):
    """Differences by name of the measure; read-only.

    Attributes:
        n_images: Number of images.
        n_replicates: Number of draws, and of swaps.
        test: ``"bootstrap"`` or ``"permutation"``, the meaning of the p-values.
        seed: Seed of draws and swaps.
        method: ``"histogram"`` or ``"exact"``.
    """

    __slots__ = ("_rows", "method", "n_images", "n_replicates", "seed", "test")

    def __init__(
        self, rows: Mapping[str, Difference], *, n_images: int, n_replicates: int, test: str, seed: int, method: str
    ) -> None:
        self._rows = dict(rows)
        self.n_images = n_images
        self.n_replicates = n_replicates
        self.test = test
        self.seed = seed
        self.method = method

    def __getitem__(self, name: str) -> Difference:
        return self._rows[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"Comparison({'; '.join(f'{name}: {row}' for name, row in self._rows.items())}; {self.test})"

    def as_dict(self) -> dict[str, dict[str, float | int]]:
        """Return the numbers by name of the measure."""
        return {name: row.as_dict() for name, row in self._rows.items()}


def compare(
    first: Maps,
    second: Maps,
    masks: Masks,
    *,
    labels: ArrayLike | None = None,
    first_image_scores: ArrayLike | None = None,
    second_image_scores: ArrayLike | None = None,
    metrics: Sequence[str] = METRICS,
    max_fpr: float = 0.3,
    replicates: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    method: str = "histogram",
    test: str = "bootstrap",
) -> Comparison:
    """Compare two methods on the same images.

    Args:
        first: Score maps of the first method, ``(N, H, W)`` or an iterable of ``(H, W)``; larger is more anomalous.
        second: Score maps of the second method for the same images in the same order; its unit may differ.
        masks: Defect masks; ``None`` for an image without a defect.
        labels: ``(N,)`` bool, ``True`` marks a defective image; by default, whether its mask marks a pixel.
        first_image_scores: ``(N,)`` image scores of the first method; by default, the map's maximum.
        second_image_scores: ``(N,)`` image scores of the second method; by default, the map's maximum.
        metrics: Which measures, in this order.
        max_fpr: Upper end of the FPR range that PRO integrates over, in ``(0, 1]``.
        replicates: Number of draws, and of swaps; the smallest p-value is about ``1 / replicates``.
        level: Share of the replicates inside the interval, in ``(0, 1)``.
        seed: Seed of draws and swaps.
        method: ``"histogram"`` (replicates within 1e-4, fast) or ``"exact"``.
        test: ``"bootstrap"`` or ``"permutation"``: how the p-value is found.

    Returns:
        One ``Difference`` per measure.

    Raises:
        InvalidInput: For an unknown measure, method or test, or a number outside its range, or unusable images.
        InvalidType: For maps, masks or labels of the wrong kind.
    """
    checked_plan(metrics=metrics, max_fpr=max_fpr, replicates=replicates, level=level, method=method, seed=seed)
    if test not in TESTS:
        raise InvalidInput(f"expected one of {', '.join(TESTS)}, got {test!r}; pass one of these names")
    masks = tuple(masks) if isinstance(masks, Iterator) else masks  # both methods need them
    ours = take_apart(first, masks, labels=labels, image_scores=first_image_scores)
    try:
        theirs = take_apart(second, masks, labels=labels, image_scores=second_image_scores)
    except EvaluateError as problem:
        raise type(problem)(f"second method: {problem}") from problem
    weights = image_weights(ours, replicates, seed=seed)
    drawn = [replicate(side, weights, metrics=metrics, max_fpr=max_fpr, method=method) for side in (ours, theirs)]
    values = [measure(side, metrics=metrics, max_fpr=max_fpr) for side in (ours, theirs)]
    warn(*missing(ours, metrics))
    swapped = (
        _swapped_differences(ours, theirs, replicates, seed=seed, metrics=metrics, max_fpr=max_fpr, method=method)
        if test == "permutation"
        else None
    )
    rows = {
        name: _difference(
            values[0][name],
            values[1][name],
            drawn[0][name] - drawn[1][name],
            level,
            None if swapped is None else swapped[name],
        )
        for name in metrics
    }
    return Comparison(rows, n_images=len(ours), n_replicates=replicates, test=test, seed=seed, method=method)


def _difference(
    first: float, second: float, drawn: Floats, level: float, swapped: tuple[float, Floats] | None
) -> Difference:
    """Summarise one measure; ``swapped`` holds the difference before and after every swap."""
    defined = drawn[~np.isnan(drawn)]
    lower, upper, p_value = float("nan"), float("nan"), float("nan")
    if defined.size:
        lower, upper = (float(end) for end in np.quantile(defined, [(1 - level) / 2, (1 + level) / 2]))
        tail = min(np.count_nonzero(defined <= 0), np.count_nonzero(defined >= 0))
        p_value = min(1.0, 2.0 * (1 + tail) / (defined.size + 1))
    if swapped is not None:
        before, after = swapped
        after = after[~np.isnan(after)]
        as_large = np.count_nonzero(np.abs(after) >= abs(before) - _ROUNDING)
        p_value = (1 + as_large) / (after.size + 1) if after.size and not np.isnan(before) else float("nan")
    return Difference(first, second, first - second, lower, upper, level, p_value, drawn.size - defined.size)


def _swapped_differences(
    ours: Sequence[Sample],
    theirs: Sequence[Sample],
    swaps: int,
    *,
    seed: int,
    metrics: Sequence[str],
    max_fpr: float,
    method: str,
) -> dict[str, tuple[float, Floats]]:
    """Return, by measure, the difference of the methods and that after each random swap of images.

    All maps of both methods become one set of ``2 N`` images on the scale of ranks; a swap picks one of each pair for
    the first method and leaves the other to the second, which are two weightings of that set.
    """
    both = (*_as_ranks(ours), *_as_ranks(theirs))
    picked = np.random.default_rng([seed, 1]).random((swaps, len(ours))) < 0.5
    picked = np.concatenate([np.ones((1, len(ours)), dtype=np.bool_), picked])  # the first row swaps nothing
    weights = np.concatenate([picked, ~picked], axis=1).astype(np.float64)
    left = replicate(both, weights, metrics=metrics, max_fpr=max_fpr, method=method)
    right = replicate(both, 1.0 - weights, metrics=metrics, max_fpr=max_fpr, method=method)
    differences = {name: left[name] - right[name] for name in metrics}
    return {name: (float(values[0]), values[1:]) for name, values in differences.items()}


def _as_ranks(samples: Sequence[Sample]) -> list[Sample]:
    """Replace scores by (twice) their mid-ranks among all pixels, and image scores by those among all images."""
    pixels = np.sort(np.concatenate([part for sample in samples for part in (sample.normal, sample.defects)]))
    images = np.sort([sample.score for sample in samples])
    return [
        replace(
            sample,
            normal=_twice_mid_ranks(pixels, sample.normal),
            defects=_twice_mid_ranks(pixels, sample.defects),
            score=float(_twice_mid_ranks(images, np.array([sample.score]))[0]),
        )
        for sample in samples
    ]


def _twice_mid_ranks(ordered: NDArray[Any], values: NDArray[Any]) -> NDArray[np.int64]:
    """Return, for each value, the numbers of smaller and of not larger ones, added: whole, so ties stay ties."""
    return np.searchsorted(ordered, values, side="left") + np.searchsorted(ordered, values, side="right")
