"""Compare every pixel measure with brute force, MVTec's PRO and scikit-learn over 1,000 random cases.

    python packages/evaluate/benchmarks/bench_agreement.py

The cases (`synthetic_maps.random_case`) have ties, infinities, zeros of both signs, float16, float32 and float64, and
images of different sizes. For each comparison the largest absolute difference is printed beside its bound; the exit
code is 1 if one is missed. scikit-learn is left out, visibly, where it is not installed.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec

import numpy as np
from anchors import Maps, Masks, brute_force, official_pro, sklearn_measures
from reporting import Report, report_options, table
from synthetic_maps import random_case

import fmas_evaluate as ours

LIMITS = (0.3, 0.05, 1.0, 0.0123)
BRUTE_FORCE, OFFICIAL, SKLEARN = "brute force (integers, fractions)", "MVTec's method, re-derived", "scikit-learn"
BOUNDS = {BRUTE_FORCE: 1e-12, OFFICIAL: 1e-9, SKLEARN: 1e-12}


@dataclass(slots=True)
class Differences:
    """The largest difference of each (measure, anchor), and how many cases were compared."""

    largest: dict[tuple[str, str], float] = field(default_factory=dict)
    cases: dict[tuple[str, str], int] = field(default_factory=dict)

    def add(self, measure: str, anchor: str, got: float, expected: float) -> None:
        """Compare one value; NaN differs from everything."""
        difference = abs(float(got) - float(expected))
        key = (measure, anchor)
        self.largest[key] = max(self.largest.get(key, 0.0), math.inf if math.isnan(difference) else difference)
        self.cases[key] = self.cases.get(key, 0) + 1

    def missed(self) -> list[tuple[str, str]]:
        """Return the comparisons that are out of bounds."""
        return [key for key, value in self.largest.items() if not value <= BOUNDS[key[1]]]


SINGLE: dict[str, Callable[[Maps, Masks], float]] = {
    "pixel_auroc": ours.pixel_auroc,
    "average_precision": ours.average_precision,
    "f1_max": ours.f1_max,
}


def compare(maps: Maps, masks: Masks, differences: Differences, *, sklearn: bool) -> None:
    """Compare one case with every anchor; `evaluate` must say what the single functions say, bit for bit."""
    together = ours.evaluate(maps, masks, max_fpr=LIMITS)
    truth = brute_force(maps, masks, LIMITS)
    for name, function in SINGLE.items():
        value = function(maps, masks)
        differences.add(name, BRUTE_FORCE, value, truth[name])
        if float(value) != float(together[name]):
            raise SystemExit(f"{name} says {value!r}, evaluate says {together[name]!r}")
    differences.add(
        "f1_max's threshold", BRUTE_FORCE, _finite(together["f1_max"].threshold), _finite(truth["threshold"])
    )
    for limit in LIMITS:
        value = ours.aupro(maps, masks, max_fpr=limit)
        differences.add(f"aupro@{limit:g}", BRUTE_FORCE, value, truth[f"aupro@{limit:g}"])
        differences.add(f"aupro@{limit:g}", OFFICIAL, value, official_pro(maps, masks, limit))
    if float(together["aupro"]) != float(ours.aupro(maps, masks, max_fpr=LIMITS[0])):
        raise SystemExit(f"aupro and evaluate disagree: {together['aupro']!r}")
    if sklearn:
        for name, value in sklearn_measures(maps, masks).items():
            differences.add(name, SKLEARN, together[name], value)


def compare_image_scores(random: np.random.Generator, differences: Differences) -> None:
    """Compare the image AUROC of random scores with ties."""
    from sklearn.metrics import roc_auc_score

    scores = np.round(random.standard_normal(int(random.integers(2, 200))), int(random.integers(0, 4)))
    labels = random.random(scores.size) < 0.5
    labels[:2] = True, False
    differences.add("image_auroc", SKLEARN, ours.image_auroc(scores, labels), roc_auc_score(labels, scores))


def _finite(score: float) -> float:
    return float(np.clip(score, -1e30, 1e30))


def main(arguments: list[str]) -> int:
    """Measure and print; return the exit code."""
    parser = report_options(__doc__)
    parser.add_argument("--cases", type=int, default=1000, help="number of random cases (default 1000)")
    options = parser.parse_args(arguments)
    report = Report.begin("agreement", options)
    sklearn = find_spec("sklearn") is not None
    random, differences = np.random.default_rng(options.seed), Differences()
    with warnings.catch_warnings():
        # Many small cases hold defective images only: their image AUROC is not defined and says so.
        warnings.simplefilter("ignore", RuntimeWarning)
        for _ in range(options.cases):
            compare(*random_case(random), differences, sklearn=sklearn)
            if sklearn:
                compare_image_scores(random, differences)
    rows = [
        (f"`{measure}`", anchor, differences.cases[measure, anchor], f"{value:.1e}", f"{BOUNDS[anchor]:.0e}")
        for (measure, anchor), value in differences.largest.items()
    ]
    report.add(
        table(("measure", "compared with", "cases", "largest difference", "bound"), rows),
        largest={f"{measure} | {anchor}": value for (measure, anchor), value in differences.largest.items()},
    )
    if not sklearn:
        report.add("scikit-learn is not installed: not compared.\n")
    report.finish()
    for measure, anchor in differences.missed():
        print(f"missed: {measure} differs from {anchor} by {differences.largest[measure, anchor]}", file=sys.stderr)
    return 1 if differences.missed() else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
