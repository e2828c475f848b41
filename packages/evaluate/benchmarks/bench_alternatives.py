"""Time the ways to find, for every defect pixel, how many normal pixels lie above it; docs/adr/0013 shows the table.

    python packages/evaluate/benchmarks/bench_alternatives.py

Bare numpy, nothing of the package: what the decision was made on. All ways take turns in every round; medians count.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from reporting import Report, report_options, table
from synthetic_maps import blob_maps

PAGE = Path(__file__).parents[3] / "docs/adr/0013-counts-from-sorted-chunks.md"
Floats = NDArray[np.float32]


def in_chunks(normal: Floats, needles: Floats, size: int, threads: int) -> NDArray[np.int64]:
    """Sort chunks and add what each holds above every needle."""

    def above(start: int) -> NDArray[np.int64]:
        chunk = np.sort(normal[start : start + size])
        return chunk.size - np.searchsorted(chunk, needles, side="right")

    total = np.zeros(needles.size, np.int64)
    with ThreadPoolExecutor(threads) as pool:
        for counts in pool.map(above, range(0, normal.size, size)):
            total += counts
    return total


def through_bins(normal: Floats, needles: Floats, bins: int) -> NDArray[np.int64]:
    """Count in narrow bins, and sort only what shares a bin with a needle.

    Each of 4,096 ranges of the ordered bits is cut into a power of two of bins, more where there are more needles.
    """
    low = np.uint32(20)
    distinct = needles[np.flatnonzero(np.diff(needles, prepend=-np.inf))]
    needle_keys = ordered_bits(distinct)
    wanted = np.bincount(needle_keys >> low, minlength=1 << 12) * (bins / distinct.size)
    power = np.floor(np.log2(np.clip(wanted, 1, 1 << 20))).astype(np.int64)
    shift = (20 - power).astype(np.uint32)
    starts = np.concatenate(([0], np.cumsum(1 << power)[:-1]))
    offset = (starts - ((np.arange(1 << 12) << 20) >> (20 - power))).astype(np.int64)

    def bin_of(keys: NDArray[np.uint32]) -> NDArray[np.int64]:
        top = keys >> low
        return (keys >> shift.take(top)) + offset.take(top)

    counts, shared, ambiguous = np.zeros(int((1 << power).sum()), np.int64), np.zeros(int((1 << power).sum()), bool), []
    needle_bins = bin_of(needle_keys)
    shared[needle_bins] = True
    for start in range(0, normal.size, 1 << 17):
        block = normal[start : start + (1 << 17)]
        places = bin_of(ordered_bits(block))
        np.add.at(counts, places, 1)
        ambiguous.append(block[shared.take(places)])
    counts[needle_bins] = 0  # these are counted one by one
    open_ones = np.sort(np.concatenate(ambiguous))
    higher = np.cumsum(counts[::-1])[::-1][needle_bins]
    above = higher + open_ones.size - np.searchsorted(open_ones, distinct, side="right")
    return above[np.searchsorted(distinct, needles)]


def ordered_bits(scores: Floats) -> NDArray[np.uint32]:
    """Return integers in the order of the floats."""
    bits = (scores + np.float32(0)).view(np.uint32)
    negative = (bits.view(np.int32) >> 31).view(np.uint32)
    return bits ^ (negative | np.uint32(1 << 31))


def ways(normal: Floats, needles: Floats, scores: Floats, defect: NDArray[np.bool_]) -> dict[str, Callable[[], Any]]:
    """Return what is timed; all but two return the same counts."""

    def argsort() -> NDArray[np.int64]:
        order = np.argsort(scores)[::-1]
        return np.cumsum(~defect[order])[defect[order]][::-1]

    def whole() -> NDArray[np.int64]:
        return normal.size - np.searchsorted(np.sort(normal), needles, side="right")

    def into_needles() -> NDArray[np.int64]:
        places = np.searchsorted(needles, normal, side="left")
        return np.cumsum(np.bincount(places, minlength=needles.size + 1)[:0:-1])[::-1]

    def bins() -> NDArray[np.int64]:
        return np.cumsum(np.bincount((normal + np.float32(0)).view(np.uint32) >> 12, minlength=1 << 20))

    ways: dict[str, Callable[[], Any]] = {
        "argsort of all pixels, cumulative sums": argsort,
        "sort of all normal pixels, look up": whole,
        "look every normal pixel up among the defect scores": into_needles,
        "histogram of 2^20 bins (not exact)": bins,
        "narrow bins, sort what shares one with a defect score": lambda: through_bins(normal, needles, 1 << 22),
        "`np.sort` of all pixels, nothing else": lambda: np.sort(scores),
    }
    for threads in (1, 2):
        for power in (18, 20, 22):
            name = f"sort chunks of 2^{power}, look up, add; {threads} thread{'s'[: threads - 1]}"
            ways[name] = lambda size=2**power, threads=threads: in_chunks(normal, needles, size, threads)  # type: ignore[misc]
    return ways


def main(arguments: list[str]) -> None:
    """Measure and print."""
    parser = report_options(__doc__)
    parser.add_argument("--maps", type=int, default=50, help="number of maps (default 50)")
    parser.add_argument("--size", type=int, default=1024, help="of each side (default 1024)")
    parser.add_argument("--rounds", type=int, default=3, help="timings of each; the median counts (default 3)")
    options = parser.parse_args(arguments)
    report = Report.begin("alternatives", options, PAGE)
    maps, masks = blob_maps(options.maps, options.size, options.seed)
    scores, defect = maps.ravel(), masks.ravel()
    normal, needles = scores[~defect], np.sort(scores[defect])
    works = ways(normal, needles, scores, defect)
    expected = works["sort of all normal pixels, look up"]()
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(options.rounds):
        for name, work in works.items():
            start = time.perf_counter()
            found = work()
            seconds[name].append(time.perf_counter() - start)
            # The argsort breaks ties as it likes, so that a few counts are off by a few.
            if found.size == expected.size and np.abs(found - expected).mean() > 1:
                raise SystemExit(f"{name} counts something else")
    pixels = f"{options.maps} maps of {options.size}x{options.size}, {needles.size:,} defect pixels"
    report.add(f"{pixels}, {options.rounds} rounds:\n")
    rows = [(name, f"{statistics.median(taken):.2f}") for name, taken in seconds.items()]
    report.add(table(("way", "seconds, median"), rows), seconds=seconds)
    report.finish()


if __name__ == "__main__":
    main(sys.argv[1:])
