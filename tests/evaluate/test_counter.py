from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmas_evaluate.counter import PixelCounter, checked_threads, count_pixels
from fmas_evaluate.counts import DefectCounts, DefectPixels, sort_defects
from fmas_evaluate.errors import InvalidInput, InvalidType


def drawn(seed: int, dtype: Any = np.float32) -> tuple[list[np.ndarray], np.ndarray]:
    """Maps with ties and zeros of both signs, and the scores of some of their pixels."""
    rng = np.random.default_rng(seed)
    maps = [
        (rng.integers(-9, 10, rng.integers(1, 20, 2)) * rng.choice([0.5, -0.0, 1.0])).astype(dtype) for _ in range(4)
    ]
    return maps, np.concatenate([scores.ravel()[rng.random(scores.size) < 0.3] for scores in maps])


def defects_of(scores: np.ndarray) -> DefectPixels:
    return sort_defects([scores], [np.ones(scores.size, np.int64)], np.dtype(scores.dtype))


def check(counts: DefectCounts, maps: list[np.ndarray], defects: np.ndarray) -> None:
    """Compare with counting one by one."""
    pixels = np.concatenate([scores.ravel() for scores in maps])
    assert counts.n_pixels == pixels.size
    assert counts.n_normal == pixels.size - defects.size
    assert counts.above.dtype == counts.reached.dtype == np.int64
    assert counts.scores.tolist() == sorted(defects.tolist())
    for score, above, reached in zip(counts.scores, counts.above, counts.reached, strict=True):
        assert above == np.sum(pixels > score) - np.sum(defects > score)
        assert reached == np.sum(pixels >= score) - np.sum(defects >= score)


@given(
    st.integers(0, 10**6), st.sampled_from([np.float32, np.float64]), st.sampled_from([1, 2, 3]), st.integers(1, 200)
)
def test_any_chunk_and_number_of_threads_count_the_same(seed: int, dtype: Any, threads: int, chunk: int) -> None:
    maps, defects = drawn(seed, dtype)
    check(count_pixels(maps, defects_of(defects), n_images=4, n_regions=1, threads=threads, chunk=chunk), maps, defects)


def test_the_usual_chunk_is_filled_and_handed_over() -> None:
    rng = np.random.default_rng(0)
    maps = [rng.integers(0, 50, (700, 500)).astype(np.float32) for _ in range(3)]  # a million pixels: four chunks
    defects = rng.integers(10, 40, 30).astype(np.float32)
    for place, score in enumerate(defects):
        maps[0].flat[place] = score
    check(count_pixels(maps, defects_of(defects), n_images=3, n_regions=1, threads=2), maps, defects)


def test_more_scores_than_are_looked_up_at_a_time() -> None:
    rng = np.random.default_rng(0)
    scores = rng.permutation(60_000).astype(np.float32).reshape(200, 300)
    defects = scores[scores % 3 == 0]
    counts = count_pixels([scores], defects_of(defects), n_images=1, n_regions=1, threads=1)
    assert np.array_equal(counts.above, 40_000 - np.arange(20_000) * 2)
    assert np.array_equal(counts.above, counts.reached)


def test_few_pixels_at_a_time_and_many_scores() -> None:
    # Chunks of 8 pixels are looked up among the 100 scores, not these in the chunks.
    scores = np.repeat(np.arange(200), 2).astype(np.float32).reshape(20, 20)
    defects = np.arange(0, 200, 2).astype(np.float32)
    check(count_pixels([scores], defects_of(defects), n_images=1, n_regions=1, chunk=8), [scores], defects)


@pytest.mark.parametrize("cut", [np.s_[::2], np.s_[:, ::3], np.s_[::-1, ::-1]])
def test_views_of_any_layout(cut: Any) -> None:
    scores = np.arange(120, dtype=np.float32).reshape(10, 12)
    for view in (scores[cut], scores.T[cut], np.asfortranarray(scores)[cut]):
        defects = view.ravel()[:3].copy()
        check(count_pixels([view], defects_of(defects), n_images=1, n_regions=1, chunk=7), [view], defects)


def test_maps_of_other_dtypes_and_byte_orders() -> None:
    scores = np.arange(30).reshape(5, 6) - 4
    defects = np.array([-1.0, 3.0, 3.0], np.float32)
    for dtype in (np.int8, np.int64, np.float16, np.float64, ">f4", ">i2"):
        check(
            count_pixels([scores.astype(dtype), scores], defects_of(defects), n_images=2, n_regions=1),
            [scores, scores],
            defects,
        )


def test_without_a_defect_pixels_are_counted_all_the_same() -> None:
    counts = count_pixels([np.zeros((3, 4))], defects_of(np.zeros(0, np.float32)), n_images=1, n_regions=0)
    assert (counts.n_pixels, counts.n_normal, counts.above.size, counts.reached.size) == (12, 12, 0, 0)


def test_maps_are_not_changed() -> None:
    scores = np.random.default_rng(0).random((20, 20)).astype(np.float32)
    before = scores.copy()
    count_pixels([scores], defects_of(scores[0]), n_images=1, n_regions=1, chunk=64)
    assert np.array_equal(scores, before)


def test_an_error_in_a_thread_reaches_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: PixelCounter, chunk: np.ndarray) -> None:
        raise MemoryError("no room for the chunk")

    monkeypatch.setattr(PixelCounter, "_tally", fail)
    scores = np.arange(100.0, dtype=np.float32).reshape(10, 10)
    with pytest.raises(MemoryError, match="no room"):
        count_pixels([scores] * 5, defects_of(scores[0]), n_images=5, n_regions=1, threads=2, chunk=50)


@pytest.mark.parametrize("threads", [0, -1])
def test_there_is_at_least_one_thread(threads: int) -> None:
    with pytest.raises(InvalidInput, match=r"expected at least one thread, got .*; pass None"):
        checked_threads(threads)


@pytest.mark.parametrize("threads", [1.5, "2", True])
def test_threads_are_an_integer(threads: Any) -> None:
    with pytest.raises(InvalidType, match=r"expected threads as an integer or None, got .*; pass"):
        checked_threads(threads)


def test_one_thread_per_processor_unless_said_otherwise() -> None:
    assert 1 <= checked_threads(None) <= 8
    assert checked_threads(3) == 3
