from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmas_evaluate.counts import first_of_each, sort_defects

PIXELS = st.lists(st.tuples(st.floats(allow_nan=False, width=32), st.integers(1, 2**32 - 1)), max_size=40)


@given(PIXELS, st.sampled_from([np.float32, np.float64]), st.integers(0, 40))
def test_sorted_by_score_and_then_by_size(pixels: list[tuple[float, int]], dtype: Any, cut: int) -> None:
    scores, sizes = np.array([s for s, _ in pixels], dtype), np.array([n for _, n in pixels], np.int64)
    found = sort_defects([scores[:cut], scores[cut:]], [sizes[:cut], sizes[cut:]], np.dtype(dtype))
    assert list(zip(found.scores.tolist(), found.sizes.tolist(), strict=True)) == sorted(pixels)
    assert found.scores.dtype == dtype
    assert found.sizes.dtype == np.int64


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_zeros_of_both_signs_are_one_score(dtype: Any) -> None:
    scores = np.array([0.0, -0.0, 1.0, -0.0], dtype)
    wide = np.dtype(np.promote_types(dtype, np.float32))
    found = sort_defects([scores], [np.array([4, 3, 2, 1])], wide)
    assert not np.signbit(found.scores).any()
    assert found.sizes.tolist() == [1, 3, 4, 2]


def test_infinities_and_the_smallest_floats_are_in_order() -> None:
    scores = np.array([math.inf, 1e-45, -math.inf, -1e-45, 0.0, 3e38, -3e38], np.float32)
    found = sort_defects([scores], [np.ones(7, np.int64)], np.dtype(np.float32))
    assert found.scores.tolist() == sorted(scores.tolist())


def test_regions_too_large_for_the_packed_sort() -> None:
    found = sort_defects([np.array([2, 1, 1], np.float32)], [np.array([1, 2**33, 2**32])], np.dtype(np.float32))
    assert found.scores.tolist() == [1.0, 1.0, 2.0]
    assert found.sizes.tolist() == [2**32, 2**33, 1]


@given(st.lists(st.integers(-3, 3)))
def test_the_first_of_each(values: list[int]) -> None:
    ascending = np.sort(np.array(values, np.float64))
    assert first_of_each(ascending).tolist() == np.unique(ascending, return_index=True)[1].tolist()
