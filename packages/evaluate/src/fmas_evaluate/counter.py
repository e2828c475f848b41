"""Count all pixels against the scores of the defect pixels: the one place where millions of floats are sorted."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from threading import Lock
from time import perf_counter
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from fmas_evaluate.counts import DefectCounts, DefectPixels, first_of_each
from fmas_evaluate.errors import InvalidInput, InvalidType
from fmas_evaluate.narrow_bins import NarrowBins

__all__ = ["PixelCounter", "checked_threads", "count_pixels"]

_SMALLEST_CHUNK: Final = 1 << 18
_LARGEST_CHUNK: Final = 3 << 20
"""Small chunks stay in the cache while they are sorted; large ones are searched less often. Each thread needs one."""

_BLOCK: Final = 1 << 13
"""Defect scores looked up at a time, so that what is found stays in the cache, too."""


def checked_threads(threads: int | None) -> int:
    """Return the number of threads to use, or say what is wrong with it; ``None`` means one per usable processor."""
    if threads is None:
        usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return min(usable, 8)  # every thread needs its own chunk of memory
    if isinstance(threads, bool) or not isinstance(threads, int):
        raise InvalidType(f"expected threads as an integer or None, got {threads!r}; pass e.g. 2")
    if threads < 1:
        raise InvalidInput(f"expected at least one thread, got {threads}; pass None for one per processor")
    return threads


_SAMPLE: Final = 1 << 16
_SLOW: Final = 12e-9
"""Seconds a pixel from which bins pay: between what the AVX2 and the AVX-512 sort take on Zen 4 (docs/adr/0013)."""


class PixelCounter:
    """Counts all pixels, normal and defect, that lie below and at each distinct score of the defect pixels.

    Normal pixels need not be picked out: the counts over all pixels, less those over the defect pixels, are the counts
    over normal ones, and all are integers. Pixels are copied into a chunk, the chunk is sorted, and the distinct defect
    scores are looked up in it. numpy lets go of the interpreter for all three, so threads run side by side.

    Where numpy sorts slowly (AMD Zen 4 with AVX-512, processors without a vectorised sort), narrow bins go before and
    leave to the sort only those pixels that share one with a defect score: less time there, the same counts.

    Use it as a context manager: leaving it ends its threads.

    Args:
        defects: The sorted defect pixels of all images that will be counted.
        threads: Chunks sorted at the same time; ``None`` for one per processor.
        chunk: Pixels sorted at a time; ``None`` for a size that suits the number of defect scores.
    """

    def __init__(self, defects: DefectPixels, *, threads: int | None = None, chunk: int | None = None) -> None:
        self._threads = checked_threads(threads)
        scores = defects.scores
        self._defects = defects
        self._needles = scores[first_of_each(scores)]
        self._integers = np.dtype(f"i{scores.dtype.itemsize}")
        self._below = np.zeros(self._needles.size, np.int64)
        self._equal = np.zeros(self._needles.size, np.int64)
        self._n_pixels = 0
        wanted = 1 << (4 * self._needles.size).bit_length()
        self._chunk = chunk or min(max(wanted, _SMALLEST_CHUNK), _LARGEST_CHUNK)
        self._buffer: NDArray[np.floating[Any]] = np.empty(0, scores.dtype)
        self._filled = 0
        self._spare: SimpleQueue[NDArray[np.floating[Any]]] = SimpleQueue()
        self._lent = 0
        self._pool: ThreadPoolExecutor | None = None
        self._jobs: list[Future[None]] = []
        self._lock = Lock()
        self._bins: NarrowBins | None = None
        self._may_have_bins = NarrowBins.fit(self._needles)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def add(self, scores: NDArray[np.number[Any]]) -> None:
        """Count every pixel of one image.

        Args:
            scores: ``(H, W)`` or any other shape; the dtype of the defect scores holds its values exactly.
        """
        self._n_pixels += scores.size
        if not self._needles.size:
            return
        for piece in _pieces(scores, self._chunk):
            if not self._buffer.size:
                self._buffer = self._next_buffer()
            taken = min(piece.size, self._chunk - self._filled)
            self._copy(piece[:taken])
            if self._filled == self._chunk:
                self._hand_over()
                if taken < piece.size:
                    self._buffer = self._next_buffer()
                    self._copy(piece[taken:])

    def counts(self, *, n_images: int, n_regions: int) -> DefectCounts:
        """Wait for all chunks and return the counts over normal pixels; to be called once, at the end.

        Args:
            n_images: Images that were added.
            n_regions: Defect regions in them.

        Returns:
            The counts.
        """
        if self._filled:
            self._tally(self._buffer[: self._filled])
        for job in self._jobs:
            job.result()
        if self._bins is not None:
            self._below += self._bins.below()
            self._bins = None
        # These are large, and not needed from here on.
        self._buffer = self._needles = np.empty(0, self._needles.dtype)
        self._spare = SimpleQueue()
        scores, total = self._defects.scores, self._defects.scores.size
        first = first_of_each(scores)
        pixels_of_each = np.diff(first, append=total)
        # In place, as these arrays may be as long as there are defect pixels. Pixels at or above a score are those not
        # below it; of them, the defect pixels are the last ones of the sorted scores, and the others are normal.
        reached = np.subtract(self._n_pixels - total, self._below, out=self._below)
        reached += first
        del first
        above = np.subtract(reached, self._equal, out=self._equal)
        above += pixels_of_each
        self._below = self._equal = np.zeros(0, np.int64)
        above, reached = np.repeat(above, pixels_of_each), np.repeat(reached, pixels_of_each)
        return DefectCounts(
            scores=scores,
            sizes=self._defects.sizes,
            above=above,
            reached=reached,
            n_normal=self._n_pixels - total,
            n_regions=n_regions,
            n_pixels=self._n_pixels,
            n_images=n_images,
        )

    def _copy(self, piece: NDArray[np.number[Any]]) -> None:
        """Append a piece to the chunk; adding zero turns -0.0 into 0.0, which ties with it but sorts apart."""
        end = self._filled + piece.size
        np.add(piece, 0.0, out=self._buffer[self._filled : end], dtype=self._buffer.dtype, casting="unsafe")
        self._filled = end

    def _next_buffer(self) -> NDArray[np.floating[Any]]:
        """Return an empty chunk; wait for one when every thread has one: filling it takes no time beside sorting."""
        if self._lent < self._threads and self._spare.empty():
            self._lent += 1
            return np.empty(self._chunk, self._needles.dtype)
        return self._spare.get()

    def _hand_over(self) -> None:
        """Let a thread count the full chunk; with one thread, count it here."""
        if self._may_have_bins and self._bins is None:  # not before there is a full chunk: bins have their price
            self._may_have_bins = _is_slow_to_sort(self._buffer)
            self._bins = NarrowBins(self._needles) if self._may_have_bins else None
        full, self._buffer, self._filled = self._buffer, np.empty(0, self._needles.dtype), 0
        if self._threads == 1:
            self._work(full)
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="fmas-evaluate")
        self._jobs.append(self._pool.submit(self._work, full))

    def _work(self, chunk: NDArray[np.floating[Any]]) -> None:
        """Count a chunk and give its memory back."""
        try:
            self._tally(chunk)
        finally:
            self._spare.put(chunk)

    def _tally(self, chunk: NDArray[np.floating[Any]]) -> None:
        """Add what lies below and at each defect score; the chunk is overwritten."""
        if self._bins is not None and self._may_have_bins:
            every = chunk.size
            chunk = self._bins.take_from(chunk)
            self._may_have_bins = chunk.size <= every // 2  # more, and bins no longer spare what they cost
            if not chunk.size:
                return
        chunk.sort()
        if self._needles.size > 4 * chunk.size:
            self._merge(chunk)
            return
        for start in range(0, self._needles.size, _BLOCK):
            needles = self._needles[start : start + _BLOCK]
            low, high = chunk.searchsorted(needles[0]), chunk.searchsorted(needles[-1], side="right")
            near = chunk[low:high]  # where these scores can be: a shorter search, and in the cache
            if needles[0] >= 0:  # the bits of floats that are not negative have their order, and compare faster
                near, needles = near.view(self._integers), needles.view(self._integers)
            left = near.searchsorted(needles)
            hits = np.flatnonzero(near[np.minimum(left, near.size - 1)] == needles) if near.size else left[:0]
            ties = near.searchsorted(needles[hits], side="right") - left[hits]
            left += low
            with self._lock:
                self._below[start : start + _BLOCK] += left
                self._equal[start + hits] += ties

    def _merge(self, chunk: NDArray[np.floating[Any]]) -> None:
        """Look a sorted chunk up among many more scores, instead of these in the chunk: the same counts."""
        not_above = self._needles.searchsorted(chunk, side="right")
        at = not_above - 1
        equal = at[(at >= 0) & (self._needles[at] == chunk)]
        below = np.cumsum(np.bincount(not_above, minlength=self._needles.size + 1)[:-1])
        with self._lock:
            self._below += below
            self._equal += np.bincount(equal, minlength=self._needles.size)


def count_pixels(
    maps: Iterable[NDArray[np.number[Any]]],
    defects: DefectPixels,
    *,
    n_images: int,
    n_regions: int,
    threads: int | None = None,
    chunk: int | None = None,
) -> DefectCounts:
    """Count the pixels of all maps against the defect pixels among them.

    Args:
        maps: The score maps that the defect pixels were taken from, all of them.
        defects: The sorted defect pixels.
        n_images: Number of maps.
        n_regions: Number of defect regions.
        threads: Chunks sorted at the same time; ``None`` for one per processor.
        chunk: Pixels sorted at a time; ``None`` for a size that suits the number of defect scores.

    Returns:
        The counts.
    """
    with PixelCounter(defects, threads=threads, chunk=chunk) as counter:
        for scores in maps:
            counter.add(scores)
        return counter.counts(n_images=n_images, n_regions=n_regions)


def _is_slow_to_sort(pixels: NDArray[np.floating[Any]]) -> bool:
    """Try numpy's sort on some pixels."""
    sample = pixels[:_SAMPLE].copy()
    start = perf_counter()
    sample.sort()
    return perf_counter() - start > _SLOW * sample.size


def _pieces(scores: NDArray[np.number[Any]], most: int) -> Iterable[NDArray[np.number[Any]]]:
    """Cut an image into flat pieces of at most a chunk, without copying a contiguous one."""
    if scores.flags.c_contiguous:
        flat = scores.reshape(-1)
        return (flat[start : start + most] for start in range(0, flat.size, most))
    rows = scores if scores.ndim > 1 else scores[np.newaxis]
    return (piece for row in rows for piece in _pieces(np.ascontiguousarray(row), most))
