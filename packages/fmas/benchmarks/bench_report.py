"""Time ``fmas report`` on 1024 x 1024 photographs, weigh its page, and watch its memory grow, or not, with the pairs.

    python packages/fmas/benchmarks/bench_report.py [--few 100] [--many 1000] [--out FILE]

A run makes pairs of :data:`DISTINCT` photographs, those of ``bench_run.py``; its manifest is then repeated under other
numbers up to the number of pairs asked for. The report reads and encodes every one of them anew, as it would of so many
files; only the disk's cache is warmer than after a real run.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import bench_run

DISTINCT = 8


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure both sizes and print them as a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--few", type=int, default=100, help="pairs of the smaller report")
    parser.add_argument("--many", type=int, default=1000, help="pairs of the larger one")
    parser.add_argument("--out", type=Path, help="also write the numbers here, as JSON")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        bench_run.run(bench_run.photographs(work / "images", DISTINCT), work / "once")
        measured = [
            measure(repeated(work / "once", work / f"pairs-{count}", count)) for count in (options.few, options.many)
        ]
    print("  pairs   seconds   core seconds   core ms/pair   MB page   kB/pair   MiB at most")
    for one in measured:
        per_pair, share = 1000 * one["core_seconds"] / one["pairs"], one["bytes"] / one["pairs"] / 1e3
        print(
            f"{one['pairs']:7.0f} {one['seconds']:9.1f} {one['core_seconds']:14.1f} {per_pair:14.1f} "
            f"{one['bytes'] / 1e6:9.1f} {share:9.1f} {one['mib']:13.0f}"
        )
    growth = measured[1]["mib"] / measured[0]["mib"]
    print(f"memory of {options.many} pairs: {growth:.2f} times that of {options.few}")
    if options.out:
        result = {"environment": bench_run.environment(), "measured": measured, "memory_growth": growth}
        options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0


def repeated(run: Path, out: Path, count: int) -> Path:
    """Return a copy of an output folder whose pairs come again under other numbers, ``count`` in all."""
    shutil.copytree(run, out)
    (manifest,) = (out / "manifest").glob("*.jsonl")
    entries = [json.loads(line) for line in manifest.read_text("utf-8").splitlines()]
    with manifest.open("w", encoding="utf-8") as file:
        for stem in range(count):
            entry = entries[stem % len(entries)]
            file.write(json.dumps(entry | {"stem": stem, "row": entry["row"] | {"stem": stem}}) + "\n")
    return out


def measure(out: Path) -> dict[str, float]:
    """Write the report of ``out`` in a process of its own; return its pairs, time, bytes and peak resident MiB."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "fmas", "report", str(out), "--json"], stdout=subprocess.PIPE)
    answer = process.stdout.read() if process.stdout else b""
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status != 0:
        raise RuntimeError(f"fmas report ended with {status}")
    answered = json.loads(answer)
    return {
        "pairs": answered["pairs"],
        "seconds": seconds,
        "core_seconds": usage.ru_utime + usage.ru_stime,
        "bytes": Path(answered["report"]).stat().st_size,
        "mib": usage.ru_maxrss / 1024,
    }


if __name__ == "__main__":
    sys.exit(main())
