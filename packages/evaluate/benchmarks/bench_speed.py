"""Time five measures of 50 maps of 1024x1024 beside what others need for one, in one run.

    python packages/evaluate/benchmarks/bench_speed.py

Every implementation takes its turn in every round, so that a busy moment of the machine hits all alike; medians are
compared. *Peak memory* is what the process needed beyond what it held before (Linux only), in multiples of the scores'
bytes. `off by` is the largest difference of an implementation from the exact values. Anchors that are not installed
have a row that says so. Full size needs 8 GB of memory and about ten minutes with all of them; `--maps 10 --size 512`
is a try.
"""

from __future__ import annotations

import ctypes
import gc
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from anchors import installed_anchors
from numpy.typing import NDArray
from reporting import SWITCH, Report, report_options, table
from synthetic_maps import blob_maps

import fmas_evaluate as ours

Found = Mapping[str, float]
SORT, ALL, ONE_THREAD = "`np.sort` of the scores", "**`evaluate`, all five**", "`evaluate`, one thread"
SINGLES = ("pixel_auroc", "average_precision", "f1_max", "aupro")


@dataclass(slots=True)
class Work:
    """One implementation, and what was measured of it."""

    name: str
    gives: str
    compute: Callable[[], Found]
    seconds: list[float] = field(default_factory=list)
    extra_bytes: list[int] = field(default_factory=list)
    found: Found = field(default_factory=dict)

    def take_a_turn(self) -> None:
        """Run once."""
        give_memory_back()
        before = reset_peak()
        start = time.perf_counter()
        self.found = dict(self.compute())
        self.seconds.append(time.perf_counter() - start)
        if before is not None:
            self.extra_bytes.append(memory("VmHWM") - before)

    @property
    def median(self) -> float:
        """Seconds."""
        return statistics.median(self.seconds)


def give_memory_back() -> None:
    """Return freed memory to the system, so that one implementation cannot live on what another left behind."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def memory(name: str) -> int:
    """Return an entry of ``/proc/self/status`` in bytes."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise LookupError(name)


def reset_peak() -> int | None:
    """Let the peak of the resident memory start from now and return what is held; None where there is no such file."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return None
    return memory("VmRSS")


def works(maps: NDArray[np.float32], masks: NDArray[np.bool_], *, anchors: bool) -> tuple[list[Work], list[Any]]:
    """Return what takes turns, and the anchors that cannot."""

    def single(name: str) -> Callable[[], Found]:
        function = getattr(ours, name)
        return lambda: {name: float(function(maps, masks))}

    def in_bins() -> Found:
        evaluator = ours.Evaluator(max_fpr=(0.3, 0.05), mode="histogram")
        evaluator.update(maps, masks)
        return evaluator.compute()

    def sort() -> Found:
        np.sort(maps, axis=None)
        return {}

    limits = (0.3, 0.05)
    found = [
        Work(SORT, "nothing", sort),
        Work(ALL, "AUROC, AP, F1-max, PRO@0.3, PRO@0.05", lambda: ours.evaluate(maps, masks, max_fpr=limits)),
        Work(ONE_THREAD, "the same", lambda: ours.evaluate(maps, masks, max_fpr=limits, threads=1)),
        Work("histogram of 2^20 bins", "the same, certified", in_bins),
        *(Work(f"`{name}`", name, single(name)) for name in SINGLES),
    ]
    present, missing = installed_anchors() if anchors else ([], [])
    for anchor in present:
        compute = anchor.compute
        names = ", ".join(anchor.measures)
        found.append(Work(f"{anchor.name} ({anchor.version})", names, lambda compute=compute: compute(maps, masks)))  # type: ignore[misc]
    return found, missing


def rows(done: list[Work], scores_bytes: int) -> list[tuple[str, ...]]:
    """Return the table's rows."""
    exact = next(work for work in done if work.name == ALL)
    result = []
    for work in done:
        shared = [
            abs(float(value) - float(exact.found[name])) for name, value in work.found.items() if name in exact.found
        ]
        peak = f"{max(work.extra_bytes) / scores_bytes:.2f}" if work.extra_bytes else "not measured"
        spread = f"{min(work.seconds):.2f}-{max(work.seconds):.2f}"
        off = f"{max(shared):.1e}" if shared and work is not exact else ""
        result.append(
            (work.name, work.gives, f"{work.median:.2f} ({spread})", f"{work.median / exact.median:.1f}x", peak, off)
        )
    return result


def targets(done: list[Work], scores_bytes: int) -> list[tuple[str, str, str, str]]:
    """Return target, wanted, got, reached for what was run."""
    named = {work.name: work for work in done}
    all_five = named[ALL]
    anchor = {
        key: work
        for key in ("MVTec", "scikit-learn AUROC", "scikit-learn AP", "adeval", "anomalib")
        for name, work in named.items()
        if name.startswith(key)
    }
    checks: list[tuple[str, float, float, bool]] = []
    for key, wanted in (("MVTec", 15.0), ("scikit-learn AUROC", 50.0), ("adeval", 1.0)):
        if key in anchor:
            checks.append((f"{key} / all five, at least", wanted, anchor[key].median / all_five.median, True))
    checks.append(("all five / np.sort, at most", 2.0, all_five.median / named[SORT].median, False))
    counterpart = {
        "aupro": "MVTec",
        "pixel_auroc": "scikit-learn AUROC",
        "average_precision": "scikit-learn AP",
        "f1_max": "scikit-learn AP",
    }
    for name, key in counterpart.items():
        if key in anchor:
            checks.append((f"{key} / `{name}`, at least", 5.0, anchor[key].median / named[f"`{name}`"].median, True))
    if all_five.extra_bytes:
        checks.append(("extra memory / scores, at most", 1.3, max(all_five.extra_bytes) / scores_bytes, False))
    return [
        (name, f"{wanted:g}", f"{got:.2f}", "yes" if (got >= wanted if at_least else got <= wanted) else "**no**")
        for name, wanted, got, at_least in checks
    ]


def main(arguments: list[str]) -> int:
    """Measure and print; return the exit code."""
    parser = report_options(__doc__)
    parser.add_argument("--maps", type=int, default=50, help="number of maps (default 50)")
    parser.add_argument("--size", type=int, default=1024, help="of each side (default 1024)")
    parser.add_argument("--rounds", type=int, default=3, help="timings of each; the median counts (default 3)")
    parser.add_argument("--no-anchors", action="store_true", help="time ours alone")
    parser.add_argument("--strict", action="store_true", help="exit 1 if a target is missed")
    options = parser.parse_args(arguments)
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    report = Report.begin("speed-with-switch" if os.environ.get(SWITCH) else "speed", options)
    small_maps, small_masks = blob_maps(2, 64, options.seed)
    for work in works(small_maps, small_masks, anchors=not options.no_anchors)[0]:
        work.compute()  # imports and first calls are not timed
    maps, masks = blob_maps(options.maps, options.size, options.seed)
    done, missing = works(maps, masks, anchors=not options.no_anchors)
    for _ in range(options.rounds):
        for work in done:
            work.take_a_turn()
            print(f"  {work.seconds[-1]:8.2f} s  {work.name}", file=sys.stderr, flush=True)
    cells = rows(done, maps.nbytes) + [(one.name, one.reason, "", "", "", "") for one in missing]
    pixels = f"{options.maps} maps of {options.size}x{options.size} float32, {masks.mean():.2%} defect pixels"
    head = ("implementation", "gives", "seconds, median (range)", "times all five", "extra memory / scores", "off by")
    report.add(f"{pixels}; {options.rounds} rounds:\n")
    report.add(table(head, cells), seconds={work.name: work.seconds for work in done})
    verdicts = targets(done, maps.nbytes)
    report.add(table(("target", "wanted", "got", "reached"), verdicts), targets=verdicts)
    report.finish()
    return 1 if options.strict and any(reached != "yes" for *_, reached in verdicts) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
