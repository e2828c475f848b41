"""Evaluate a billion float32 pixels from a file, on one core and within a fixed memory; tabulate the certified width.

    python packages/evaluate/benchmarks/bench_stream.py

A file of Gaussian scores (4 GB, in a temporary folder, deleted afterwards) is read map by map into one buffer: defect
pixels are two standard deviations higher. It is read once before anything is timed, so that it lies in the page cache
where there is room. Each measurement is a process of its own, tied to one core; its peak resident memory is the whole
process, Python and numpy included. `--repeat 10` evaluates the file ten times over, as ten billion pixels: the memory
must not grow. `--two-pass` adds the exact evaluation by `compute_stream`, which reads the file twice.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from reporting import Report, report_options, table

SIDE = 1000
DISTINCT_MASKS = 10


def masks() -> list[NDArray[np.bool_]]:
    """Return the masks that the maps take in turn: every other one empty, the others with one disc."""
    down, right = np.mgrid[:SIDE, :SIDE]
    discs = [
        (down - 60 * (turn + 2)) ** 2 + (right - 400) ** 2 < (20 + 5 * turn) ** 2 for turn in range(DISTINCT_MASKS)
    ]
    return [disc if turn % 2 else np.zeros_like(disc) for turn, disc in enumerate(discs)]


def write(path: Path, count: int, seed: int) -> None:
    """Write ``count`` maps."""
    random, turns = np.random.default_rng(seed), masks()
    with path.open("wb") as file:
        for image in range(count):
            scores = random.standard_normal((SIDE, SIDE), dtype=np.float32)
            scores[turns[image % DISTINCT_MASKS]] += 2
            scores.tofile(file)


def pairs(path: Path, count: int) -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    """Yield the first ``count`` maps, all in the same buffer, and their masks."""
    turns, buffer = masks(), np.empty((SIDE, SIDE), dtype=np.float32)
    with path.open("rb", buffering=0) as file:
        for image in range(count):
            if file.readinto(memoryview(buffer).cast("B")) != buffer.nbytes:
                raise EOFError(f"{path} is too short")
            yield buffer, turns[image % DISTINCT_MASKS]


def measure(mode: str, path: Path, count: int, bins: int, repeat: int) -> dict[str, Any]:
    """Evaluate in this process; return seconds, peak memory and the measures."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    import fmas_evaluate as ours

    start = time.perf_counter()
    found: Any = None
    if mode == "read":
        for _ in range(repeat):
            for _ in pairs(path, count):
                pass
    elif mode == "exact":
        found = ours.compute_stream(lambda: pairs(path, count), max_fpr=(0.3, 0.05), threads=1)
    else:
        evaluator = ours.Evaluator(max_fpr=(0.3, 0.05), mode="histogram", bins=bins)
        for _ in range(repeat):
            for scores, mask in pairs(path, count):
                evaluator.update(scores, mask)
        found = evaluator.compute()
    seconds = time.perf_counter() - start
    peak = peak_bytes()
    widths = {} if found is None else {name: one.upper - one.lower for name, one in found.items()}
    values = {} if found is None else {name: float(one) for name, one in found.items()}
    return {"seconds": seconds, "peak_bytes": peak, "widths": widths, "values": values}


def peak_bytes() -> int:
    """Return the most memory that was resident in this process."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux's getrusage would also count the parent, whose pages a new process starts with
        return int(status.read_text(encoding="ascii").partition("VmHWM:")[2].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def in_its_own_process(*arguments: object) -> dict[str, Any]:
    """Run `measure` in a fresh process."""
    command = [sys.executable, str(Path(__file__).resolve()), "--worker", *(str(one) for one in arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(done.stderr)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def row(name: str, pixels: int, answer: dict[str, Any]) -> tuple[str, ...]:
    """Return one line of the main table."""
    widths = answer["widths"]
    cells = [f"{widths[key]:.1e}" if key in widths else "" for key in ("pixel_auroc", "average_precision", "aupro")]
    value = answer["values"].get("pixel_auroc")
    text = "" if value is None else f"{value:.6f}"
    return (name, f"{pixels:,}", f"{answer['seconds']:.2f}", f"{answer['peak_bytes'] / 2**20:.0f} MiB", text, *cells)


def run(options: argparse.Namespace, folder: Path) -> None:
    """Measure everything and print."""
    report = Report.begin("stream", options)
    count = max(options.pixels // SIDE**2, DISTINCT_MASKS)
    needed, free = 4 * count * SIDE**2, shutil.disk_usage(folder).free
    if free < 1.2 * needed:
        raise SystemExit(f"expected {1.2 * needed / 1e9:.1f} GB free in {folder}, got {free / 1e9:.1f}; see --folder")
    path = folder / "scores.f32"
    write(path, count, options.seed)
    pixels, rows = count * SIDE**2, []
    rows.append(("reading alone", 1, in_its_own_process("read", path, count, 0, 1)))
    rows.append((f"histogram, 2^{options.bins} bins", 1, in_its_own_process("bins", path, count, 2**options.bins, 1)))
    if options.repeat > 1:
        again = in_its_own_process("bins", path, count, 2**options.bins, options.repeat)
        rows.append((f"histogram, 2^{options.bins} bins", options.repeat, again))
    if options.two_pass:
        rows.append(("`compute_stream`, exact", 1, in_its_own_process("exact", path, count, 0, 1)))
    head = ("one core", "pixels", "seconds", "peak memory", "AUROC", "AUROC width", "AP width", "PRO@0.3 width")
    report.add(table(head, [row(name, pixels * times, answer) for name, times, answer in rows]))
    report.facts["rows"] = [{"name": name, "pixels": pixels * times, **answer} for name, times, answer in rows]

    few = max(count // 10, DISTINCT_MASKS)
    widths = {bits: in_its_own_process("bins", path, few, 2**bits, 1) for bits in options.widths}
    report.add(f"Certified widths (upper minus lower) by the number of bins, {few * SIDE**2:,} Gaussian scores:\n")
    lines = [
        (f"2^{bits}", *(f"{one:.1e}" for one in answer["widths"].values()), f"{answer['peak_bytes'] / 2**20:.0f} MiB")
        for bits, answer in widths.items()
    ]
    names = tuple(f"`{name}`" for name in widths[options.widths[0]]["widths"])
    report.add(table(("bins", *names, "peak memory"), lines), widths={str(bits): one for bits, one in widths.items()})
    report.finish()


def main(arguments: list[str]) -> None:
    """Measure and print."""
    if arguments[:1] == ["--worker"]:
        mode, path, count, bins, repeat = arguments[1:]
        print(json.dumps(measure(mode, Path(path), int(count), int(bins), int(repeat))))
        return
    parser = report_options(__doc__)
    parser.add_argument("--pixels", type=int, default=10**9, help="in the file, in whole megapixels (default 10^9)")
    parser.add_argument("--bins", type=int, default=20, metavar="K", help="2^K bins in the main table (default 20)")
    parser.add_argument("--widths", type=int, nargs="+", default=[12, 14, 16, 18, 20, 22, 24], metavar="K")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="also evaluate the file N times over")
    parser.add_argument("--two-pass", action="store_true", help="also evaluate exactly, in two passes")
    parser.add_argument("--folder", type=Path, help="for the file (default: the system's temporary folder)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="bench_stream_", dir=options.folder) as folder:
        run(options, Path(folder))


if __name__ == "__main__":
    main(sys.argv[1:])
