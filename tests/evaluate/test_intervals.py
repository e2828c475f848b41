"""The intervals against an oracle that looks at every pair of pixels."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import astuple, replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.stats import rankdata

from fmas_evaluate import intervals
from fmas_evaluate.bin_counts import WEIGHT_UNIT
from fmas_evaluate.histogram import HistogramCounts
from fmas_evaluate.intervals import Bounded, ScoreBins
from fmas_evaluate.results import ROUNDING

LIMITS = (0.3, 0.05, 1.0, 1e-3)
NAMES = ("pixel_auroc", "average_precision", "f1_max", "aupro", "aupro@0.05", "aupro@1.0", "aupro@0.001")
ULPS = 1e-13  # the oracle's floating-point sums of up to a few hundred terms


def oracle(images: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """Every metric by its definition, from float64 scores, pixel against pixel."""
    defect_scores, sizes, normals, regions = [], [], [], 0
    for scores, mask in images:
        wide = scores.astype(np.float64)
        labelled, count = ndimage.label(mask, np.ones((3, 3)))
        regions += count
        defect_scores.append(wide[mask])
        sizes.append(np.bincount(labelled.ravel(), minlength=count + 1)[labelled[mask]])
        normals.append(wide[~mask])
    defects, weights, normal = np.concatenate(defect_scores), 1 / np.concatenate(sizes), np.concatenate(normals)
    above = (normal[None] > defects[:, None]).sum(1)
    reached = (normal[None] >= defects[:, None]).sum(1)
    found = (defects[None] >= defects[:, None]).sum(1)
    expected = {
        "pixel_auroc": float(np.mean(1 - (above + reached) / (2 * normal.size))),
        "average_precision": float(np.mean(found / (found + reached))),
        "f1_max": float(np.max(2 * found / (defects.size + found + reached))),
    }
    for name, limit in zip(NAMES[3:], LIMITS, strict=True):
        a, b = above / normal.size, reached / normal.size
        with np.errstate(invalid="ignore", divide="ignore"):
            partly = (limit - a) ** 2 / (2 * (b - a))
        area = np.where(b <= limit, limit - (a + b) / 2, np.where(a < limit, partly, 0.0))
        expected[name] = math.fsum(weights * area) / (regions * limit)
    return expected


def counted(images: list[tuple[np.ndarray, np.ndarray]], bins: int) -> HistogramCounts:
    counts = HistogramCounts(bins)
    for scores, mask in images:
        counts.add(scores, mask)
    return counts


TRANSFORMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "as they are": lambda scores: scores,
    "exp": np.exp,
    "exp of large": lambda scores: np.exp(200 * scores),  # beyond float32 on both sides
    "log": lambda scores: np.log(np.abs(scores) + 1e-300),
    "ranks": lambda scores: rankdata(scores).reshape(scores.shape),
    "few values": np.round,
    "close together": lambda scores: 1 + scores * 1e-6,  # all in a few bins
    "closer than float32": lambda scores: 1 + scores * 1e-12,
    "one value": np.zeros_like,
    "two values": lambda scores: (scores > 0.5) * 1.0,
    "with infinities": lambda scores: np.where(scores > 1, np.inf, np.where(scores < -1, -np.inf, scores)),
    "with negative zeros": lambda scores: np.where(scores > 0, 0.0, np.where(scores > -1, -0.0, scores)),
}


def random_images(rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
    """One to three small images with at least one defect and one normal pixel."""
    transform = TRANSFORMS[str(rng.choice(list(TRANSFORMS)))]
    dtype = rng.choice([np.float32, np.float64])
    lift = rng.choice([0.0, 0.5, 2.0])
    while True:
        masks = [
            rng.random(rng.integers(1, 9, 2)) < rng.choice([0.05, 0.3, 0.7]) for _ in range(int(rng.integers(1, 4)))
        ]
        share = np.concatenate([mask.ravel() for mask in masks])
        if share.any() and not share.all():
            break
    images = []
    for mask in masks:
        scores = rng.standard_normal(mask.shape)
        with np.errstate(over="ignore"):
            images.append((transform(scores + lift * mask).astype(dtype), mask))
    return images


def check_contained(images: list[tuple[np.ndarray, np.ndarray]], bins: int) -> dict[str, Bounded]:
    found = counted(images, bins).results(LIMITS)
    expected = oracle(images)
    assert tuple(found) == NAMES
    for name, bounded in found.items():
        assert 0 <= bounded.lower <= bounded.value <= bounded.upper <= 1, name
        assert bounded.lower - ULPS <= expected[name] <= bounded.upper + ULPS, (name, bounded, expected[name])
    return found


@pytest.mark.parametrize("seed", range(10))
def test_the_exact_value_lies_in_the_interval(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(1000):
        check_contained(random_images(rng), int(rng.choice([2**10, 2**12])))


def test_the_exact_value_lies_in_the_interval_with_the_usual_bins() -> None:
    rng = np.random.default_rng(10)
    for _ in range(100):
        check_contained(random_images(rng), 2**20)


def exactly(images: list[tuple[np.ndarray, np.ndarray]], limit: float) -> tuple[Fraction, Fraction]:
    """AUROC and PRO as fractions, for containment without any allowance."""
    counts = counted(images, 2**10)
    normals = [Fraction(float(x)) for scores, mask in images for x in scores[~mask]]
    auroc = pro = Fraction(0)
    for scores, mask in images:
        labelled, _ = ndimage.label(mask, np.ones((3, 3)))
        for place in np.argwhere(mask):
            score = Fraction(float(scores[tuple(place)]))
            a = Fraction(sum(x > score for x in normals), len(normals))
            b = Fraction(sum(x >= score for x in normals), len(normals))
            level = Fraction(limit)
            area = level - (a + b) / 2 if b <= level else (level - a) ** 2 / (2 * (b - a)) if a < level else Fraction(0)
            auroc += (1 - (a + b) / 2) / counts.n_defect_pixels
            size = int((labelled == labelled[tuple(place)]).sum())
            pro += area / size / (counts.n_regions * level)
    return auroc, pro


def test_bounds_hold_without_any_allowance_for_rounding() -> None:
    rng = np.random.default_rng(11)
    for _ in range(60):
        mask = rng.random((5, 5)) < 0.4
        mask[0, 0], mask[4, 4] = True, False
        images = [(rng.standard_normal((5, 5)).astype(np.float32), mask)]
        found = counted(images, 2**10).results((0.3,))
        auroc, pro = exactly(images, 0.3)
        assert Fraction(found["pixel_auroc"].lower) <= auroc <= Fraction(found["pixel_auroc"].upper)
        assert Fraction(found["aupro"].lower) <= pro <= Fraction(found["aupro"].upper)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16, np.float16])
def test_narrow_scores_are_exact(dtype: type) -> None:
    rng = np.random.default_rng(12)
    for _ in range(60):
        images = []
        for _ in range(2):
            mask = rng.random((9, 7)) < 0.3
            mask[0, 0], mask[8, 6] = True, False
            noise = rng.standard_normal(mask.shape) * rng.choice([3, 30]) + 50 * rng.random() + 10 * mask
            images.append((noise.clip(0 if np.dtype(dtype).kind == "u" else -128, 127).astype(dtype), mask))
        expected = oracle(images)
        counts = counted(images, 2**10)
        assert counts.exact
        for name, bounded in counts.results(LIMITS).items():
            assert bounded.lower - 1e-15 <= expected[name] <= bounded.upper + 1e-15, name  # the oracle's own rounding
            assert bounded.upper - bounded.lower <= (0 if name in UNSUMMED else ROUNDING), name


def test_coarse_float32_scores_are_exact_and_fine_ones_are_not() -> None:
    rng = np.random.default_rng(13)
    mask = rng.random((20, 20)) < 0.3
    scores = rng.integers(0, 256, mask.shape).astype(np.float32)
    exact = counted([(scores, mask)], 2**20).results()["pixel_auroc"]
    assert exact.lower == exact.upper == pytest.approx(oracle([(scores, mask)])["pixel_auroc"], abs=1e-14)
    fine = counted([(scores / 255, mask)], 2**20).results()["pixel_auroc"]
    assert fine.lower < fine.upper


def test_all_in_one_bin_says_nothing_about_the_order() -> None:
    mask = np.array([[True, False, True, False]])
    scores = (1 + np.arange(4) * 1e-6).astype(np.float32).reshape(1, 4)
    found = check_contained([(scores, mask)], 2**10)
    assert (found["pixel_auroc"].lower, found["pixel_auroc"].value, found["pixel_auroc"].upper) == (0.0, 0.5, 1.0)
    assert (found["aupro"].lower, found["aupro"].upper) == (0.0, 1.0)
    assert found["f1_max"].value == pytest.approx(2 / 3) and found["f1_max"].upper == 1.0
    # At worst the two come last: precisions 1/3 and 2/4, whose mean is 5/12.
    assert found["average_precision"].lower == pytest.approx(5 / 12) and found["average_precision"].upper == 1.0


@pytest.mark.parametrize("flip", [False, True])
def test_extremes_within_a_bin_are_reached(flip: bool) -> None:
    """The worst and the best order of scores within a bin give the bounds themselves: they cannot be narrower."""
    mask = np.array([[False] * 5 + [True]])
    order = np.array([[5, 4, 3, 2, 1, 0]]) if flip else np.array([[0, 1, 2, 3, 4, 5]])
    images = [((1 + order * 1e-6).astype(np.float32), mask)]
    found = check_contained(images, 2**10)
    for name, expected in oracle(images).items():
        reached = found[name].lower if flip else found[name].upper
        assert reached == pytest.approx(expected, abs=1e-12), name


def test_average_precision_of_many_defects_below_as_many_normal_pixels_is_bounded_closely() -> None:
    """One bin with 10,000 of each: the bound by the integral is within 1e-4 of the worst order, ends alone are not."""
    count = 10_000
    bins = ScoreBins(np.ones(1), np.array([count]), np.array([count]), np.ones(1), 1, exact=False)
    ranks = np.arange(1, count + 1)
    worst = float(np.mean(ranks / (ranks + count)))
    assert worst - 1e-4 < intervals.average_precision(bins).lower <= worst


def test_f1_is_reached_at_its_threshold() -> None:
    rng = np.random.default_rng(14)
    for dtype in (np.float32, np.float64, np.uint8):
        mask = rng.random((30, 30)) < 0.2
        scores = (100 + 20 * rng.standard_normal(mask.shape) + 30 * mask).clip(0, 255).astype(dtype)
        best = counted([(scores, mask)], 2**12).results()["f1_max"]
        assert best.threshold is not None
        predicted = scores >= best.threshold
        assert 2 * (predicted & mask).sum() / (predicted.sum() + mask.sum()) == best.value


def test_among_equal_f1_the_highest_threshold_is_reported() -> None:
    # 4: one of two defects found, no false alarm, 2/3. 2: both found, two false alarms, 2/3.
    scores, mask = np.array([[4, 3, 3, 2, 1]], np.uint8), np.array([[True, False, False, True, False]])
    best = counted([(scores, mask)], 2**10).results()["f1_max"]
    assert (best.value, best.threshold) == (2 / 3, 4.0)


@pytest.mark.parametrize("bits", [16, 20, 22])
def test_more_bins_narrow_the_intervals(bits: int) -> None:
    rng = np.random.default_rng(15)
    mask = np.zeros((400, 400), np.bool_)
    mask[100:200, 50:150] = True
    scores = rng.standard_normal(mask.shape, dtype=np.float32) + mask
    found = counted([(scores.astype(np.float32), mask)], 2**bits).results(LIMITS)
    # A bin spans 2**(9 - bits) of its lower edge, and a standard normal density times that stays below one half of it.
    for name in ("pixel_auroc", "average_precision", "f1_max", "aupro"):
        assert 0 < found[name].upper - found[name].lower < 2.0 ** (9 - bits)


UNSUMMED = ("pixel_auroc", "f1_max")  # integers, divided once: the same bits wherever they are computed


BIN_COUNTS = st.lists(st.tuples(st.integers(0, 2**40), st.integers(0, 2**40)), min_size=1, max_size=30)


@given(BIN_COUNTS)
def test_auroc_of_huge_counts_is_correctly_rounded(counts: list[tuple[int, int]]) -> None:
    normals, defects = (np.array(column, np.int64) for column in zip(*counts, strict=True))
    bins = ScoreBins(np.arange(normals.size)[::-1] * 1.0, normals, defects, defects / 7, 5, exact=True)
    won = tied = below = 0
    for normal, defect in reversed(counts):
        won, tied, below = won + defect * below, tied + defect * normal, below + normal
    total = sum(normal for normal, _ in counts) * sum(defect for _, defect in counts)
    value = intervals.auroc(bins).value
    assert math.isnan(value) if total == 0 else value == float(Fraction(2 * won + tied, 2 * total))


@settings(deadline=None)
@given(BIN_COUNTS, st.sampled_from(LIMITS))
def test_intervals_of_any_counts_are_in_order_and_contain_the_exact_mode(
    counts: list[tuple[int, int]], limit: float
) -> None:
    normals, defects = (np.array(column, np.int64) for column in zip(*counts, strict=True))
    if not normals.any() or not defects.any():
        return
    weights = defects / defects.sum() * 3
    bins = ScoreBins(np.arange(normals.size)[::-1] * 1.0, normals, defects, weights, 3, exact=False)
    for metric in (intervals.auroc, intervals.average_precision, intervals.f1_max, lambda b: intervals.pro(b, limit)):
        loose, exact = metric(bins), metric(replace(bins, exact=True))
        assert loose.lower <= exact.lower <= exact.value == loose.value <= exact.upper <= loose.upper
        rounding = 2.0**-46 + 2.0**-51 / limit + int(defects.sum()) * WEIGHT_UNIT / 3
        assert exact.upper - exact.lower <= 2.01 * rounding


@pytest.mark.parametrize(("normals", "defects"), [([3, 2], [0, 0]), ([0, 0], [3, 2]), ([], [])])
def test_without_a_defect_or_without_a_normal_pixel_all_is_nan(normals: list[int], defects: list[int]) -> None:
    empty = np.array(normals, np.int64), np.array(defects, np.int64)
    bins = ScoreBins(np.arange(len(normals))[::-1] * 1.0, *empty, np.array(defects) / 5, 1, exact=False)
    for bounded in (intervals.auroc(bins), intervals.average_precision(bins), intervals.f1_max(bins)):
        assert all(math.isnan(number) for number in astuple(bounded)[:3])
        assert bounded.limit is None and bounded.threshold is None
    assert math.isnan(intervals.pro(bins, 0.3).value) and intervals.pro(bins, 0.3).limit == 0.3


def test_long_sums_are_as_good_as_exact_ones() -> None:
    """Beyond 2**17 bins sums are made in pieces; the result stays within the error that the bounds allow for."""
    rng = np.random.default_rng(16)
    size = 2**18 + 5
    normals, defects = rng.integers(1, 1000, size), rng.integers(1, 1000, size)
    bins = ScoreBins(np.arange(size)[::-1] * 1.0, normals, defects, defects / 11, 9, exact=True)
    reached, found = np.cumsum(normals), np.cumsum(defects)
    expected = math.fsum((defects * (found / (found + reached))).tolist()) / defects.sum()
    assert abs(intervals.average_precision(bins).value - expected) < 2**-47
