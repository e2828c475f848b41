from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmas_evaluate.aupimo import aupimo
from fmas_evaluate.errors import InvalidInput, InvalidType

pytestmark = pytest.mark.filterwarnings("ignore:AUPIMO reaches below:RuntimeWarning")


def integrated(maps: list[np.ndarray], masks: list[np.ndarray], bounds: tuple[float, float]) -> list[float]:
    """The definition: every score is a threshold, straight lines over log FPR, trapezoids cut at the bounds."""
    normal = [scores for scores, mask in zip(maps, masks, strict=True) if not mask.any()]
    thresholds = np.unique(np.concatenate([scores.ravel() for scores in maps]))[::-1]
    rates = np.array([np.mean([np.mean(scores >= threshold) for scores in normal]) for threshold in thresholds])
    start, end = math.log(bounds[0]), math.log(bounds[1])
    values = []
    for scores, mask in zip(maps, masks, strict=True):
        if not mask.any():
            values.append(math.nan)
            continue
        overlap = np.array([np.mean(scores[mask] >= threshold) for threshold in thresholds])[rates > 0]
        x = np.concatenate([[start - 1e9], np.log(rates[rates > 0])])
        y = np.concatenate([overlap[:1], overlap])
        total = 0.0
        for x0, x1, y0, y1 in zip(x, x[1:], y, y[1:], strict=False):
            left, right = max(x0, start), min(x1, end)
            if left < right:
                heights = [y0 + (y1 - y0) * (at - x0) / (x1 - x0) for at in (left, right)]
                total += (right - left) * sum(heights) / 2
        values.append(total / (end - start))
    return values


@settings(max_examples=150)
@given(
    st.integers(0, 100_000),
    st.sampled_from([2, 4, 20, 100_000]),
    st.sampled_from([(1e-5, 1e-4), (0.01, 0.2), (0.05, 1.0), (0.3, 0.9)]),
    st.booleans(),
)
def test_equals_the_integral_of_the_definition(
    seed: int, levels: int, bounds: tuple[float, float], ragged: bool
) -> None:
    rng = np.random.default_rng(seed)
    shapes = [tuple(rng.integers(3, 8, 2)) if ragged else (5, 6) for _ in range(5)]
    masks = [rng.random(shape) < share for shape, share in zip(shapes, (0.2, 0.5, 0.9, 0.0, 0.0), strict=True)]
    masks[0][0, 0] = True
    maps = [rng.integers(0, levels, mask.shape) + mask * rng.integers(0, levels) * 1.0 for mask in masks]
    got = aupimo(maps, masks, bounds=bounds)
    expected = integrated(maps, masks, bounds)
    assert got.scores == pytest.approx(expected, abs=1e-9, nan_ok=True)  # the 1e9 above costs some digits
    assert got.mean == pytest.approx(np.nanmean(expected), abs=1e-9)
    assert float(got) == got.mean
    assert (got.n_normal, got.n_defective) == (sum(not mask.any() for mask in masks), sum(mask.any() for mask in masks))


def test_the_published_bounds_on_many_normal_pixels() -> None:
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(6, 200, 250))
    masks = np.zeros(maps.shape, dtype=bool)
    masks[:3, 50:60, 50:60] = True
    maps[masks] += 3.5
    got = aupimo(maps, masks)
    assert 0.05 < got.mean < 0.95 and np.isnan(got.scores[3:]).all()
    # By hand: mean over the pixels of the share of [log 1e-5, log 1e-4] above the rate of normal pixels above each.
    normal = np.sort(maps[3:].ravel())
    rates = (normal.size - np.searchsorted(normal, maps[0][masks[0]])) / normal.size
    with np.errstate(divide="ignore"):
        shares = np.clip((math.log(1e-4) - np.log(rates)) / math.log(10), 0, 1)
    assert got.scores[0] == pytest.approx(shares.mean(), abs=1e-12)


@pytest.mark.parametrize(("lift", "expected"), [(100.0, 1.0), (-100.0, 0.0)])
def test_perfect_and_inverted_maps(lift: float, expected: float) -> None:
    maps = np.random.default_rng(1).normal(size=(4, 20, 20))
    masks = np.zeros(maps.shape, dtype=bool)
    masks[:2, :5, :5] = True
    maps[masks] += lift
    assert aupimo(maps, masks, bounds=(0.01, 0.1)).mean == expected


def test_only_normal_images_set_the_rate() -> None:
    rng = np.random.default_rng(2)
    maps = rng.normal(size=(4, 20, 20))
    masks = np.zeros(maps.shape, dtype=bool)
    masks[:2, :5, :5] = True
    before = aupimo(maps, masks, bounds=(0.01, 0.1))
    maps[:2][~masks[:2]] += 50.0  # false alarms beside a defect
    assert np.array_equal(aupimo(maps, masks, bounds=(0.01, 0.1)).scores, before.scores, equal_nan=True)


def test_a_strictly_increasing_map_and_infinite_scores() -> None:
    rng = np.random.default_rng(3)
    maps = rng.integers(0, 5, (3, 10, 10)).astype(float)
    masks = np.zeros(maps.shape, dtype=bool)
    masks[0, :4, :4] = True
    plain = aupimo(maps, masks, bounds=(0.1, 0.9)).mean
    assert aupimo(np.where(maps == 4, np.inf, maps**3 - 7), masks, bounds=(0.1, 0.9)).mean == plain


def test_iterators_and_none_for_a_good_image() -> None:
    maps = np.random.default_rng(4).normal(size=(2, 9, 9))
    mask = np.zeros((9, 9), dtype=bool)
    mask[0, 0] = True
    listed = aupimo(maps, [mask, None], bounds=(0.1, 0.5))
    assert aupimo(iter(maps), iter([mask, None]), bounds=(0.1, 0.5)).mean == listed.mean


@pytest.mark.filterwarnings("default:AUPIMO reaches below:RuntimeWarning")
def test_too_few_normal_pixels_are_pointed_out() -> None:
    maps, masks = np.random.default_rng(5).normal(size=(2, 10, 10)), [np.eye(10, dtype=bool), None]
    with pytest.warns(RuntimeWarning, match="one normal pixel is a rate of 0.01, the lower bound is 1e-05") as caught:
        aupimo(maps, masks)
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("masks", "counts"), [([None, None], "0 defective and 2 normal"), (np.ones((2, 3, 3)), "2 defective and 0")]
)
def test_one_kind_of_image_only_is_nan(masks: list[None] | np.ndarray, counts: str) -> None:
    with pytest.warns(RuntimeWarning, match=counts):
        result = aupimo(np.zeros((2, 3, 3)), masks)
    assert math.isnan(result.mean) and np.isnan(result.scores).all() and result.scores.shape == (2,)


@pytest.mark.parametrize("bounds", [(0.0, 0.1), (0.2, 0.1), (0.1, 0.1), (0.1, 1.5)])
def test_bounds_are_checked(bounds: tuple[float, float]) -> None:
    with pytest.raises(InvalidInput, match="expected bounds 0 < L < U <= 1"):
        aupimo(np.zeros((1, 2, 2)), [None], bounds=bounds)


@pytest.mark.parametrize("bounds", [1e-4, (1e-4,), (1e-5, 1e-4, 1e-3), ("a", "b")])
def test_bounds_are_two_numbers(bounds: Any) -> None:
    with pytest.raises(InvalidType, match="bounds as two rates"):
        aupimo([np.zeros((2, 2))], [None], bounds=bounds)
