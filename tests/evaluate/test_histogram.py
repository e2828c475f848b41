from __future__ import annotations

import json
import math
import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmas_evaluate import bin_counts, histogram, histogram_state
from fmas_evaluate.errors import InvalidInput, InvalidType
from fmas_evaluate.histogram import HistogramCounts
from fmas_evaluate.keys import BLOCK
from fmas_evaluate.regions import find_regions

BINS = 2**12
Image = tuple[np.ndarray, np.ndarray | None]


def some_images(count: int, seed: int, dtype: Any = np.float32) -> list[Image]:
    rng = np.random.default_rng(seed)
    images: list[Image] = []
    for index in range(count):
        shape = tuple(rng.integers(1, 30, 2))
        mask = rng.random(shape) < 0.3 if index % 3 else None
        scores = 20 * rng.standard_normal(shape) + 100
        images.append((scores.clip(0, 255).astype(dtype), mask))
    return images


def counted(images: Sequence[Image], bins: int = BINS) -> HistogramCounts:
    counts = HistogramCounts(bins)
    for scores, mask in images:
        counts.add(scores, mask)
    return counts


def assert_equal_states(left: dict[str, Any], right: dict[str, Any]) -> None:
    assert left.keys() == right.keys()
    for name, value in left.items():
        if isinstance(value, np.ndarray):
            assert value.dtype == right[name].dtype == np.int64 and np.array_equal(value, right[name]), name
        else:
            assert value == right[name] and type(value) is type(right[name]), name


def test_numbers_are_counted() -> None:
    images = some_images(12, 0)
    counts = counted(images)
    masks = [mask for _, mask in images if mask is not None]
    assert counts.n_images == 12
    assert counts.n_pixels == sum(scores.size for scores, _ in images)
    assert counts.n_defect_pixels == sum(int(mask.sum()) for mask in masks)
    assert counts.n_regions == sum(find_regions(mask).count for mask in masks)
    bins = counts.score_bins()
    assert bins.n_normal == counts.n_pixels - counts.n_defect_pixels and bins.n_defect == counts.n_defect_pixels
    assert float(bins.weights.sum()) == pytest.approx(counts.n_regions, abs=1e-12)
    assert (np.diff(bins.lower_edges) < 0).all()
    assert np.count_nonzero(bins.normals + bins.defects) == bins.normals.size


def test_each_bin_holds_the_pixels_between_its_edges_and_their_weights() -> None:
    scores = np.array([[1.0, 1.0, 2.0, 2.0, 3.0, -1.0]], np.float32)
    mask = np.array([[True, False, True, True, False, False]])
    bins = counted([(scores, mask)]).score_bins()
    # The edges of negative bins lie below the scores in them.
    assert bins.lower_edges[:3].tolist() == [3.0, 2.0, 1.0] and -1.5 < bins.lower_edges[3] <= -1.0
    assert bins.normals.tolist() == [1, 0, 1, 1] and bins.defects.tolist() == [0, 2, 1, 0]
    assert bins.weights.tolist() == [0.0, 1.0, 1.0, 0.0]


def test_weights_are_right_to_their_unit() -> None:
    mask = np.ones((3, 7), np.bool_)
    scores = np.arange(21, dtype=np.uint8).reshape(3, 7)
    weights = counted([(scores, mask)]).score_bins().weights
    assert np.abs(weights - 1 / 21).max() < 2**-56  # float64 holds 1/21 no better


@pytest.mark.parametrize("dtype", [np.float32, np.uint8, np.float16, np.float64])
def test_any_partition_merges_to_the_whole_bit_for_bit(dtype: Any) -> None:
    rng = np.random.default_rng(1)
    images = some_images(8, 2, dtype)
    whole = counted(images)
    state, results = whole.state_dict(), whole.results((0.3, 0.05))
    for _ in range(250):  # for four dtypes
        order = rng.permutation(len(images))
        cuts = np.sort(rng.integers(0, len(images) + 1, int(rng.integers(0, 5))))
        parts = [counted([images[index] for index in part]) for part in np.split(order, cuts)]
        while len(parts) > 1:  # in any order of merging, too
            part = parts.pop(int(rng.integers(len(parts))))
            parts[int(rng.integers(len(parts)))].merge(part)
        assert_equal_states(parts[0].state_dict(), state)
        assert parts[0].results((0.3, 0.05)) == results


@given(st.randoms(use_true_random=False))
def test_the_order_of_images_does_not_matter(shuffler: Any) -> None:
    images = some_images(6, 3)
    before = counted(images).state_dict()
    shuffler.shuffle(images)
    assert_equal_states(counted(images).state_dict(), before)


def test_merging_leaves_the_other_one_alone() -> None:
    first, second = counted(some_images(4, 4)), counted(some_images(4, 5))
    before = second.state_dict()
    first.merge(second)
    assert_equal_states(second.state_dict(), before)


def test_nothing_merges_with_anything() -> None:
    counts = counted(some_images(4, 6, np.uint16))
    expected = counts.state_dict()
    counts.merge(HistogramCounts(BINS))
    assert_equal_states(counts.state_dict(), expected)
    empty = HistogramCounts(BINS)
    empty.merge(counts)
    assert_equal_states(empty.state_dict(), expected)
    both = HistogramCounts(BINS)
    both.merge(HistogramCounts(BINS))
    assert both.state_dict()["scale"] is None and both.exact


def test_one_inexact_part_makes_the_whole_inexact() -> None:
    exact = counted([(np.ones((2, 2), np.float32), None)])
    inexact = counted([(np.full((2, 2), 0.1, np.float32), None)])
    assert exact.exact and not inexact.exact
    exact.merge(inexact)
    assert not exact.exact


def test_low_halves_of_weights_are_carried_before_they_overflow(monkeypatch: pytest.MonkeyPatch) -> None:
    images = [(np.zeros((9, 9), np.float32), np.ones((9, 9), np.bool_))] * 20
    expected = counted(images).state_dict()
    monkeypatch.setattr(bin_counts, "_MOST_UNCARRIED", 100)
    carried: list[int] = []
    carry = bin_counts.BinCounts._carry
    monkeypatch.setattr(bin_counts.BinCounts, "_carry", lambda self: (carried.append(1), carry(self)))
    counts = counted(images)
    assert len(carried) == 19  # 81 pixels fit, twice as many do not
    assert_equal_states(counts.state_dict(), expected)
    total = int(expected["weights_high"][0]) * 2**31 + int(expected["weights_low"][0])
    assert total == 20 * 81 * (2**62 // 81) and expected["weights_low"][0] < 2**31


def test_images_larger_than_a_block_and_not_contiguous_ones_are_counted_whole() -> None:
    rng = np.random.default_rng(7)
    scores = rng.standard_normal((700, 300)).astype(np.float32)
    mask = np.zeros(scores.shape, np.bool_)
    mask[100:600, 20:280] = True
    assert mask.sum() > BLOCK
    whole = counted([(scores, mask)]).state_dict()
    assert_equal_states(counted([(scores.T, mask.T)]).state_dict(), whole)
    assert_equal_states(counted([(scores[::-1, ::-1], mask[::-1, ::-1])]).state_dict(), whole)
    assert_equal_states(counted([(scores.astype(">f4"), mask)]).state_dict(), whole)
    assert_equal_states(counted([(scores.astype(np.float64), mask)]).state_dict(), whole)


def test_a_million_pixels_take_no_more_memory_than_a_thousand() -> None:
    import tracemalloc

    scores = np.random.default_rng(8).standard_normal((1000, 1000)).astype(np.float32)
    counts = HistogramCounts()
    counts.add(scores[:30, :30])
    tracemalloc.start()
    counts.add(scores)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000  # the map alone has 4,000,000 bytes


def test_an_empty_mask_is_no_mask() -> None:
    scores = np.arange(6.0, dtype=np.float32).reshape(2, 3)
    assert_equal_states(
        counted([(scores, np.zeros((2, 3), np.bool_))]).state_dict(), counted([(scores, None)]).state_dict()
    )


def test_results_are_named_and_know_their_limit() -> None:
    found = counted(some_images(6, 9)).results((0.3, 0.05))
    assert list(found) == ["pixel_auroc", "average_precision", "f1_max", "aupro", "aupro@0.05"]
    assert [bounded.limit for bounded in found.values()] == [None, None, None, 0.3, 0.05]
    assert [bounded.threshold is None for bounded in found.values()] == [True, True, False, True, True]


def test_before_the_first_image_all_results_are_nan() -> None:
    assert all(math.isnan(bounded.value) for bounded in HistogramCounts().results().values())


def test_infinite_scores_are_ordered() -> None:
    scores = np.array([[-math.inf, 0.0, math.inf, math.inf]], np.float32)
    mask = np.array([[False, True, False, True]])
    assert counted([(scores, mask)]).results()["pixel_auroc"].value == 0.625


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_nan_is_refused_and_nothing_of_the_image_is_counted(dtype: Any) -> None:
    counts = counted(some_images(3, 10, dtype))
    before = counts.state_dict()
    scores = np.zeros((300, 300), dtype)
    scores[-1, -1] = math.nan
    with pytest.raises(
        InvalidInput, match=r"expected no NaN in the map of image 7, got NaN; find out why .*, or leave"
    ):
        counts.add(scores, None, name="image 7")
    assert_equal_states(counts.state_dict(), before)


def test_scores_of_another_kind_are_refused() -> None:
    with pytest.raises(InvalidType, match=r"expected score maps of an integer or float dtype, got bool; convert"):
        HistogramCounts().add(np.ones((2, 2), np.bool_))


@pytest.mark.parametrize(("scores", "mask"), [((2, 3), (3, 2)), ((6,), (6,)), ((2, 3), (6,))])
def test_a_mask_of_another_shape_is_refused(scores: tuple[int, ...], mask: tuple[int, ...]) -> None:
    counts = HistogramCounts(BINS)
    with pytest.raises(
        InvalidInput, match=r"expected a mask \(H, W\) .* for b.png, got map \(.*\) and mask \(.*\); resize"
    ):
        counts.add(np.zeros(scores, np.float32), np.ones(mask, np.bool_), name="b.png")
    assert counts.n_images == 0


def test_a_mask_of_another_dtype_is_refused() -> None:
    with pytest.raises(InvalidType, match=r"expected a mask of dtype bool for an image, got uint8; compare it first"):
        HistogramCounts(BINS).add(np.zeros((2, 2), np.float32), np.ones((2, 2), np.uint8))  # type: ignore[arg-type]


@pytest.mark.parametrize(("first", "second"), [("uint8", "float32"), ("float32", "float16"), ("uint16", "uint8")])
def test_narrow_scores_are_not_mixed_with_others(first: str, second: str) -> None:
    counts = counted([(np.ones((2, 2), first), None)])
    message = f"expected scores counted as {first} for NAME, like those before, got some counted as {second}; convert"
    with pytest.raises(InvalidInput, match=message.replace("NAME", "image 1")):
        counts.add(np.ones((2, 2), second), name="image 1")
    with pytest.raises(InvalidInput, match=message.replace("NAME", "the histogram to add")):
        counts.merge(counted([(np.ones((2, 2), second), None)]))
    assert counts.n_images == 1 and counts.n_pixels == 4


def test_wide_scores_mix() -> None:
    counts = counted([(np.full((2, 2), 3, dtype), None) for dtype in ("float32", "float64", "int32", "uint64")])
    assert counts.state_dict()["scale"] == "float32" and counts.state_dict()["pixels"].tolist() == [16]


def test_histograms_of_different_size_do_not_merge() -> None:
    with pytest.raises(InvalidInput, match=r"expected a histogram of 4096 bins to merge, got one of 1024; construct"):
        HistogramCounts(2**12).merge(HistogramCounts(2**10))


def test_more_regions_than_weights_can_hold_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(histogram, "MOST_REGIONS", 3)
    image = (np.zeros((1, 3), np.float32), np.array([[True, False, True]]))
    counts = counted([image])
    with pytest.raises(InvalidInput, match=r"expected at most 3 defect regions, got more; evaluate the maps in parts"):
        counts.add(*image)
    with pytest.raises(InvalidInput, match=r"expected at most 3 defect regions, got more; evaluate the maps in parts"):
        counts.merge(counted([image]))
    assert counts.n_images == 1 and counts.state_dict()["pixels"].tolist() == [3]


def as_json(state: dict[str, Any]) -> dict[str, Any]:
    plain = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in state.items()}
    return json.loads(json.dumps(plain))


@pytest.mark.parametrize("images", [some_images(6, 11), some_images(6, 12, np.uint8), []])
def test_a_state_survives_json_and_pickle(images: list[Image]) -> None:
    counts = counted(images)
    expected, results = counts.state_dict(), counts.results()
    restored = counted(some_images(2, 13, np.float16))  # what it held before is replaced
    restored.load_state_dict(as_json(expected))
    assert_equal_states(restored.state_dict(), expected)
    copied = pickle.loads(pickle.dumps(counts))  # noqa: S301
    assert_equal_states(copied.state_dict(), expected)
    if images:
        assert restored.results() == copied.results() == results
        copied.add(*images[0])
        restored.add(*images[0])
        assert_equal_states(copied.state_dict(), restored.state_dict())


def test_a_pickle_is_as_small_as_what_it_holds() -> None:
    assert len(pickle.dumps(counted(some_images(2, 14), 2**20))) < 100_000


def broken(**changes: Any) -> dict[str, Any]:
    return counted(some_images(4, 15)).state_dict() | changes


def changed(name: str, place: int, amount: int) -> dict[str, Any]:
    state = broken()
    state[name] = state[name].copy()
    state[name][place] += amount
    return state


BROKEN = {
    "another version": (broken(version=2), r"expected a state of version 1, got 2; read it with the release"),
    "other bins": (broken(bins=1024), r"expected a state with 4096 bins, got 1024; construct this histogram with"),
    "a part more": (broken(extra=1), r"expected a histogram's state with .*, got bins, .*extra.*; pass what"),
    "parts missing": ({"version": 1}, r"expected a histogram's state with bins, codes, .*, got version; pass what"),
    "unknown scale": (broken(scale="bfloat16"), r"expected the name of a scale \(.*\), got 'bfloat16'; pass a state"),
    "negative number": (broken(n_images=-1), r"expected a non-negative integer as n_images, got -1; pass what"),
    "fraction": (broken(n_pixels=1.5), r"expected a non-negative integer as n_pixels, got 1.5; pass what"),
    "no truth value": (broken(rounded=1), r"expected True or False as rounded, got 1; pass what"),
    "fractions": (
        broken(pixels=[0.5]),
        r"expected non-negative integers \(B,\) as pixels, got float64 of shape \(1,\)",
    ),
    "negative": (broken(defects=[-1]), r"expected non-negative integers \(B,\) as defects, got int64 of shape \(1,\)"),
    "a table": (broken(codes=[[1]]), r"expected non-negative integers \(B,\) as codes, got int64 of shape \(1, 1\)"),
    "other lengths": (broken(weights_low=[1]), r"expected arrays of one length in a histogram's state, got .*; pass"),
    "code too large": (changed("codes", -1, 4096), r"expected ascending codes below 4096, got \d+ … \d+; pass what"),
    "codes in disorder": (changed("codes", 0, 10**6), r"expected ascending codes below 4096, got \d+ … \d+; pass what"),
    "no scale": (broken(scale=None), r"expected ascending codes below 0, got \d+ … \d+; pass what"),
    "a pixel more": (
        changed("pixels", 0, 1),
        r"expected bins that add up to \d+ pixels, .*, got \d+ and \d+; pass what",
    ),
    "a defect more": (changed("defects", 0, 1), r"expected bins that add up to .* of them defects, got .*; pass what"),
    "too many regions": (broken(n_regions=10**6), r"expected no more regions than defect pixels .*, got 1000000; pass"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_state_that_is_none_is_refused_and_changes_nothing(case: str) -> None:
    state, message = BROKEN[case]
    counts = counted(some_images(2, 16))
    before = counts.state_dict()
    with pytest.raises(InvalidInput, match=message):
        counts.load_state_dict(state)
    assert_equal_states(counts.state_dict(), before)


def test_more_defects_than_pixels_in_a_bin_are_refused() -> None:
    state = counted([(np.array([[1.0, 2.0, 2.0]]), np.array([[False, True, True]]))]).state_dict()
    state["defects"] = np.array([2, 0])
    with pytest.raises(InvalidInput, match=r"expected bins that add up to 3 pixels, 2 of them defects, got 3 and 2"):
        HistogramCounts(BINS).load_state_dict(state)


def test_the_version_of_states_is_the_one_documented() -> None:
    assert histogram_state.VERSION == HistogramCounts(BINS).state_dict()["version"] == 1
