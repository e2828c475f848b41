"""ROC, precision-recall and PRO curves, with every vertex that they have."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fmas_evaluate.collection import count
from fmas_evaluate.counts import DefectCounts
from fmas_evaluate.errors import InvalidInput
from fmas_evaluate.inputs import Maps, Masks
from fmas_evaluate.limits import checked_limit

__all__ = ["PrCurve", "ProCurve", "RocCurve", "pr_curve", "pr_of", "pro_curve", "pro_of", "roc_curve", "roc_of"]


class RocCurve(NamedTuple):
    """True-positive against false-positive rate; join the points by straight lines.

    Attributes:
        fpr: ``(K,)`` float64, ascending from 0 to 1: share of normal pixels at or above the threshold.
        tpr: ``(K,)`` float64, ascending from 0 to 1: share of defect pixels at or above it.
        thresholds: ``(K,)`` float64, descending from infinity to minus infinity.
    """

    fpr: NDArray[np.float64]
    tpr: NDArray[np.float64]
    thresholds: NDArray[np.float64]


class PrCurve(NamedTuple):
    """Precision against recall; recall rises in steps, at the scores of defect pixels.

    Attributes:
        precision: ``(K,)`` float64; 1 at the first point, where nothing is flagged.
        recall: ``(K,)`` float64, ascending from 0 to 1.
        thresholds: ``(K,)`` float64, descending from infinity.
    """

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    thresholds: NDArray[np.float64]


class ProCurve(NamedTuple):
    """Per-region overlap, averaged over regions, against false-positive rate; join the points by straight lines.

    Attributes:
        fpr: ``(K,)`` float64, ascending from 0 to the limit: share of normal pixels at or above the threshold.
        pro: ``(K,)`` float64, ascending from 0: mean share of a region at or above it.
        thresholds: ``(K,)`` float64, descending from infinity; NaN at a last point that is interpolated at the limit.
    """

    fpr: NDArray[np.float64]
    pro: NDArray[np.float64]
    thresholds: NDArray[np.float64]


def roc_curve(maps: Maps, masks: Masks, *, mask_threshold: float | None = None, threads: int | None = None) -> RocCurve:
    """Return the ROC curve over pixels, without points that lie on a straight line between normal pixels' scores.

    Args:
        maps: Score maps, see ``pixel_auroc``.
        masks: Masks, see ``pixel_auroc``.
        mask_threshold: Accept masks of other values: a pixel above the threshold is a defect.
        threads: Threads to use; ``None`` for one per processor.

    Returns:
        Its vertices; the trapezoids below them add up to ``pixel_auroc``.

    Raises:
        InvalidInput: Naming the image, if values or shapes cannot be evaluated, or without a defect or normal pixel.
        InvalidType: If a dtype is not supported.
    """
    return roc_of(count(maps, masks, mask_threshold=mask_threshold, threads=threads))


def pr_curve(maps: Maps, masks: Masks, *, mask_threshold: float | None = None, threads: int | None = None) -> PrCurve:
    """Return precision and recall over pixels at the scores of the defect pixels.

    Between two of them recall stays and precision only falls, so that these points tell average precision and F1.

    Args:
        maps: Score maps, see ``pixel_auroc``.
        masks: Masks, see ``pixel_auroc``.
        mask_threshold: Accept masks of other values: a pixel above the threshold is a defect.
        threads: Threads to use; ``None`` for one per processor.

    Returns:
        The points; ``sum(diff(recall) * precision[1:])`` is ``average_precision``.

    Raises:
        InvalidInput: Naming the image, if values or shapes cannot be evaluated, or without a defect or normal pixel.
        InvalidType: If a dtype is not supported.
    """
    return pr_of(count(maps, masks, mask_threshold=mask_threshold, threads=threads))


def pro_curve(
    maps: Maps,
    masks: Masks,
    *,
    max_fpr: float = 1.0,
    mask_threshold: float | None = None,
    threads: int | None = None,
) -> ProCurve:
    """Return the PRO curve up to a false-positive rate.

    Args:
        maps: Score maps, see ``aupro``.
        masks: Masks, see ``aupro``.
        max_fpr: Where the curve ends, in ``(0, 1]``; it is interpolated there.
        mask_threshold: Accept masks of other values: a pixel above the threshold is a defect.
        threads: Threads to use; ``None`` for one per processor.

    Returns:
        Its vertices; the trapezoids below them, divided by ``max_fpr``, add up to ``aupro``.

    Raises:
        InvalidInput: Naming the image, if values or shapes cannot be evaluated, without a defect or normal pixel, or
            if ``max_fpr`` is out of range.
        InvalidType: If a dtype is not supported.
    """
    limit = checked_limit(max_fpr)
    return pro_of(count(maps, masks, mask_threshold=mask_threshold, threads=threads), max_fpr=limit)


def roc_of(counts: DefectCounts) -> RocCurve:
    """Return the ROC curve of counts, see ``roc_curve``."""
    found = np.arange(1, counts.scores.size + 1, dtype=np.float64) / max(counts.scores.size, 1)
    return RocCurve(*_vertices(counts, found))


def pro_of(counts: DefectCounts, *, max_fpr: float = 1.0) -> ProCurve:
    """Return the PRO curve of counts, see ``pro_curve``."""
    found = np.cumsum(1.0 / counts.sizes[::-1]) / max(counts.n_regions, 1)
    fpr, pro, thresholds = _vertices(counts, np.minimum(found, 1.0))
    end = int(np.searchsorted(fpr, max_fpr, side="right"))
    if end == fpr.size or fpr[end - 1] == max_fpr:
        return ProCurve(fpr[:end], pro[:end], thresholds[:end])
    last = np.interp(max_fpr, fpr[end - 1 : end + 1], pro[end - 1 : end + 1])
    return ProCurve(np.append(fpr[:end], max_fpr), np.append(pro[:end], last), np.append(thresholds[:end], math.nan))


def pr_of(counts: DefectCounts) -> PrCurve:
    """Return precision and recall of counts, see ``pr_curve``."""
    last, scores = _last_of_each(counts)
    found = (last + 1).astype(np.float64)
    precision = found / (found + counts.reached[::-1][last])
    return PrCurve(np.append(1.0, precision), np.append(0.0, found / counts.scores.size), np.append(math.inf, scores))


def _last_of_each(counts: DefectCounts) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return, for the scores in descending order, the last pixel of each distinct one, and these."""
    if not counts.scores.size or not counts.n_normal:
        raise InvalidInput(
            f"expected defect and normal pixels for a curve, got {counts.scores.size} defect and {counts.n_normal} "
            "normal pixels; a curve needs both"
        )
    scores = counts.scores[::-1]
    last = np.flatnonzero(np.append(scores[1:] != scores[:-1], np.True_))
    return last, scores[last].astype(np.float64)


def _vertices(
    counts: DefectCounts, found: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the corners of a curve over the false-positive rate.

    At the score of a defect pixel the curve goes from (normal pixels above, found so far) straight to (normal pixels
    not below, found with it); between such scores it is level.

    Args:
        counts: The counts.
        found: ``(P,)`` float64, the curve's value once the pixels up to each, in descending order, are found.

    Returns:
        x, y and the threshold of each corner.
    """
    last, scores = _last_of_each(counts)
    after = found[last]
    after[-1] = 1.0  # every region is found; the sum of the shares may be off in the last digit
    x: NDArray[np.float64] = np.stack([counts.above[::-1][last], counts.reached[::-1][last]], axis=1) / counts.n_normal
    y = np.stack([np.append(0.0, after[:-1]), after], axis=1)
    with np.errstate(over="ignore", under="ignore"):  # next to the largest float is infinity: still in order
        above = np.nextafter(counts.scores[::-1][last], counts.scores.dtype.type(math.inf)).astype(np.float64)
    corners: list[NDArray[Any]] = [
        np.concatenate([[start], middle.ravel(), [end]])
        for start, middle, end in (
            (0.0, x, 1.0),
            (0.0, y, 1.0),
            (math.inf, np.stack([above, scores], axis=1), -math.inf),
        )
    ]
    moved = np.append(np.True_, (np.diff(corners[0]) != 0) | (np.diff(corners[1]) != 0))
    return corners[0][moved], corners[1][moved], corners[2][moved]
