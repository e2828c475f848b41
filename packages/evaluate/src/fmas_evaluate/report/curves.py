"""The three curves of an evaluation, thinned to what a picture can show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fmas_evaluate.counts import DefectCounts
from fmas_evaluate.curves import pr_of, pro_of, roc_of
from fmas_evaluate.intervals import ScoreBins

__all__ = ["Curve", "Curves", "Floats", "curves_of_bins", "curves_of_counts"]

_GRID = 2000  # steps per axis: finer than the pixels of any picture of a curve

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Curve:
    """A line through points.

    Attributes:
        x: ``(K,)`` float64 in ``[0, 1]``.
        y: ``(K,)`` float64 in ``[0, 1]``.
    """

    x: Floats
    y: Floats


@dataclass(frozen=True, slots=True)
class Curves:
    """What the thresholds trade, from the highest to the lowest.

    Attributes:
        roc: True-positive rate over false-positive rate, ties joined by a straight line.
        pr: Precision over recall, a step per distinct score of a defect pixel.
        pro: Mean per-region overlap over false-positive rate, as ``roc``.
    """

    roc: Curve
    pr: Curve
    pro: Curve


def curves_of_counts(counts: DefectCounts) -> Curves | None:
    """Return the curves of exact counts; ``None`` without a defect or a normal pixel."""
    if not counts.scores.size or not counts.n_normal:
        return None
    roc, pr, pro = roc_of(counts), pr_of(counts), pro_of(counts)
    return Curves(_thinned(roc.fpr, roc.tpr), _thinned(pr.recall, pr.precision), _thinned(pro.fpr, pro.pro))


def curves_of_bins(bins: ScoreBins) -> Curves | None:
    """Return the curves of a histogram, straight inside a bin; ``None`` without a defect or a normal pixel."""
    if not bins.n_defect or not bins.n_normal:
        return None
    holding = bins.defects > 0
    reached = np.cumsum(bins.normals)
    start, end = (reached - bins.normals)[holding] / bins.n_normal, reached[holding] / bins.n_normal
    found, weights = np.cumsum(bins.defects[holding]), np.cumsum(bins.weights[holding])
    precision = found / (found + reached[holding])
    return Curves(
        roc=_risen(start, end, found / bins.n_defect),
        pr=_thinned(np.append(0.0, found / bins.n_defect), np.append(1.0, precision)),
        pro=_risen(start, end, weights / weights[-1]),
    )


def _risen(start: Floats, end: Floats, height: Floats) -> Curve:
    """Return the line that for each group goes flat to ``start`` and then straight up to ``(end, height)``."""
    before = np.concatenate(([0.0], height[:-1]))
    x = np.concatenate(([0.0], np.column_stack((start, end)).ravel(), [1.0]))
    y = np.concatenate(([0.0], np.column_stack((before, height)).ravel(), [1.0]))
    return _thinned(x, np.minimum(y, 1.0))


def _thinned(x: Floats, y: Floats) -> Curve:
    """Return the first and the last point of every run in the same cell of a fine grid."""
    cells = np.stack((np.round(x * _GRID), np.round(y * _GRID)))
    changed = (cells[:, 1:] != cells[:, :-1]).any(axis=0)
    keep = np.concatenate(([True], changed)) | np.concatenate((changed, [True]))
    return Curve(x[keep], y[keep])
