from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fmas_evaluate import counter, narrow_bins
from fmas_evaluate.counter import count_pixels
from fmas_evaluate.counts import DefectCounts, sort_defects
from fmas_evaluate.narrow_bins import NarrowBins

ANY = st.floats(width=32, allow_nan=False)
FEW = st.sampled_from([-np.inf, -1.5, -1e-45, 0.0, 1e-45, 1.0, 1.0000001192092896, 2.0, 3.4028235e38, np.inf])
SCORES = arrays(np.float32, st.integers(1, 40), elements=ANY | FEW).map(lambda scores: np.unique(scores + 0))
PIXELS = arrays(np.float32, st.integers(0, 200), elements=ANY | FEW).map(lambda pixels: pixels + 0)


def below(bins: NarrowBins, handed_back: np.ndarray, scores: np.ndarray) -> np.ndarray:
    return bins.below() + (handed_back[None] < scores[:, None]).sum(1)


@given(SCORES, PIXELS)
def test_what_is_counted_and_what_is_handed_back_make_up_all(scores: np.ndarray, pixels: np.ndarray) -> None:
    bins = NarrowBins(scores)
    handed_back = bins.take_from(pixels.copy())
    np.testing.assert_array_equal(below(bins, handed_back, scores), (pixels[None] < scores[:, None]).sum(1))
    # Whoever ties with a score must not be among those that a bin stands for.
    np.testing.assert_array_equal(
        np.sort(handed_back[np.isin(handed_back, scores)]), np.sort(pixels[np.isin(pixels, scores)])
    )


def test_several_threads_count_into_the_same_bins() -> None:
    random = np.random.default_rng(0)
    scores = np.unique(random.normal(1, 1, 5000).astype(np.float32))
    pixels = random.normal(size=(8, 300_000)).astype(np.float32)  # more than a block each
    bins = NarrowBins(scores)
    with ThreadPoolExecutor(4) as pool:
        handed_back = np.concatenate(list(pool.map(bins.take_from, pixels.copy())))
    expected = np.sort(pixels, axis=None).searchsorted(scores)
    np.testing.assert_array_equal(bins.below() + np.sort(handed_back).searchsorted(scores), expected)
    assert handed_back.size < pixels.size / 4


def test_only_float32_scores_fit_and_not_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    assert NarrowBins.fit(np.ones(1, np.float32))
    assert not NarrowBins.fit(np.ones(0, np.float32))
    assert not NarrowBins.fit(np.ones(1, np.float64))
    monkeypatch.setattr(narrow_bins, "_MOST_BINS", 8)
    assert NarrowBins.fit(np.ones(2, np.float32))
    assert not NarrowBins.fit(np.ones(3, np.float32))


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("spread", [0.0, 1.0], ids=["crowded", "apart"])
def test_the_counter_counts_the_same_with_bins_and_without(
    spread: float, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(1)
    maps = [(random.normal(size=(50, 60)) * spread).round(2).astype(np.float32) for _ in range(5)]
    masks = [random.random((50, 60)) < 0.1 for _ in maps]
    picked = [one[mask] for one, mask in zip(maps, masks, strict=True)]
    defects = sort_defects(picked, [np.ones(one.size, np.int64) for one in picked], np.dtype(np.float32))
    made: list[NarrowBins] = []

    class Watched(NarrowBins):
        def __init__(self, scores: np.ndarray) -> None:
            super().__init__(scores)
            made.append(self)

    monkeypatch.setattr(counter, "NarrowBins", Watched)
    found: list[DefectCounts] = []
    for slow in (False, True):
        monkeypatch.setattr(counter, "_is_slow_to_sort", lambda pixels, slow=slow: slow)
        found.append(count_pixels(maps, defects, n_images=5, n_regions=9, threads=threads, chunk=1000))
        assert len(made) == slow
    np.testing.assert_array_equal(found[0].above, found[1].above)
    np.testing.assert_array_equal(found[0].reached, found[1].reached)


@pytest.mark.parametrize(("seconds", "slow"), [(1.0, True), (0.0, False)])
def test_a_slow_sort_is_seen_by_the_clock(seconds: float, slow: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, seconds])
    monkeypatch.setattr(counter, "perf_counter", lambda: next(times))
    pixels = np.arange(100, dtype=np.float32)[::-1].copy()
    assert counter._is_slow_to_sort(pixels) is slow
    assert pixels[0] == 99  # a copy was sorted
