"""Time 1,000 bootstrap replicates of all five measures on 83 maps of 256x256, quantised and exact.

    python packages/evaluate/benchmarks/bench_bootstrap.py

Both methods draw the same images, so the largest difference of a replicate is what quantisation costs; a few exact
replicates are checked against the evaluation of literally repeated images. The exit code is 1 if a replicate is off by
more than 1e-4 (quantised) or 1e-12 (exact); times are compared with the targets, and decide nothing.
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import Any

import numpy as np
from reporting import Report, report_options, table
from synthetic_maps import blob_maps

from fmas_evaluate import evaluate
from fmas_evaluate.bootstrap import bootstrap, image_weights
from fmas_evaluate.samples import take_apart

QUANTISED, EXACT = 1e-4, 1e-12
SECONDS = {"histogram": 0.5, "exact": 10.0}
REPEATED = 5


def literally_repeated(maps: Any, masks: Any, options: Any, found: Any) -> dict[str, float]:  # noqa: ANN401
    """Return per measure how far the first replicates are from evaluating each drawn image as often as it was drawn."""
    weights = image_weights(take_apart(maps, masks), options.replicates, seed=options.seed)
    off = dict.fromkeys(found, 0.0)
    for number, counts in enumerate(weights[:REPEATED].astype(np.int64)):
        drawn = np.repeat(np.arange(len(maps)), counts)
        truth = evaluate(maps[drawn], masks[drawn])
        for name in found:
            off[name] = max(off[name], abs(float(truth[name]) - float(found[name].replicates[number])))
    return off


def main(arguments: list[str]) -> int:
    """Measure and print; return the exit code."""
    parser = report_options(__doc__)
    parser.add_argument("--maps", type=int, default=83, help="number of maps (default 83)")
    parser.add_argument("--size", type=int, default=256, help="of each side (default 256)")
    parser.add_argument("--replicates", type=int, default=1000, help="number of replicates (default 1000)")
    parser.add_argument("--rounds", type=int, default=3, help="timings of each; the median counts (default 3)")
    options = parser.parse_args(arguments)
    report = Report.begin("bootstrap", options)
    maps, masks = blob_maps(options.maps, options.size, options.seed)
    seconds: dict[str, list[float]] = {method: [] for method in SECONDS}
    found: dict[str, Any] = {}
    for _ in range(options.rounds):
        for method, taken in seconds.items():
            start = time.perf_counter()
            found[method] = bootstrap(maps, masks, replicates=options.replicates, seed=options.seed, method=method)
            taken.append(time.perf_counter() - start)
    rows = [
        (method, f"{statistics.median(taken):.2f} ({min(taken):.2f}-{max(taken):.2f})", SECONDS[method])
        for method, taken in seconds.items()
    ]
    size = f"{options.replicates} replicates, five measures, {options.maps} maps of {options.size}x{options.size}"
    report.add(f"{size}, {options.rounds} rounds:\n")
    report.add(table(("method", "seconds, median (range)", "wanted"), rows), seconds=seconds)
    exact_off = literally_repeated(maps, masks, options, found["exact"])
    quantised_off = {
        name: float(np.abs(found["histogram"][name].replicates - found["exact"][name].replicates).max())
        for name in found["exact"]
    }
    rows_off = [
        (f"`{name}`", str(found["exact"][name]), f"{quantised_off[name]:.1e}", f"{exact_off[name]:.1e}")
        for name in found["exact"]
    ]
    head = ("measure", "value [95 %]", "quantised replicates off by", f"first {REPEATED} exact ones off by")
    report.add(table(head, rows_off), quantised_off=quantised_off, exact_off=exact_off)
    report.finish()
    return 1 if max(quantised_off.values()) > QUANTISED or max(exact_off.values()) > EXACT else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
