"""Every metric against brute force: definitions spelled out in fractions, over every threshold and every region."""

from __future__ import annotations

import math
import tracemalloc
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fmas_evaluate import measures
from fmas_evaluate.collection import count
from fmas_evaluate.counts import DefectCounts

EXACT = 1e-12
DTYPES = [np.uint8, np.int16, np.int32, np.float16, np.float32, np.float64]


def flooded(mask: np.ndarray) -> list[list[tuple[int, int]]]:
    """The 8-connected regions, by flood fill."""
    left = {(int(y), int(x)) for y, x in np.argwhere(mask)}
    regions = []
    while left:
        queue = [min(left)]
        left.remove(queue[0])
        for y, x in queue:
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            queue.extend(sorted(near))
        regions.append(queue)
    return regions


def area(points: list[tuple[Fraction, Fraction]], limit: Fraction) -> Fraction:
    """Trapezoids below a polyline, cut at the limit."""
    total = Fraction(0)
    for (x0, y0), (x1, y1) in pairwise(points):
        if x0 >= limit:
            break
        end = min(x1, limit)
        y_end = y0 if x1 == x0 else y0 + (y1 - y0) * (end - x0) / (x1 - x0)
        total += (end - x0) * (y0 + y_end) / 2
    return total


def brute_force(maps: list[np.ndarray], masks: list[np.ndarray], limits: tuple[float, ...]) -> dict[str, float]:
    """Sweep all thresholds, from above the largest score down, and count."""
    normal = [float(s) for scores, mask in zip(maps, masks, strict=True) for s in scores[~mask]]
    regions = [
        [float(scores[at]) for at in region]
        for scores, mask in zip(maps, masks, strict=True)
        for region in flooded(mask)
    ]
    defects = [s for region in regions for s in region]
    roc, pro = [(Fraction(0), Fraction(0))], [(Fraction(0), Fraction(0))]
    precision_sum, f1, at = Fraction(0), Fraction(-1), math.nan
    for threshold in sorted({*normal, *defects}, reverse=True):
        false = sum(s >= threshold for s in normal)
        true = sum(s >= threshold for s in defects)
        fpr, recall = Fraction(false, len(normal)), Fraction(true, len(defects))
        precision_sum += (recall - roc[-1][1]) * Fraction(true, true + false)
        score = Fraction(2 * true, true + false + len(defects))
        if score > f1:
            f1, at = score, threshold
        overlaps = [Fraction(sum(s >= threshold for s in region), len(region)) for region in regions]
        roc.append((fpr, recall))
        pro.append((fpr, sum(overlaps, Fraction(0)) / len(regions)))
    found = {"auroc": area(roc, Fraction(1)), "ap": precision_sum, "f1": f1}
    for limit in limits:
        found[f"pro@{limit}"] = area(pro, Fraction(limit)) / Fraction(limit)
    return {name: float(value) for name, value in found.items()} | {"threshold": at}


def measured(counts: DefectCounts, limits: tuple[float, ...]) -> dict[str, float]:
    f1, threshold = measures.f1_max(counts)
    found = {"auroc": measures.auroc(counts), "ap": measures.average_precision(counts), "f1": f1}
    found |= {f"pro@{limit}": measures.pro(counts, limit) for limit in limits}
    return found | {"threshold": threshold}


def drawn(seed: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """A few ragged maps of one dtype, with few or many ties, and masks with both kinds of pixels."""
    rng = np.random.default_rng(seed)
    dtype = DTYPES[seed % len(DTYPES)]
    levels = int(rng.choice([2, 3, 10, 100]))
    maps, masks = [], []
    for _ in range(int(rng.integers(1, 4))):
        shape = tuple(rng.integers(1, 9, 2))
        scores = rng.integers(0, levels, shape)
        if np.dtype(dtype).kind != "u":
            scores = scores - levels // 2
        if np.dtype(dtype).kind == "f":
            # Negative, zero of both signs, fractions that round, infinities.
            scores = scores * rng.choice([-1.0, 1.0], shape) / rng.choice([1, 7])
            scores[rng.random(shape) < 0.03] = rng.choice([-math.inf, math.inf])
        maps.append(scores.astype(dtype))
        masks.append(rng.random(shape) < rng.choice([0.05, 0.3, 0.6]))
    maps.append(np.array([[1, 0]], dtype))
    masks.append(np.array([[True, False]]))
    return maps, masks


@pytest.mark.parametrize("block", range(5))
def test_all_measures_equal_brute_force(block: int) -> None:
    limits = (0.05, 0.3, 1.0)
    for seed in range(60 * block, 60 * block + 60):
        maps, masks = drawn(seed)
        expected = brute_force(maps, masks, limits)
        found = measured(count(maps, masks), limits)
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert found[name] == pytest.approx(value, rel=0, abs=EXACT), (seed, name)


@given(st.integers(0, 10**6), st.randoms(use_true_random=False))
def test_the_order_of_images_does_not_change_a_bit(seed: int, shuffler: object) -> None:
    maps, masks = drawn(seed)
    order = list(range(len(maps)))
    shuffler.shuffle(order)  # type: ignore[attr-defined]
    limits = (0.05, 0.3)
    again = count([maps[i] for i in order], [masks[i] for i in order])
    assert measured(again, limits) == measured(count(maps, masks), limits)


@given(st.integers(0, 10**6), st.sampled_from([np.float32, np.float64]))
def test_a_strictly_increasing_map_does_not_change_a_bit(seed: int, dtype: type) -> None:
    maps, masks = drawn(seed)
    distinct = np.unique(np.concatenate([scores.ravel().astype(np.float64) + 0.0 for scores in maps]))
    moved = np.cumsum(np.random.default_rng(seed).integers(1, 1000, distinct.size)).astype(dtype)
    ranked = [moved[np.searchsorted(distinct, scores.astype(np.float64))] for scores in maps]
    limits = (0.05, 0.3)
    before, after = measured(count(maps, masks), limits), measured(count(ranked, masks), limits)
    assert moved[np.searchsorted(distinct, before.pop("threshold"))] == after.pop("threshold")
    assert before == after


@given(st.sampled_from([0.01, 0.05, 0.3, 0.5, 1.0]), st.integers(1, 30), st.integers(1, 30))
@example(0.3, 1, 1)
def test_a_constant_map_gives_half_the_limit(limit: float, height: int, width: int) -> None:
    mask = np.zeros((height, width + 1), dtype=bool)
    mask[::2, 0] = True
    counts = count([np.full(mask.shape, 0.7)], [mask])
    assert measures.pro(counts, limit) == pytest.approx(limit / 2, rel=1e-15)
    assert measures.auroc(counts) == 0.5


@pytest.mark.parametrize(("inverted", "expected"), [(False, 1.0), (True, 0.0)])
def test_perfect_and_inverted_two_valued_maps(inverted: bool, expected: float) -> None:
    rng = np.random.default_rng(5)
    masks = rng.random((6, 31, 17)) < 0.2
    counts = count((masks != inverted).astype(np.float32), masks)
    for limit in (0.05, 0.3, 0.7, 1.0):
        assert measures.pro(counts, limit) == expected
    assert measures.auroc(counts) == expected
    assert (measures.average_precision(counts) == 1.0) is not inverted
    assert (measures.f1_max(counts) == (1.0, 1.0)) is not inverted


def test_pro_counts_regions_and_not_pixels() -> None:
    # The large region is found completely, the small one not at all; no normal pixel is above either.
    mask = np.zeros((20, 20), dtype=bool)
    mask[:10, :10] = mask[18, 18] = True
    scores = np.where(mask, 1.0, 0.5)
    scores[18, 18] = 0.0
    assert measures.pro(count([scores], [mask]), 0.3) == pytest.approx(0.5, rel=1e-15)


def test_the_straddling_tie_group_is_interpolated_at_the_limit() -> None:
    # One normal pixel of four above, two tied: the curve runs from (1/4, 0) to (3/4, 1) and is cut at 1/2.
    scores = np.array([[5.0, 3.0, 3.0, 1.0, 3.0]])
    mask = np.array([[False, False, False, False, True]])
    assert measures.pro(count([scores], [mask]), 0.5) == pytest.approx((0.25 * 0.5 / 2) / 0.5, rel=1e-15)


@pytest.mark.parametrize("block", [1, 1 << 16])
def test_the_highest_of_equally_good_thresholds_is_returned(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measures, "_BLOCK", block)
    # At 4: TP 1, FP 0 of 2, F1 2/3. At 1: TP 2, FP 2, F1 4/6.
    scores = np.array([[4.0, 3.0, 2.0, 1.0]])
    mask = np.array([[True, False, False, True]])
    assert measures.f1_max(count([scores], [mask])) == (2 / 3, 4.0)


@pytest.mark.parametrize("mask", [np.zeros((3, 4), dtype=bool), np.ones((3, 4), dtype=bool)])
def test_without_defect_or_normal_pixel_nothing_is_defined(mask: np.ndarray) -> None:
    counts = count([np.arange(12.0).reshape(3, 4)], [mask])
    assert all(math.isnan(value) for value in measured(counts, (0.3,)).values())


def test_counts_beyond_what_a_float_or_an_int64_sum_holds() -> None:
    # Of 2**61 normal pixels one more or less must not get lost, and the sums exceed int64.
    pixels, normal = 1000, 2**61
    above = np.arange(pixels, dtype=np.int64)[::-1] + 2**60 + 1
    counts = DefectCounts(
        scores=np.arange(pixels, dtype=np.float64),
        sizes=np.full(pixels, 10, np.int64),
        above=above,
        reached=above + 1,
        n_normal=normal,
        n_regions=pixels // 10,
        n_pixels=pixels + normal,
        n_images=1,
    )
    lost = sum(int(a) * 2 + 1 for a in above)
    assert measures.auroc(counts) == float(1 - Fraction(lost, 2 * pixels * normal))
    assert measures.pro(counts, 1.0) == pytest.approx(float(1 - Fraction(lost, 2 * pixels * normal)), rel=1e-15)


def test_huge_regions_take_no_memory_of_their_size() -> None:
    # A region of 10**9 pixels, of which three hundred are looked at, beside one of 2**20 + 1 and small ones.
    sizes = np.repeat([10**9, 2**20 + 1, 10], [300, 200, 500]).astype(np.int64)
    above = np.arange(1000, dtype=np.int64)[::-1] * 10
    counts = DefectCounts(
        scores=np.arange(1000, dtype=np.float64),
        sizes=sizes,
        above=above,
        reached=above + 1,
        n_normal=10_000,
        n_regions=52,
        n_pixels=11_000,
        n_images=1,
    )
    tracemalloc.start()
    found = measures.pro(counts, 1.0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    expected = sum((1 - Fraction(2 * int(a) + 1, 20_000)) / int(size) for a, size in zip(above, sizes, strict=True))
    assert found == pytest.approx(float(expected / 52), rel=1e-14)
    assert peak < 10_000_000


def test_more_distinct_scores_than_a_block() -> None:
    rng = np.random.default_rng(3)
    scores, mask = rng.random((600, 300)), rng.random((600, 300)) < 0.5  # 90,000 distinct scores in the defects
    counts = count([scores], [mask])
    order = np.argsort(-scores.ravel())
    true = np.cumsum(mask.ravel()[order])
    precision = true / np.arange(1, mask.size + 1)
    f1 = 2 * true / (np.arange(1, mask.size + 1) + mask.sum())
    assert measures.average_precision(counts) == pytest.approx(precision[mask.ravel()[order]].mean(), abs=EXACT)
    assert measures.f1_max(counts)[0] == pytest.approx(f1.max(), abs=EXACT)
    assert measures.f1_max(counts)[1] == scores.ravel()[order][np.argmax(f1)]
