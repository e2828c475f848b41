from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from fmas_evaluate import InvalidInput, InvalidType, aupro, per_region_overlap

MASK = np.zeros((6, 6), dtype=bool)
MASK[0, :4] = MASK[3:5, 3:5] = True
SCORES = np.zeros((6, 6))
SCORES[0, :4] = [1, 2, 3, 4]
SCORES[3:5, 3:5] = [[5, 0], [2, 2]]


def test_pro_is_never_above_one() -> None:
    # An integral that stops at the last point before the limit and divides by it, or sums floats, can be.
    rng = np.random.default_rng(0)
    for _ in range(20):
        masks = rng.random((2, 30, 30)) < 0.2
        assert aupro(masks + rng.random(masks.shape) * 0.01, masks, max_fpr=float(rng.uniform(0.001, 1))) == 1.0


def test_a_limit_below_one_normal_pixel_is_interpolated() -> None:
    # The best of four normal pixels ties with the defect: the curve rises from (0, 0) to (1/4, 1).
    found = aupro([[[3.0, 2.0, 1.0, 0.0, 3.0]]], [[[0, 0, 0, 0, 1]]], max_fpr=0.1)
    assert found == pytest.approx((0.1 * 0.4 / 2) / 0.1, rel=1e-15)
    assert found.limit == 0.1


@pytest.mark.parametrize(("limit", "error"), [(0, InvalidInput), (30, InvalidInput), ("0.3", InvalidType)])
def test_the_limit_is_checked_before_anything_is_read(limit: Any, error: type[Exception]) -> None:
    def unreadable() -> Any:
        raise AssertionError("the maps were read")
        yield

    with pytest.raises(error, match="expected max_fpr"):
        aupro(unreadable(), unreadable(), max_fpr=limit)


@pytest.mark.parametrize(
    ("threshold", "expected"), [(2, [0.75, 0.75]), (4.5, [0, 0.25]), (-1, [1, 1]), (math.inf, [0, 0])]
)
def test_overlap_per_region(threshold: float, expected: list[float]) -> None:
    found = per_region_overlap([SCORES], [MASK], threshold=threshold)
    assert found.tolist() == expected
    assert found.dtype == np.float64


def test_regions_come_image_by_image() -> None:
    found = per_region_overlap([SCORES, SCORES, SCORES.T], [MASK, None, MASK.T], threshold=5)
    assert found.tolist() == [0, 0.25, 0, 0.25]
    assert per_region_overlap([SCORES], [None], threshold=5).shape == (0,)


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32])
def test_the_threshold_is_not_rounded_to_the_dtype_of_the_scores(dtype: Any) -> None:
    for threshold, expected in ((2.0 + 1e-9, [0.5, 0.25]), (2.0, [0.75, 0.75]), (300.0, [0, 0])):
        assert per_region_overlap([SCORES.astype(dtype)], [MASK], threshold=threshold).tolist() == expected


def test_nan_is_no_threshold() -> None:
    with pytest.raises(InvalidInput, match=r"expected a number as threshold, got NaN; pass a score"):
        per_region_overlap([SCORES], [MASK], threshold=math.nan)


def test_a_soft_mask_needs_a_threshold_of_its_own() -> None:
    with pytest.raises(InvalidInput, match="needs mask_threshold"):
        per_region_overlap([SCORES], [MASK * 100], threshold=2)
    assert per_region_overlap([SCORES], [MASK * 100], threshold=2, mask_threshold=50).tolist() == [0.75, 0.75]
