"""The metrics as functions of the counts; sums are exact, so that the order of images cannot change a bit.

Every function takes ``DefectCounts`` and returns plain floats; it returns NaN, without a
warning, when there is no defect pixel or no normal pixel.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fmas_evaluate.counts import DefectCounts, first_of_each

__all__ = ["auroc", "average_precision", "f1_max", "pro"]

_BLOCK: Final = 1 << 16
"""Scores handled at a time: terms of all of them at once would take as much memory as the counts."""

_COUNTED_DIRECTLY: Final = 1 << 20
"""Sizes below this are counted without looking for those that occur, which takes many times as long."""


def auroc(counts: DefectCounts) -> float:
    """Return the area under the ROC curve, correctly rounded.

    ``AUROC = 1/P * sum over the P defect pixels of (1 - (a + b)/2)``, with ``a`` the share of normal pixels above the
    defect pixel and ``b`` the share at or above it.
    """
    if not _defined(counts):
        return math.nan
    pairs = 2 * counts.scores.size * counts.n_normal
    return (pairs - _total(counts.above) - _total(counts.reached)) / pairs


def average_precision(counts: DefectCounts) -> float:
    """Return the average precision: the sum of (rise of recall) * precision over the distinct scores.

    Recall rises at the scores of defect pixels alone, so these are the only terms.
    """
    if not _defined(counts):
        return math.nan
    high = low = 0
    for first, pixels in _tie_groups(counts):
        found = counts.scores.size - first
        # Precision in units of 2**-52, which is as fine as float64 at 1: integers add up to the same in any order.
        precision = np.rint(found / (found + counts.reached[first]) * 2.0**52).astype(np.int64)
        high += int((pixels * (precision >> 26)).sum())
        low += int((pixels * (precision & 0x3FFFFFF)).sum())
    return ((high << 26) + low) / (counts.scores.size << 52)


def f1_max(counts: DefectCounts) -> tuple[float, float]:
    """Return the largest F1 over all thresholds and the threshold.

    ``F1 = 2 TP / (P + TP + FP)``, with ``P`` defect pixels in all. It is largest at the score of a defect pixel:
    between two of them only false positives change. Among equal maxima the highest threshold is returned.
    """
    if not _defined(counts):
        return math.nan, math.nan
    total = counts.scores.size
    best, at = -1.0, 0
    for first, _ in _tie_groups(counts):
        found = total - first
        values = 2 * found / (total + found + counts.reached[first])
        last = values.size - 1 - int(np.argmax(values[::-1]))
        if values[last] >= best:
            best, at = float(values[last]), int(first[last])
    return best, float(counts.scores[at])


def pro(counts: DefectCounts, max_fpr: float) -> float:
    """Return the area under the PRO curve up to a false-positive rate, divided by that rate.

    ``PRO(L) = 1/(R L) * sum over defect pixels of A / (size of the pixel's region)``, where

    - ``A = L - (a + b)/2`` if ``b <= L``,
    - ``A = (L - a)**2 / (2 (b - a))`` if ``a < L < b``,
    - ``A = 0`` if ``a >= L``.

    Regions of one size share the denominator, and below the limit the terms are integers: they are added per size as
    integers, and only one number per size is rounded.

    Args:
        counts: The counts.
        max_fpr: ``L``, in ``(0, 1]``.

    Returns:
        A fraction in ``[0, 1]``.
    """
    if not _defined(counts):
        return math.nan
    limit = max_fpr * counts.n_normal  # in pixels, as the counts are
    # Scores ascend, so the counts descend: first the pixels beyond the limit, then at most one group of equal scores
    # that straddles it, then the pixels within it.
    outside = int(np.count_nonzero(counts.above >= limit))
    inside = counts.scores.size - int(np.count_nonzero(counts.reached <= limit))
    sizes = counts.sizes[inside:]
    lost = _totals_by_size(counts.above[inside:], sizes) + _totals_by_size(counts.reached[inside:], sizes)
    terms = _region_shares(sizes, limit)
    terms += [-total / (2 * size) for size, total in sorted(lost.items())]
    if outside < inside:
        above, reached = int(counts.above[outside]), int(counts.reached[outside])
        area = (limit - above) ** 2 / (2 * (reached - above))
        terms += _region_shares(counts.sizes[outside:inside], area)
    return _clipped(math.fsum(terms) / (counts.n_regions * limit))


def _region_shares(sizes: NDArray[np.int64], area: float) -> list[float]:
    """Return terms that add up to the sum of ``area / size``.

    Whole regions are counted apart from parts of regions: a map without an error must not come out as
    0.9999999999999999.
    """
    occurring, places = _numbered(sizes)
    pixels = np.bincount(places)
    whole = 0
    parts = []
    for place in np.flatnonzero(pixels).tolist():
        size = int(occurring[place])
        regions, rest = divmod(int(pixels[place]), size)
        whole += regions
        parts.append(rest * area / size)
    return [whole * area, *parts]


def _defined(counts: DefectCounts) -> bool:
    """Say whether there are both defect and normal pixels."""
    return bool(counts.scores.size and counts.n_normal)


def _clipped(value: float) -> float:
    """Keep rounding from leaving [0, 1]."""
    return min(1.0, max(0.0, value))


def _tie_groups(counts: DefectCounts) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield the first pixel of each distinct score, ascending, and the number of pixels that share it, in blocks."""
    bounds = np.append(first_of_each(counts.scores), counts.scores.size)
    for start in range(0, bounds.size - 1, _BLOCK):
        block = bounds[start : start + _BLOCK + 1]
        yield block[:-1], np.diff(block)


def _total(values: NDArray[np.int64]) -> int:
    """Return the sum as a Python integer: the low and the high half are added on their own and cannot overflow."""
    return (int((values >> 32).sum()) << 32) + int((values & 0xFFFFFFFF).sum())


def _numbered(sizes: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return ascending sizes, all that occur among them, and for each pixel the place of its size.

    Where a size is large, counting by the sizes themselves would take a number for every size up to it.
    """
    largest = int(sizes.max(initial=0))
    if largest < _COUNTED_DIRECTLY:
        return np.arange(largest + 1), sizes
    occurring = np.unique(sizes)
    return occurring, np.searchsorted(occurring, sizes)


def _totals_by_size(values: NDArray[np.int64], sizes: NDArray[np.int64]) -> Counter[int]:
    """Return the exact sum of the values that belong to each size.

    ``bincount`` adds in float64: with 21 bits at a time every partial sum is an integer that it holds exactly.
    """
    totals: Counter[int] = Counter()
    occurring, places = _numbered(sizes)
    shift = 0
    while values.any():
        sums = np.bincount(places, weights=values & 0x1FFFFF)
        for place in np.flatnonzero(sums).tolist():
            totals[int(occurring[place])] += int(sums[place]) << shift
        values = values >> 21
        shift += 21
    return totals
