"""AUPIMO: how much of each defect is found at false-positive rates so low that good images stay clean.

Bertoldo, Ameln, Vaidya and Akçay, "AUPIMO: Redefining Anomaly Localization Benchmarks with High Speed and Low
Tolerance", BMVC 2024 (arXiv:2401.01984). The false-positive rate of a threshold ``t`` is the mean, over *normal
images*, of the share of pixels at or above ``t``; the overlap of a defective image is the share of its defect pixels at
or above ``t``. With bounds ``L`` and ``U``, the score of an image is its overlap, as a function of the logarithm of the
rate, averaged from ``log L`` to ``log U``:

``AUPIMO = 1/log(U/L) * integral of (overlap at rate z) d(log z) from L to U``

In the limit of ever more thresholds the integral splits into one term per defect pixel. Let ``a`` be the logarithm of
the rate above the pixel's score and ``b`` that of the rate at or above it. The pixel's share of the overlap is 0 up to
``a``, 1 from ``b`` on and, where normal pixels tie with it, rises on a straight line between, as the trapezoidal rule
over ``log z`` has it. With ``a'`` and ``b'`` for ``a`` and ``b`` cut to the range from ``log L`` to ``log U``, its term
is

``log U - b' + ((b' - a)**2 - (a' - a)**2) / (2 (b - a))``,

without the fraction if ``a = b``, and all of the range if no normal pixel is above it (``a`` is minus infinity), also
when it ties with the highest of them: a rise that starts at rate 0 has no width on a logarithmic axis. The score of an
image is the mean of its pixels' terms, divided by ``log(U/L)``. Nothing is sampled; the published code takes evenly
spaced scores as thresholds.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmas_evaluate.errors import InvalidInput, InvalidType
from fmas_evaluate.inputs import Maps, Masks, exact_dtype, pairs

__all__ = ["Aupimo", "aupimo"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Aupimo:
    """AUPIMO of every image.

    Attributes:
        scores: ``(N,)`` in ``[0, 1]``; NaN for an image without a defect.
        mean: Mean over the images with a defect; NaN if there is none.
        bounds: Range of false-positive rates.
        n_defective: Images with a defect.
        n_normal: Images without a defect, which the false-positive rate is taken from.
    """

    scores: Floats
    mean: float
    bounds: tuple[float, float]
    n_defective: int
    n_normal: int

    def __float__(self) -> float:
        return self.mean


def aupimo(
    maps: Maps, masks: Masks, *, bounds: tuple[float, float] = (1e-5, 1e-4), mask_threshold: float | None = None
) -> Aupimo:
    """Compute AUPIMO exactly.

    Args:
        maps: Score maps, ``(N, H, W)`` or an iterable of ``(H, W)``, integer or float; larger is more anomalous.
        masks: Defect masks of the same sizes; ``None`` for an image without a defect.
        bounds: False-positive rates ``L < U`` in ``(0, 1]`` between which the overlap is averaged over ``log z``.
        mask_threshold: A mask value above it is a defect; needed only for masks that are not two-valued.

    Returns:
        One score per image and their mean. With a ``RuntimeWarning``: NaN throughout if no image is normal or none
        is defective; and where a single normal pixel is more than ``L``, because rates below one pixel's share are then
        not measured: the overlap there is taken to be that at the highest normal score.

    Raises:
        InvalidInput: For bounds outside their range, or unusable images.
        InvalidType: For bounds, maps or masks of the wrong kind.
    """
    lower, upper = _checked(bounds)
    normal: list[NDArray[Any]] = []
    defects: list[NDArray[Any] | None] = []
    for pair in pairs(maps, masks, mask_threshold=mask_threshold):
        scores = pair.scores.astype(exact_dtype(pair.scores, pair.name))
        defective = bool(pair.mask.any())
        defects.append(scores[pair.mask] if defective else None)
        if not defective:
            normal.append(scores.ravel())
    n_defective = len(defects) - len(normal)
    values = np.full(len(defects), np.nan)
    if not normal or not n_defective:
        warnings.warn(
            f"AUPIMO is not defined: expected defective and normal images, got {n_defective} defective and "
            f"{len(normal)} normal; returning NaN",
            RuntimeWarning,
            stacklevel=2,
        )
        return Aupimo(values, math.nan, (lower, upper), n_defective, len(normal))
    finest = sum(1.0 / scores.size for scores in normal) / len(normal) ** 2
    if finest > lower:
        warnings.warn(
            f"AUPIMO reaches below what these images measure: one normal pixel is a rate of {finest:.3g}, the lower "
            f"bound is {lower:.3g}; pass more normal images or a higher lower bound",
            RuntimeWarning,
            stacklevel=2,
        )
    rates = _SharedRate(normal, upper)
    for place, scores_of_image in enumerate(defects):
        if scores_of_image is not None:
            above, reached = rates(scores_of_image)
            values[place] = min(1.0, math.fsum(_mean_share(above, reached, lower, upper)) / scores_of_image.size)
    mean = math.fsum(values[~np.isnan(values)]) / n_defective
    return Aupimo(values, mean, (lower, upper), n_defective, len(normal))


def _checked(bounds: object) -> tuple[float, float]:
    """Return the bounds, or say what is wrong with them."""
    known = "the published ones are (1e-5, 1e-4)"
    if not isinstance(bounds, Sequence) or len(bounds) != 2 or not all(isinstance(rate, Real) for rate in bounds):
        raise InvalidType(f"expected bounds as two rates (L, U), got {bounds!r}; {known}")
    lower, upper = (float(rate) for rate in bounds)
    if not 0 < lower < upper <= 1:
        raise InvalidInput(f"expected bounds 0 < L < U <= 1, got {bounds}; {known}")
    return lower, upper


class _SharedRate:
    """Mean over normal images of the share of pixels above a score.

    Args:
        images: One flat array of scores per normal image.
        highest: Largest rate that matters; scores of larger rates come out above it, but not exact.
    """

    def __init__(self, images: Sequence[NDArray[Any]], highest: float) -> None:
        self._n_images = len(images)
        by_size: dict[int, list[NDArray[Any]]] = {}
        for scores in images:
            by_size.setdefault(scores.size, []).append(scores)
        pooled = {size: np.concatenate(group) for size, group in by_size.items()}
        # If more than `highest` of every group is above a score, so is its mean: only the top of each has to be sorted.
        floor = min(_order_statistic(scores, math.floor(highest * scores.size) + 1) for scores in pooled.values())
        self._top = {size: np.sort(scores[scores >= floor]) for size, scores in pooled.items()}

    def __call__(self, scores: NDArray[Any]) -> tuple[Floats, Floats]:
        """Return the rates above, and at or above, each score."""
        above, reached = np.zeros(scores.size), np.zeros(scores.size)
        for size, top in self._top.items():
            above += (top.size - np.searchsorted(top, scores, side="right")) / size
            reached += (top.size - np.searchsorted(top, scores, side="left")) / size
        return above / self._n_images, reached / self._n_images


def _order_statistic(scores: NDArray[Any], from_top: int) -> float:
    """Return the ``from_top``-th largest score, the smallest if there are not as many."""
    place = max(0, scores.size - from_top)
    return float(np.partition(scores, place)[place])


def _mean_share(above: Floats, reached: Floats, lower: float, upper: float) -> Floats:
    """Return the mean over ``log z``, between the bounds, of the share of each defect pixel that is found at ``z``."""
    start, end = math.log(lower), math.log(upper)
    with np.errstate(divide="ignore"):
        low, high = np.log(above), np.log(reached)
    full = end - np.clip(high, start, end)  # from `high` on, the pixel is found
    ramp = (low < high) & np.isfinite(low) & (high > start) & (low < end)
    left, right = np.clip(low[ramp], start, end), np.clip(high[ramp], start, end)
    width = high[ramp] - low[ramp]
    full[ramp] += ((right - low[ramp]) ** 2 - (left - low[ramp]) ** 2) / (2.0 * width)
    full[~np.isfinite(low)] = end - start  # above every normal pixel, or tied with the highest: found at every rate
    return full / (end - start)
