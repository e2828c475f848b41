"""Metrics from a histogram: the metric of the binned scores, and bounds that hold for the original ones.

Bins keep the order of the scores. Within one, anything may be: every score may tie with every other one, or all
defect pixels may lie above all normal ones, or below. Each metric falls when a normal pixel rises above a defect pixel,
so the extremes of that freedom bound it. Take a bin with ``n`` normal and ``d`` defect pixels, with ``F`` normal and
``T`` defect pixels in the bins above it: for each of the ``d``, the normal pixels above it as well as those at or above
it number between ``F`` and ``F + n``.

* AUROC and PRO: ``A_L(a, b)``, the area that a defect pixel adds up to the limit ``L``, falls in both arguments, hence
  it is at most ``A_L(F/N, F/N)`` and at least ``A_L((F+n)/N, (F+n)/N)``. With L = 1 this is AUROC.
* Average precision: precision at a defect pixel is ``x/(x+y)`` with ``x`` the defect and ``y`` the normal pixels at or
  above it; it grows with ``x`` and falls with ``y``. At most all ``d`` tie above the ``n``: ``d (T+d)/(T+d+F)``. At
  least they lie below, one after another: the sum of ``(T+i)/(T+i+c)`` over ``i = 1 ... d`` with ``c = F+n``. This sum
  of an increasing concave function is not below its integral, ``d - c ln(1 + d/(T+c))``, nor below ``d`` times the mean
  of its ends.
* F1-max: a threshold at a bin's lower edge is a threshold, so the best of these is attained: a lower bound, and the
  value reported. A threshold inside a bin finds at most ``T + d`` defect pixels and no fewer than ``F`` normal ones.

Counts are integers. What is added in floating point is added so that the error is known, and the bounds are widened by
it: see ``_SUM_ERROR``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fmas_evaluate.bin_counts import WEIGHT_UNIT

__all__ = ["Bounded", "ScoreBins", "auroc", "average_precision", "f1_max", "pro"]

_UNIT: Final = 2.0**-53
"""Largest relative error of one rounded float64 operation, u."""
_SUMMED_AT_ONCE: Final = 64
_FULLY_EXACT_SUMS: Final = 2**17
_SUM_ERROR: Final = 2.0**-46
"""Twice the most that a metric, a number in [0, 1], can be off, 128 u: each term is computed with at most 16 roundings
(log1p, within 4 units in the last place, included), up to 64 terms are added in any order (63 u), their sums exactly.
The other half is for whoever computes the exact value: it is a rounded number, too."""


@dataclass(frozen=True, slots=True)
class Bounded:
    """A metric and an interval that certainly contains its exact value.

    Attributes:
        value: The metric of the binned scores, in ``[lower, upper]``; NaN if there is no defect or no normal pixel.
        lower: Lower bound; where every bin holds one score, the value but for the rounding of sums.
        upper: Upper bound; likewise.
        limit: Upper end of the FPR range, of PRO alone.
        threshold: Score from which on a pixel counts as defect when F1 is ``value``, of F1-max alone.
    """

    value: float
    lower: float
    upper: float
    limit: float | None = None
    threshold: float | None = None


@dataclass(frozen=True, slots=True)
class ScoreBins:
    """The bins that hold a pixel, from the highest scores to the lowest.

    Attributes:
        lower_edges: ``(B,)`` float64, smallest score that belongs to each bin.
        normals: ``(B,)`` int64, normal pixels in it.
        defects: ``(B,)`` int64, defect pixels in it.
        weights: ``(B,)`` float64, sum of 1 / (size of its region) over these; adds up to the number of regions.
        n_regions: Number of regions.
        exact: Whether every bin holds a single score.
    """

    lower_edges: NDArray[np.float64]
    normals: NDArray[np.int64]
    defects: NDArray[np.int64]
    weights: NDArray[np.float64]
    n_regions: int
    exact: bool

    @property
    def n_normal(self) -> int:
        """Normal pixels in all."""
        return int(self.normals.sum())

    @property
    def n_defect(self) -> int:
        """Defect pixels in all."""
        return int(self.defects.sum())


@dataclass(frozen=True, slots=True)
class _DefectBins:
    """The bins that hold a defect pixel, with what lies above them: ``(D,)`` each, descending like the bins.

    Attributes:
        lower_edges: As in ``ScoreBins``.
        defects: Defect pixels in the bin.
        weights: As in ``ScoreBins``.
        above: Normal pixels in higher bins.
        reached: Normal pixels in this bin or a higher one.
        found: Defect pixels in this bin or a higher one.
    """

    lower_edges: NDArray[np.float64]
    defects: NDArray[np.int64]
    weights: NDArray[np.float64]
    above: NDArray[np.int64]
    reached: NDArray[np.int64]
    found: NDArray[np.int64]


def auroc(bins: ScoreBins) -> Bounded:
    """Bound the area under the ROC curve; every sum is an integer, so that only divisions round."""
    normals, defects = bins.n_normal, bins.n_defect
    if not normals or not defects:
        return _undefined()
    held = _with_defects(bins)
    pairs = normals * defects
    lost_at_most = _exact_dot(held.defects, held.reached)
    lost_at_least = _exact_dot(held.defects, held.above)
    value = (2 * pairs - lost_at_most - lost_at_least) / (2 * pairs)
    return _bounded(bins, value, (pairs - lost_at_most) / pairs, (pairs - lost_at_least) / pairs, summed=False)


def average_precision(bins: ScoreBins) -> Bounded:
    """Bound the average precision over the recall steps."""
    if not bins.n_normal or not bins.n_defect:
        return _undefined()
    held = _with_defects(bins)
    total = bins.n_defect
    value = _sum(held.defects * (held.found / (held.found + held.reached))) / total
    if bins.exact:
        return _bounded(bins, value, value, value)
    upper = _sum(held.defects * (held.found / (held.found + held.above))) / total
    before = held.found - held.defects
    first, last = before + 1, held.found
    mean_of_ends = (first / (first + held.reached) + last / (last + held.reached)) / 2
    # Without a normal pixel the integral is exactly d; the smallest denominator of 1 only avoids 0 / 0.
    drop = held.reached * np.log1p(held.defects / np.maximum(before + held.reached, 1))
    lower = _sum(np.maximum(held.defects * mean_of_ends, held.defects - drop)) / total
    return _bounded(bins, value, lower, upper)


def f1_max(bins: ScoreBins) -> Bounded:
    """Bound the largest F1; among equal ones the highest threshold is reported."""
    if not bins.n_normal or not bins.n_defect:
        return _undefined()
    held = _with_defects(bins)
    values = 2 * held.found / (bins.n_defect + held.found + held.reached)
    best = int(np.argmax(values))
    value = float(values[best])
    upper = float((2 * held.found / (bins.n_defect + held.found + held.above)).max())
    return _bounded(bins, value, value, upper, threshold=float(held.lower_edges[best]), summed=False)


def pro(bins: ScoreBins, max_fpr: float) -> Bounded:
    """Bound the per-region overlap, averaged over false-positive rates up to a limit.

    Args:
        bins: The histogram.
        max_fpr: The limit, in ``(0, 1]``.

    Returns:
        The bounds, with the limit.
    """
    normals = bins.n_normal
    if not normals or not bins.n_defect:
        return _undefined(limit=max_fpr)
    held = _with_defects(bins)
    limit = max_fpr * normals  # in pixels: compared with integers
    scale = bins.n_regions * limit
    above, reached = held.above.astype(np.float64), held.reached.astype(np.float64)
    lower = _sum(held.weights * np.maximum(limit - reached, 0.0)) / scale
    upper = _sum(held.weights * np.maximum(limit - above, 0.0)) / scale
    inside = limit - (above + reached) / 2
    # Only where above < limit < reached is the third case used; elsewhere the denominator just must not be 0.
    straddling = np.maximum(limit - above, 0.0) ** 2 / (2 * np.maximum(reached - above, 1.0))
    value = _sum(held.weights * np.where(reached <= limit, inside, straddling)) / scale
    # A difference to the limit is off by at most 2 u of N, and weighs at most 1 / (L N) in the mean over regions; each
    # defect pixel's weight is short of its share by less than the unit.
    uncertain = 4 * _UNIT / max_fpr + bins.n_defect * WEIGHT_UNIT / bins.n_regions
    return _bounded(bins, value, lower, upper, limit=max_fpr, uncertain=uncertain)


def _with_defects(bins: ScoreBins) -> _DefectBins:
    """Return the bins that hold a defect pixel: all that the metrics depend on, apart from the counts above them."""
    held = np.flatnonzero(bins.defects)
    reached = np.cumsum(bins.normals)[held]
    defects = bins.defects[held]
    return _DefectBins(
        lower_edges=bins.lower_edges[held],
        defects=defects,
        weights=bins.weights[held],
        above=reached - bins.normals[held],
        reached=reached,
        found=np.cumsum(defects),
    )


def _bounded(
    bins: ScoreBins,
    value: float,
    lower: float,
    upper: float,
    *,
    limit: float | None = None,
    threshold: float | None = None,
    uncertain: float = 0.0,
    summed: bool = True,
) -> Bounded:
    """Widen the bounds by the rounding errors, keep all three in [0, 1] and in order.

    What is not ``summed`` in floating point but divided once comes out the same wherever it is computed: it needs no
    bounds where every bin holds one score.
    """
    value = min(1.0, max(0.0, value))
    if bins.exact:
        lower = upper = value
        if not summed:
            return Bounded(value, value, value, limit, threshold)
    slack = _SUM_ERROR + uncertain
    return Bounded(value, max(0.0, min(value, lower - slack)), min(1.0, max(value, upper + slack)), limit, threshold)


def _undefined(*, limit: float | None = None) -> Bounded:
    """Return NaN."""
    return Bounded(math.nan, math.nan, math.nan, limit)


def _sum(terms: NDArray[Any]) -> float:
    """Add non-negative numbers: exactly if they are few, else with a relative error below 63 u, in bounded time."""
    if terms.size > _FULLY_EXACT_SUMS:
        terms = np.add.reduceat(terms, np.arange(0, terms.size, _SUMMED_AT_ONCE))
    return math.fsum(terms.tolist())


def _exact_dot(left: NDArray[np.int64], right: NDArray[np.int64]) -> int:
    """Return the sum of products of non-negative integers, however large.

    Integer arithmetic of numpy is exact modulo 2**64, and float arithmetic is good enough to tell how often it wrapped.
    """
    wrapped = int(np.dot(left.view(np.uint64), right.view(np.uint64)))
    estimate = float(np.dot(left.astype(np.float64), right.astype(np.float64)))
    return wrapped + (round((estimate - wrapped) / 2**64) << 64)
