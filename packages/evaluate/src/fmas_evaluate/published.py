"""The PRO curves and areas that published evaluation code computes, step by step, rounding included.

Written from the published code's behaviour, not copied from it. What each of them does is stated at its function; how
far it is from the exact area is what ``fmas_evaluate.protocols`` reports.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fmas_evaluate.counts import DefectCounts
from fmas_evaluate.samples import Sample

__all__ = [
    "area_up_to",
    "mvtec_curve",
    "precision_recall_area",
    "rd4ad_area",
    "sampled_curve",
    "trapezoid",
    "visa_areas",
]

Floats = NDArray[np.float64]


def trapezoid(x: Floats, y: Floats) -> float:
    """Return the area under straight lines between the points, for ``x`` that ascends or descends."""
    area = float(np.sum(0.5 * (y[1:] + y[:-1]) * (x[1:] - x[:-1])))
    return -area if x[-1] < x[0] else area


def area_up_to(x: Floats, y: Floats, limit: float) -> float:
    """Return the area under a curve from its start to ``limit``, divided by ``limit``.

    Args:
        x: ``(K,)`` ascending; several points may share a value.
        y: ``(K,)`` the curve's values.
        limit: End of the range, between the first and the last ``x``; the curve is interpolated there.

    Returns:
        The mean height of the curve.
    """
    inside = int(np.searchsorted(x, limit, side="right"))
    area = trapezoid(x[:inside], y[:inside])
    if x[inside - 1] < limit:
        left, width = x[inside - 1], limit - x[inside - 1]
        height = y[inside - 1] + (y[inside] - y[inside - 1]) * width / (x[inside] - left)
        area += 0.5 * (height + y[inside - 1]) * width
    return float(area / limit)


def mvtec_curve(samples: Sequence[Sample]) -> tuple[Floats, Floats]:
    """Return the PRO curve of MVTec's evaluation code for MVTec AD (``pro_curve_util.py``, 2021).

    All pixels are sorted; every distinct score is a threshold; false-positive rates are held in float32; the curve
    starts at (0, 0) and ends at (1, 1). An infinite score there splits into as many thresholds as pixels, because
    ``inf - inf`` is not 0; here, it is one threshold.

    Args:
        samples: The images.

    Returns:
        False-positive rates and mean overlaps, both ascending.
    """
    scores = np.concatenate([part for sample in samples for part in (sample.normal, sample.defects)])
    false_positives = np.concatenate(
        [flag for s in samples for flag in (np.ones(s.normal.size), np.zeros(s.defects.size))]
    )
    overlaps = np.concatenate([part for s in samples for part in (np.zeros(s.normal.size), 1.0 / s.sizes)])
    order = np.argsort(scores, kind="stable")[::-1]
    scores = scores[order]
    last_of_score = np.append(np.flatnonzero(scores[1:] != scores[:-1]), scores.size - 1)
    n_normal, n_regions = int(false_positives.sum()), sum(sample.n_regions for sample in samples)
    counted = np.cumsum(false_positives[order])[last_of_score].astype(np.float32)
    rates = (counted.astype(np.float64) / n_normal).astype(np.float32).astype(np.float64)
    overlap = np.cumsum(overlaps[order])[last_of_score] / n_regions
    return (
        np.concatenate([[0.0], np.minimum(rates, 1.0), [1.0]]),
        np.concatenate([[0.0], np.minimum(overlap, 1.0), [1.0]]),
    )


def sampled_curve(samples: Sequence[Sample], thresholds: int) -> tuple[Floats, Floats]:
    """Return the PRO curve sampled at evenly spaced ranks of the normal scores (``au_pro_util.py``).

    The threshold at position ``k`` is the ``k``-th smallest normal score and a pixel counts if it is *above* it. The
    false-positive rate is taken from the position, as if no two normal scores were equal.

    Args:
        samples: The images.
        thresholds: Number of thresholds, at least 2.

    Returns:
        False-positive rates and mean overlaps, both ascending.
    """
    normal = np.sort(np.concatenate([sample.normal for sample in samples]).astype(np.float64))
    defects = np.concatenate([sample.defects for sample in samples]).astype(np.float64)
    order = np.argsort(defects, kind="stable")
    weights = 1.0 / np.concatenate([sample.sizes for sample in samples])[order]
    positions = np.linspace(0, normal.size - 1, num=thresholds, dtype=int)
    missed = np.concatenate([[0.0], np.cumsum(weights)])[
        np.searchsorted(defects[order], normal[positions], side="right")
    ]
    overlap = 1.0 - missed / sum(sample.n_regions for sample in samples)
    rates = 1.0 - (positions + 1) / normal.size
    return np.append(rates[::-1], 1.0), np.append(overlap[::-1], 1.0)


def rd4ad_area(samples: Sequence[Sample], thresholds: int = 200) -> float:
    """Return the area that RD4AD's ``compute_pro`` (``test.py``) gives for these images together.

    Thresholds are evenly spaced from the smallest to the largest score; a pixel counts if it is above; points with a
    false-positive rate of 0.3 or more are dropped, the rates left are divided by the largest of them (not by 0.3, so
    the area reaches from the smallest to the largest rate *sampled*), and the trapezoids are added. Nothing is known of
    the curve between the last sampled rate and 0.3. Scores are taken as float64, the type that RD4AD's maps have.

    Args:
        samples: The images; at least one defect pixel among them.
        thresholds: Number of thresholds.

    Returns:
        The area; NaN where that code fails or divides 0 by 0: a constant map, fewer than two points below 0.3, or no
        false positive at any of them.
    """
    normal = np.sort(np.concatenate([sample.normal for sample in samples]).astype(np.float64))
    defects = np.concatenate([sample.defects for sample in samples]).astype(np.float64)
    order = np.argsort(defects, kind="stable")
    defects, weights = defects[order], 1.0 / np.concatenate([sample.sizes for sample in samples])[order]
    present = [part for part in (normal, defects) if part.size]
    lowest, highest = min(part[0] for part in present), max(part[-1] for part in present)
    step = (highest - lowest) / thresholds
    if not normal.size or not np.isfinite(step) or step == 0:
        return math.nan
    levels = np.arange(lowest, highest, step)  # 201 of them when rounding has it so
    rates = (normal.size - np.searchsorted(normal, levels, side="right")) / normal.size
    found = np.concatenate([np.cumsum(weights[::-1])[::-1], [0.0]])[np.searchsorted(defects, levels, side="right")]
    kept = rates < 0.3
    if np.count_nonzero(kept) < 2 or rates[kept].max() == 0:
        return math.nan
    overlap = found / sum(sample.n_regions for sample in samples)
    return trapezoid(rates[kept] / rates[kept].max(), overlap[kept])


def visa_areas(samples: Sequence[Sample]) -> tuple[float, float]:
    """Return pixel AUROC and pixel AU-PR as VisA's ``utils/metrics.py`` samples them, before it rounds to 4 digits.

    202 thresholds: 100 percentiles of the defect pixels' scores, 100 even steps over their range, and one beyond either
    end of all scores; a pixel counts if it is above. Both areas are trapezoids between these points, which for
    precision over recall is not what average precision is. Scores are taken as float64, the type that the thresholds
    have.

    Args:
        samples: The images; at least one defect and one normal pixel among them.

    Returns:
        Area under (FPR, TPR), and under (recall, precision).
    """
    normal = np.sort(np.concatenate([sample.normal for sample in samples]).astype(np.float64))
    defects = np.sort(np.concatenate([sample.defects for sample in samples]).astype(np.float64))
    ends = [min(normal[0], defects[0]) - 1e-8, max(normal[-1], defects[-1]) + 1e-8]
    levels = np.concatenate(
        [np.percentile(defects, np.linspace(100, 0, num=100)), np.linspace(defects[-1], defects[0], num=100), ends]
    )
    levels = np.sort(levels)[::-1]
    hits = defects.size - np.searchsorted(defects, levels, side="right")
    alarms = normal.size - np.searchsorted(normal, levels, side="right")
    flagged = hits + alarms
    precision = np.divide(hits, flagged, out=np.ones(levels.size), where=flagged > 0)
    recall = hits / defects.size
    return trapezoid(alarms / normal.size, recall), trapezoid(recall, precision)


def precision_recall_area(counts: DefectCounts) -> float:
    """Return the trapezoidal area under scikit-learn's precision-recall curve, from (0, 1) down to recall 1.

    Args:
        counts: Counts of the positives (as defect pixels) against the negatives (as normal pixels).

    Returns:
        The area; NaN without a positive.
    """
    scores = counts.scores
    if not scores.size:
        return math.nan
    descending = np.flatnonzero(np.append(True, scores[1:] != scores[:-1]))[::-1]
    hits = scores.size - descending
    recall = hits / scores.size
    precision = hits / (hits + counts.reached[descending])
    # Negatives between two hits lower precision at the same recall: steps without area, but the line to the next hit
    # starts at their foot.
    above = counts.above[descending]
    foot = hits / (hits + np.append(above[1:], above[-1:]))
    x = np.concatenate([[0.0, 0.0], np.column_stack([recall, recall]).ravel()])
    y = np.concatenate([[1.0, 0.0 if above[0] else 1.0], np.column_stack([precision, foot]).ravel()])
    return trapezoid(x, y)
