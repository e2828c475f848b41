from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmas_evaluate import InvalidInput, aupro, average_precision, f1_max, pixel_auroc, pr_curve, pro_curve, roc_curve
from fmas_evaluate.regions import find_regions

CURVES = [roc_curve, pr_curve, pro_curve]


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(2, 9, 3))
    masks = rng.random(shape) < 0.3
    masks.flat[0], masks.flat[-1] = True, False
    return rng.integers(-5, rng.choice([0, 5, 100]), shape).astype(rng.choice([np.float32, np.float64])), masks


def flagged(maps: np.ndarray, masks: np.ndarray, threshold: float) -> tuple[float, float, float]:
    """FPR, recall and mean overlap when pixels at or above the threshold are flagged."""
    over = maps.astype(np.float64) >= threshold
    overlaps = []
    for found, mask in zip(over, masks, strict=True):
        regions = find_regions(mask)
        overlaps += [found.ravel()[regions.places[regions.labels == i]].mean() for i in range(regions.count)]
    return float(over[~masks].mean()), float(over[masks].mean()), float(np.mean(overlaps))


@given(st.integers(0, 10**6))
def test_the_area_below_is_the_metric(seed: int) -> None:
    maps, masks = drawn(seed)
    roc = roc_curve(maps, masks)
    assert np.trapezoid(roc.tpr, roc.fpr) == pytest.approx(pixel_auroc(maps, masks), abs=1e-12)
    pr = pr_curve(maps, masks)
    assert np.sum(np.diff(pr.recall) * pr.precision[1:]) == pytest.approx(average_precision(maps, masks), abs=1e-12)
    f1 = 2 * pr.precision * pr.recall / (pr.precision + pr.recall)
    assert f1.max() == pytest.approx(f1_max(maps, masks), abs=1e-12)
    for limit in (0.05, 0.3, 1.0):
        pro = pro_curve(maps, masks, max_fpr=limit)
        area = np.trapezoid(pro.pro, pro.fpr) / limit
        assert area == pytest.approx(aupro(maps, masks, max_fpr=limit), abs=1e-12)


@settings(max_examples=25)
@given(st.integers(0, 10**6))
def test_every_point_is_what_its_threshold_gives(seed: int) -> None:
    maps, masks = drawn(seed)
    for fpr, tpr, threshold in zip(*roc_curve(maps, masks), strict=True):
        assert flagged(maps, masks, threshold)[:2] == pytest.approx((fpr, tpr), abs=1e-12)
    for fpr, pro, threshold in zip(*pro_curve(maps, masks), strict=True):
        assert flagged(maps, masks, threshold)[::2] == pytest.approx((fpr, pro), abs=1e-12)
    for precision, recall, threshold in list(zip(*pr_curve(maps, masks), strict=True))[1:]:
        assert flagged(maps, masks, threshold)[1] == pytest.approx(recall, abs=1e-12)
        assert masks[maps >= threshold].mean() == pytest.approx(precision, abs=1e-12)


@given(st.integers(0, 10**6))
def test_curves_are_monotone_and_have_no_point_twice(seed: int) -> None:
    maps, masks = drawn(seed)
    for x, y, thresholds in (roc_curve(maps, masks), pro_curve(maps, masks)):
        assert (x[0], y[0], thresholds[0]) == (0, 0, math.inf)
        assert (x[-1], y[-1]) == (1, 1)
        assert np.all((np.diff(x) >= 0) & (np.diff(y) >= 0) & (np.diff(x) + np.diff(y) > 0))
        assert np.all(np.diff(thresholds) < 0)
    precision, recall, thresholds = pr_curve(maps, masks)
    assert (precision[0], recall[0], thresholds[0], recall[-1]) == (1, 0, math.inf, 1)
    assert np.all(np.diff(recall) > 0)
    assert np.all(np.diff(thresholds) < 0)


def test_the_last_point_is_interpolated_at_the_limit() -> None:
    pro = pro_curve([[[3.0, 2.0, 1.0, 0.0, 3.0]]], [[[0, 0, 0, 0, 1]]], max_fpr=0.1)
    assert (pro.fpr.tolist(), pro.pro.tolist()) == ([0, 0.1], [0, pytest.approx(0.4)])
    assert math.isnan(pro.thresholds[-1])


def test_a_limit_at_a_point_needs_no_interpolation() -> None:
    pro = pro_curve([[[3.0, 2.0, 1.0, 0.0, 3.0]]], [[[0, 0, 0, 0, 1]]], max_fpr=0.25)
    assert (pro.fpr.tolist(), pro.pro.tolist(), pro.thresholds.tolist()) == ([0, 0.25], [0, 1], [math.inf, 3])


def test_the_largest_float_and_infinity() -> None:
    top = float(np.finfo(np.float32).max)
    scores = np.array([[top, math.inf, -math.inf, 0.0]], np.float32)
    roc = roc_curve([scores], [[[1, 0, 0, 1]]])
    assert roc.fpr.tolist() == [0, 0.5, 0.5, 0.5, 1]
    assert roc.tpr.tolist() == [0, 0, 0.5, 1, 1]
    assert roc.thresholds.tolist() == [math.inf, math.inf, top, 0, -math.inf]


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("masks", [[None], [np.ones((2, 3))]])
def test_a_curve_needs_defect_and_normal_pixels(curve: Any, masks: list[Any]) -> None:
    with pytest.raises(InvalidInput, match=r"expected defect and normal pixels for a curve, got .*; a curve needs"):
        curve([np.arange(6.0).reshape(2, 3)], masks)


def test_the_limit_is_checked() -> None:
    with pytest.raises(InvalidInput, match="expected max_fpr"):
        pro_curve([[[0.0, 1.0]]], [[[0, 1]]], max_fpr=2)


@pytest.mark.parametrize("curve", CURVES)
def test_soft_masks_and_threads(curve: Any) -> None:
    maps, masks = drawn(4)
    soft = curve(maps, np.where(masks, 200, 30), mask_threshold=127, threads=2)
    for found, expected in zip(soft, curve(maps, masks), strict=True):
        assert np.array_equal(found, expected)
