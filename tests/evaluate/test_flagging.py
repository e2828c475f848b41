from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from fmas_evaluate import (
    Evaluator,
    InvalidInput,
    InvalidType,
    compute_stream,
    misses_by_size,
    per_region_overlap,
    threshold_report,
)
from fmas_evaluate.flagging import checked_mask_threshold, checked_threshold, reaches


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_the_threshold_is_not_rounded_to_the_type_of_the_scores(dtype: type) -> None:
    narrow = np.array([0.7, 0.3], dtype)
    assert reaches(narrow, 0.7).tolist() == [float(narrow[0]) >= 0.7, False]
    assert reaches(narrow, float(narrow[0])).tolist() == [True, False]
    assert not reaches(narrow, 1e300).any()  # infinite as float16: equal to what is infinite, and a warning
    assert reaches(np.array([[3, 4]], np.uint8), 3.5).tolist() == [[False, True]]


def test_all_that_count_flagged_pixels_agree_on_what_is_flagged() -> None:
    maps, masks = np.full((1, 2, 2), 0.7, np.float32), np.eye(2, dtype=bool)[np.newaxis]
    assert per_region_overlap(maps, masks, threshold=0.7).tolist() == [0.0]
    assert misses_by_size(maps, masks, threshold=0.7)[0].n_missed == 1
    assert threshold_report(maps, masks, threshold=0.7).recall == 0.0


@pytest.mark.parametrize("threshold", ["0.5", None, True, [0.5]])
def test_a_threshold_is_a_number(threshold: Any) -> None:
    for call in (
        lambda: misses_by_size(np.zeros((1, 2, 2)), [None], threshold=threshold),
        lambda: per_region_overlap(np.zeros((1, 2, 2)), [None], threshold=threshold),
        lambda: checked_threshold(threshold),
    ):
        with pytest.raises(InvalidType, match=r"expected a number as threshold, got .*; pass a score"):
            call()


def test_the_wishes_of_a_report_are_numbers() -> None:
    with pytest.raises(InvalidType, match=r"expected a number as threshold, got '0\.5'; pass a score"):
        threshold_report(np.zeros((1, 2, 2)), [None], threshold="0.5")  # type: ignore[arg-type]
    for fpr in ("0.1", True):
        with pytest.raises(InvalidType, match=r"expected fpr as a number, got .*; pass the share"):
            threshold_report(np.zeros((1, 2, 2)), [None], fpr=fpr)  # type: ignore[arg-type]


def test_thresholds_that_are_accepted() -> None:
    assert checked_threshold(np.float32(0.5)) == 0.5
    assert checked_threshold(-math.inf) == -math.inf
    assert checked_mask_threshold(None) is None
    assert checked_mask_threshold(np.uint8(127)) == 127.0


@pytest.mark.parametrize(("given", "error"), [(math.nan, InvalidInput), (math.inf, InvalidInput), ("a", InvalidType)])
def test_a_mask_threshold_is_checked_before_an_image_is_read(given: Any, error: type[Exception]) -> None:
    for call in (
        lambda: checked_mask_threshold(given),
        lambda: Evaluator(mask_threshold=given),
        lambda: compute_stream(lambda: iter(()), mask_threshold=given),
    ):
        with pytest.raises(error, match=r"expected .*mask_threshold.*, got .*; pass a value in the masks' unit"):
            call()
