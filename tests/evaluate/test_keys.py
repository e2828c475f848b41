from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmas_evaluate.errors import InvalidInput, InvalidType
from fmas_evaluate.keys import BLOCK, Indexer, Scale, checked_bins, contains_nan, scale_named, scale_of

NARROW = ["uint8", "int8", "uint16", "int16", "float16"]
AWKWARD = [
    *(0.0, -0.0, 1e-60, -1e-60, 5e-324, -5e-324, 1e-40, -1e-40, math.inf, -math.inf, 1e300, -1e300, 1.0, -1.0),
    *(3.4028234e38, 3.4028236e38, -3.4028234e38, -3.4028236e38, 1 + 2**-30, 1 - 2**-30, -1 - 2**-30, -1 + 2**-30),
]
BITS = st.sampled_from([10, 12, 16, 20, 24])


def codes_of(scores: np.ndarray, scale: Scale) -> np.ndarray:
    parts = [block.astype(np.int64) for block in Indexer(scale).blocks(scores)]
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def upper_edges(codes: np.ndarray, scale: Scale) -> np.ndarray:
    """The lower edge of the next bin up; NaN, which no score reaches, above +inf."""
    position = scale.positions(codes) + 1
    in_range = position <= scale.positions(codes_of(np.array([np.inf], np.float32), scale))[0]
    half = scale.bins // 2
    next_codes = np.where(position < half, scale.bins - 1 - position, position - half)[in_range]
    assert np.array_equal(scale.positions(next_codes), position[in_range])
    edges = np.full(codes.size, np.nan)
    edges[in_range] = scale.lower_edges(next_codes)
    return edges


def check_order_and_edges(scores: np.ndarray, scale: Scale) -> None:
    codes = codes_of(scores, scale)
    assert codes.min() >= 0 and codes.max() < scale.bins
    order = np.argsort(scores, kind="stable")
    assert (np.diff(scale.positions(codes)[order]) >= 0).all()
    assert (scores.astype(np.float64) >= scale.lower_edges(codes)).all()
    assert not (scores.astype(np.float64) >= upper_edges(codes, scale)).any()


@settings(max_examples=60)
@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=40), BITS)
def test_float32_scores_keep_their_order_and_lie_between_their_edges(scores: list[float], bits: int) -> None:
    check_order_and_edges(np.array(scores, np.float32), Scale("float32", bits))


@settings(max_examples=60)
@given(st.lists(st.floats(allow_nan=False) | st.sampled_from(AWKWARD), min_size=1, max_size=40), BITS)
def test_float64_scores_keep_their_order_and_lie_between_their_edges(scores: list[float], bits: int) -> None:
    check_order_and_edges(np.array(scores), Scale("float32", bits))


def test_awkward_scores_keep_their_order_and_lie_between_their_edges() -> None:
    for bits in (10, 20, 24):
        check_order_and_edges(np.array(AWKWARD), Scale("float32", bits))


@pytest.mark.parametrize("name", ["int32", "uint32", "int64", "uint64"])
def test_wide_integers_keep_their_order_and_lie_between_their_edges(name: str) -> None:
    limits = np.iinfo(name)
    largest = min(int(limits.max), 2**53)
    values = [0, 1, 2, 3, 2**24, 2**24 + 1, 2**24 + 2, largest, largest - 1]
    values += [-value for value in values if limits.min < 0 and -value >= limits.min]
    scores = np.array(values, name)
    assert scale_of(scores.dtype, 2**20) == Scale("float32", 20)
    check_order_and_edges(scores, Scale("float32", 20))


@pytest.mark.parametrize("name", NARROW)
def test_every_value_of_a_narrow_dtype_has_its_own_bin_whose_edge_is_the_value(name: str) -> None:
    bits = np.dtype(name).itemsize * 8
    values = np.arange(2**bits).astype(f"uint{bits}").view(name)
    scores = values[~np.isnan(values)]
    scale = scale_of(scores.dtype, 2**10)
    codes = codes_of(scores, scale)
    assert scale == Scale(name, bits) and scale.one_value_per_bin
    assert np.array_equal(scale.lower_edges(codes), scores.astype(np.float64))
    assert np.unique(codes).size == np.unique(scores.astype(np.float64)).size
    order = np.argsort(scores.astype(np.float64), kind="stable")
    assert (np.diff(scale.positions(codes)[order]) >= 0).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_both_zeros_share_a_bin_whose_edge_is_not_above_them(dtype: type) -> None:
    scores = np.array([0.0, -0.0], dtype)
    scale = scale_of(scores.dtype, 2**20)
    codes = codes_of(scores, scale)
    assert codes[0] == codes[1] and scale.lower_edges(codes).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("name", ["float32", "float64", "uint8", "float16"])
def test_blocks_cover_all_scores_in_order(name: str) -> None:
    scores = (np.arange(2 * BLOCK + 3) % 251).astype(name)
    scale = scale_of(scores.dtype, 2**20)
    indexer = Indexer(scale)
    sizes, seen = [], []
    for block in indexer.blocks(scores):
        assert block.dtype == np.intp
        sizes.append(block.size)
        seen.append(scale.lower_edges(block.astype(np.int64)))
    assert sizes == [BLOCK, BLOCK, 3]
    assert np.array_equal(np.concatenate(seen), scores.astype(np.float64))  # small integers are their bins' edges
    assert not indexer.rounded


@pytest.mark.parametrize(
    ("scores", "rounded"),
    [
        (np.arange(256, dtype=np.float32), False),
        (np.arange(256, dtype=np.float16).astype(np.float32) / 16, False),
        (np.array([1.0, 1 + 2**-11], np.float32), False),
        (np.array([1.0, 1 + 2**-12], np.float32), True),
        (np.array([1.0, 1 + 2**-40]), True),
        (np.array([0.0, 1e-320]), True),
        (np.array([-math.inf, math.inf, 2.0]), False),
        (np.array([2**24 + 1]), True),
    ],
)
def test_scores_that_share_no_bin_are_known(scores: np.ndarray, rounded: bool) -> None:
    indexer = Indexer(Scale("float32", 20))
    for _ in indexer.blocks(scores):
        pass
    assert indexer.rounded is rounded


def test_a_rounded_score_is_remembered() -> None:
    indexer = Indexer(Scale("float32", 20))
    for scores in (np.array([0.1], np.float32), np.array([1.0], np.float32), np.array([1.0])):
        list(indexer.blocks(scores))
    assert indexer.rounded


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4", ">f2"])
def test_nan_is_seen_at_any_place(dtype: object) -> None:
    scores = np.array([[1.0, -math.inf, math.inf], [-0.0, 0.0, 2.0]], np.dtype(dtype))  # type: ignore[call-overload]
    assert not contains_nan(scores)
    for place in range(scores.size):
        for nan in (math.nan, -math.nan):
            changed = scores.copy()
            changed.flat[place] = nan
            assert contains_nan(changed)
            assert contains_nan(changed[:, ::-1])


def test_integers_and_nothing_contain_no_nan() -> None:
    assert not contains_nan(np.array([1, 2]))
    assert not contains_nan(np.zeros(0, np.float32))


@pytest.mark.parametrize("dtype", [np.bool_, np.complex64, "U3", object])
def test_scores_must_be_real_numbers(dtype: object) -> None:
    with pytest.raises(InvalidType, match=r"expected score maps of an integer or float dtype, got .*; convert"):
        scale_of(np.dtype(dtype), 2**20)  # type: ignore[call-overload]


def test_a_dtype_in_foreign_byte_order_has_the_same_scale() -> None:
    assert scale_of(np.dtype(">u2"), 2**20) == Scale("uint16", 16)


def test_an_unknown_scale_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"expected the name of a scale \(float16, .*\), got 'float8'; pass"):
        scale_named("float8", 2**20)


@pytest.mark.parametrize("bins", [2**10, 2**20, 2**24, np.int64(2**16)])
def test_powers_of_two_are_numbers_of_bins(bins: int) -> None:
    assert checked_bins(bins) == bins and type(checked_bins(bins)) is int


@pytest.mark.parametrize("bins", [0, -1024, 2**9, 2**25, 1000, 2**20 + 1])
def test_other_numbers_of_bins_are_refused(bins: int) -> None:
    with pytest.raises(InvalidInput, match=rf"a power of two from 1024 to 16777216, got {bins}; leave it out"):
        checked_bins(bins)


@pytest.mark.parametrize("bins", [True, 1024.0, "1024", None])
def test_bins_must_be_an_integer(bins: object) -> None:
    with pytest.raises(InvalidType, match=r"expected bins to be an integer, got .*; leave it out"):
        checked_bins(bins)
