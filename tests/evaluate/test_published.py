"""The published protocols, written out threshold by threshold from what the published code does."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from fmas_evaluate.published import (
    area_up_to,
    mvtec_curve,
    precision_recall_area,
    rd4ad_area,
    sampled_curve,
    trapezoid,
    visa_areas,
)
from fmas_evaluate.samples import count_samples, take_apart

CASES = st.tuples(st.integers(0, 100_000), st.sampled_from([3, 12, 10_000]), st.sampled_from(["float32", "float64"]))


def images(seed: int, levels: int, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    masks = rng.random((4, 12, 12)) < np.array([0.1, 0.3, 0.5, 0.0])[:, None, None]
    masks[0, 0, 0], masks[0, -1, -1] = True, False
    maps = (rng.integers(0, levels, masks.shape) / levels + masks * rng.random()).astype(dtype)
    return maps, masks


def regions_of(maps: np.ndarray, masks: np.ndarray) -> list[np.ndarray]:
    found = []
    for scores, mask in zip(maps, masks, strict=True):
        labelled, count = ndimage.label(mask, structure=np.ones((3, 3)))
        found += [scores[labelled == number + 1] for number in range(count)]
    return found


def area(points: list[tuple[float, float]]) -> float:
    return sum((y0 + y1) / 2 * (x1 - x0) for (x0, y0), (x1, y1) in pairwise(points))


@settings(max_examples=40)
@given(CASES)
def test_mvtec_takes_every_score_as_a_threshold_and_interpolates_at_the_limit(case: tuple[int, int, str]) -> None:
    maps, masks = images(*case)
    regions, normal = regions_of(maps, masks), maps[~masks]
    curve = [(0.0, 0.0)]
    for threshold in np.unique(maps)[::-1]:
        rate = float(np.float32(np.float32(np.count_nonzero(normal >= threshold)) / np.float32(normal.size)))
        curve.append((rate, float(np.mean([np.mean(region >= threshold) for region in regions]))))
    curve.append((1.0, 1.0))
    got = mvtec_curve(take_apart(maps, masks))
    assert got[0] == pytest.approx([x for x, _ in curve], abs=1e-7)
    assert got[1] == pytest.approx([y for _, y in curve], abs=1e-12)
    assert np.array_equal(got[0], got[0].astype(np.float32))
    for limit in (0.05, 0.3):
        below = [point for point in curve if point[0] <= limit]
        (x0, y0), (x1, y1) = below[-1], curve[len(below)]
        below.append((limit, y0 + (y1 - y0) * (limit - x0) / (x1 - x0)))
        assert area_up_to(*got, limit) == pytest.approx(area(below) / limit, abs=1e-7)


@settings(max_examples=40)
@given(CASES, st.sampled_from([2, 10, 100, 700]))
def test_sampled_curve_goes_through_the_normal_scores_at_even_ranks(case: tuple[int, int, str], number: int) -> None:
    maps, masks = images(*case)
    regions, normal = regions_of(maps, masks), sorted(maps[~masks].astype(float))
    curve = [(1.0, 1.0)]
    for position in np.linspace(0, len(normal) - 1, num=number, dtype=int):
        overlap = np.mean([1 - np.mean(region.astype(float) <= normal[position]) for region in regions])
        curve.append((1.0 - (position + 1) / len(normal), float(overlap)))
    x, y = sampled_curve(take_apart(maps, masks), number)
    assert x == pytest.approx([rate for rate, _ in reversed(curve)], abs=1e-12)
    assert y == pytest.approx([overlap for _, overlap in reversed(curve)], abs=1e-12)


def rd4ad(maps: np.ndarray, masks: np.ndarray) -> float:
    maps = maps.astype(np.float64)
    regions, normal = regions_of(maps, masks), maps[~masks]
    points = []
    for threshold in np.arange(maps.min(), maps.max(), (maps.max() - maps.min()) / 200):
        rate = np.mean(normal > threshold)
        if rate < 0.3:
            points.append((float(rate), float(np.mean([np.mean(region > threshold) for region in regions]))))
    largest = max(rate for rate, _ in points)
    return area([(rate / largest, overlap) for rate, overlap in reversed(points)])


@settings(max_examples=40)
@given(CASES)
def test_rd4ad_divides_by_the_largest_rate_below_the_limit(case: tuple[int, int, str]) -> None:
    maps, masks = images(case[0], max(case[1], 12), case[2])
    for chosen in (slice(None), slice(0, 1)):
        assert rd4ad_area(take_apart(maps[chosen], masks[chosen])) == pytest.approx(
            rd4ad(maps[chosen], masks[chosen]), abs=1e-9
        )


@pytest.mark.parametrize(
    "scores",
    [
        np.full((2, 2), 0.5),  # no step between equal scores
        np.array([[1.0, 0.0], [0.0, 0.0]]),  # every rate below 0.3 is 0
        np.array([[0.0, 1.0], [0.9999, 1.0]]),  # the last threshold alone is below 0.3, if any
        np.array([[np.inf, 0.0], [0.0, 0.0]]),  # no even steps to infinity
    ],
)
def test_rd4ad_is_not_defined_where_its_code_fails(scores: np.ndarray) -> None:
    mask = np.array([[True, False], [False, False]])
    assert math.isnan(rd4ad_area(take_apart([scores], [mask])))


def test_rd4ad_is_not_defined_without_a_normal_pixel() -> None:
    assert math.isnan(rd4ad_area(take_apart([np.array([[0.0, 1.0]])], [np.array([[True, True]])])))


@settings(max_examples=40)
@given(CASES)
def test_visa_takes_202_thresholds_from_the_defect_pixels(case: tuple[int, int, str]) -> None:
    maps, masks = images(*case)
    maps = maps.astype(np.float64)
    defects, normal = maps[masks], maps[~masks]
    thresholds = [np.percentile(defects, share) for share in np.linspace(100, 0, 100)]
    thresholds += np.linspace(defects.max(), defects.min(), 100).tolist()
    thresholds += [maps.min() - 1e-8, maps.max() + 1e-8]
    roc, pr = [], []
    for threshold in sorted(thresholds, reverse=True):
        hits, alarms = np.count_nonzero(defects > threshold), np.count_nonzero(normal > threshold)
        recall = hits / defects.size
        roc.append((alarms / normal.size, recall))
        pr.append((recall, hits / (hits + alarms) if hits + alarms else 1.0))
    assert len(thresholds) == 202
    assert visa_areas(take_apart(maps, masks)) == pytest.approx((area(roc), area(pr)), abs=1e-12)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=25))
def test_precision_recall_area_goes_through_every_threshold(pairs: list[tuple[int, bool]]) -> None:
    scores, labels = np.array([score for score, _ in pairs]), np.array([label for _, label in pairs])
    counts = count_samples(take_apart([scores[None].astype(float)], [labels[None]]))
    if not labels.any():
        assert math.isnan(precision_recall_area(counts))
        return
    points = [(Fraction(0), Fraction(1))]
    for threshold in np.unique(scores)[::-1]:
        hits, alarms = (int(np.count_nonzero((scores >= threshold) & kind)) for kind in (labels, ~labels))
        points.append((Fraction(hits, int(labels.sum())), Fraction(hits, hits + alarms)))
    expected = sum((y0 + y1) / 2 * (x1 - x0) for (x0, y0), (x1, y1) in pairwise(points))
    assert precision_recall_area(counts) == pytest.approx(float(expected), abs=1e-12)


def test_an_area_does_not_depend_on_the_direction() -> None:
    x, y = np.array([0.0, 0.5, 1.0]), np.array([0.0, 1.0, 1.0])
    assert trapezoid(x, y) == trapezoid(x[::-1], y[::-1]) == 0.75


def test_a_limit_that_is_a_point_of_the_curve_needs_no_interpolation() -> None:
    x, y = np.array([0.0, 0.25, 0.25, 1.0]), np.array([0.0, 0.5, 0.75, 1.0])
    assert area_up_to(x, y, 0.25) == 0.25
    assert area_up_to(x, y, 0.625) == pytest.approx((0.0625 + 0.375 * (0.75 + 0.875) / 2) / 0.625)
