"""Try to break the histogram's certificate and the invariances, on random cases.

    python packages/evaluate/benchmarks/bench_certified.py

*Certified*: in 10,000 trials the exact value must lie between `lower` and `upper` for every measure; the scores are
Gaussian, exponential, logarithmic, ranks, offset far from zero or of both signs of zero, in four types. *Merged*: over
1,000 random partitions into workers, merged in random order, the result must be the same bit for bit, in both modes.
*Invariant*: images in another order, and strictly increasing functions of the scores, change no bit of an exact result.
The exit code is 1 if anything fails; what failed is printed with its trial's number and seed.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from reporting import Report, report_options, table

import fmas_evaluate as ours
from fmas_evaluate.results import ROUNDING

LIMITS = (0.3, 0.05)
Case = tuple[list[NDArray[Any]], list[NDArray[np.bool_]]]


def ranks(scores: NDArray[Any]) -> NDArray[Any]:
    """Return each score's place among the distinct ones."""
    return np.unique(scores, return_inverse=True)[1].reshape(scores.shape).astype(np.float64)


TRANSFORMS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "Gaussian": lambda scores: scores,
    "exp": lambda scores: np.exp(10 * scores),
    "log": lambda scores: np.log(np.abs(scores) + 1e-300),
    "ranks": ranks,
    "offset 1000": lambda scores: 1000 + scores,
    "offset -1e6": lambda scores: scores - 1e6,
    "rounded": lambda scores: np.round(scores * 4) / 4,
    "tiny": lambda scores: scores * 1e-41,
    "mostly zero": lambda scores: np.where(np.abs(scores) < 1.5, np.copysign(0.0, scores), scores),
    "with infinities": lambda scores: np.where(np.abs(scores) > 2.5, np.copysign(np.inf, scores), scores),
    "8 bit": lambda scores: np.clip(np.round(40 * scores + 100), 0, 255),
}
DTYPES = (np.float32, np.float32, np.float32, np.float64, np.float16)


def case(random: np.random.Generator, name: str) -> Case:
    """Return a few small maps after one transform of all their scores together."""
    shapes = [(int(random.integers(2, 24)), int(random.integers(2, 24))) for _ in range(int(random.integers(1, 6)))]
    masks = [random.random(shape) < random.choice([0.02, 0.2, 0.5]) for shape in shapes]
    masks[0].flat[:2] = True, False
    lift = random.choice([-1.0, 0.0, 1.0, 4.0])
    raw = np.concatenate([(random.standard_normal(mask.shape) + lift * mask).ravel() for mask in masks])
    dtype = np.uint8 if name == "8 bit" else random.choice(DTYPES)
    with np.errstate(over="ignore"):
        changed = TRANSFORMS[name](raw).astype(dtype)
    ends = np.cumsum([mask.size for mask in masks])[:-1]
    return [part.reshape(shape) for part, shape in zip(np.split(changed, ends), shapes, strict=True)], masks


def values(evaluation: Any) -> dict[str, tuple[float, float, float]]:  # noqa: ANN401 (an Evaluation)
    """Return value, lower and upper of the pixel measures."""
    return {name: (float(one), one.lower, one.upper) for name, one in evaluation.items()}


def same(left: Any, right: Any) -> bool:  # noqa: ANN401 (Evaluations)
    """Say whether both are equal bit for bit; NaN equals NaN."""
    return repr(values(left)) == repr(values(right))


def certified(random: np.random.Generator, bits: int) -> tuple[str, list[str], dict[str, float]]:
    """Run one trial; return the transform, what was not contained, and the widths."""
    name = str(random.choice(list(TRANSFORMS)))
    maps, masks = case(random, name)
    exact = ours.evaluate(maps, masks, max_fpr=LIMITS)
    evaluator = ours.Evaluator(max_fpr=LIMITS, mode="histogram", bins=2**bits)
    for one, mask in zip(maps, masks, strict=True):
        evaluator.update(one, mask)
    failures, widths = [], {}
    for measure, (value, lower, upper) in values(evaluator.compute()).items():
        truth = float(exact[measure])
        if np.isnan(truth) and np.isnan(value):
            continue
        if not (lower <= truth <= upper and lower <= value <= upper):
            failures.append(
                f"{measure} of {name} {maps[0].dtype}, 2^{bits} bins: {truth!r} not in [{lower!r}, {upper!r}]"
            )
        if name == "8 bit" and upper - lower > ROUNDING:
            failures.append(f"{measure} of 8-bit maps is not exact: {truth!r}, [{lower!r}, {upper!r}]")
        widths[measure] = upper - lower
    return name, failures, widths


def merged(random: np.random.Generator, mode: str) -> list[str]:
    """Split a case among workers, merge them in random order, and compare with the whole."""
    maps, masks = case(random, str(random.choice(list(TRANSFORMS))))
    bins = 2 ** int(random.integers(10, 14))

    def fresh() -> Any:  # noqa: ANN401 (an Evaluator)
        return ours.Evaluator(max_fpr=LIMITS, mode=mode, bins=bins)

    whole = fresh()
    whole.update(maps, masks)
    workers = [fresh() for _ in range(int(random.integers(1, 6)))]
    for image in random.permutation(len(maps)):
        workers[int(random.integers(len(workers)))].update(maps[image], masks[image])
    while len(workers) > 1:
        taken = workers.pop(int(random.integers(len(workers))))
        workers[int(random.integers(len(workers)))].merge(taken)
    expected, got = whole.compute(), workers[0].compute()
    return [] if same(expected, got) else [f"{mode}: merged {values(got)}, whole {values(expected)}"]


def invariant(random: np.random.Generator) -> list[str]:
    """Change the order of the images, and map the scores by strictly increasing functions."""
    maps, masks = case(random, str(random.choice(["Gaussian", "rounded", "with infinities", "mostly zero"])))
    exact, failures = ours.evaluate(maps, masks, max_fpr=LIMITS), []
    order = random.permutation(len(maps))
    if not same(exact, ours.evaluate([maps[i] for i in order], [masks[i] for i in order], max_fpr=LIMITS)):
        failures.append("the order of the images changed a bit")
    joined = np.concatenate([one.ravel() for one in maps])
    ends = np.cumsum([one.size for one in maps])[:-1]
    ranked = [part.reshape(one.shape) for part, one in zip(np.split(ranks(joined), ends), maps, strict=True)]
    increasing = {"ranks": ranked, "ranks in float32": [one.astype(np.float32) for one in ranked]}
    increasing["doubled"] = [one.astype(np.float64) * 2 for one in maps]
    increasing["cubes of ranks"] = [one**3 - 5 for one in ranked]
    for name, changed in increasing.items():
        found = ours.evaluate(changed, masks, max_fpr=LIMITS)
        without_threshold = {key: float(value) for key, value in found.items()}
        if repr(without_threshold) != repr({key: float(value) for key, value in exact.items()}):
            failures.append(f"{name} of the scores changed a bit")
    return failures


def main(arguments: list[str]) -> int:
    """Try and print; return the exit code."""
    parser = report_options(__doc__)
    parser.add_argument("--trials", type=int, default=10_000, help="of the certificate (default 10000)")
    parser.add_argument("--partitions", type=int, default=1_000, help="of the merges, and of the rest (default 1000)")
    options = parser.parse_args(arguments)
    report = Report.begin("certified", options)
    warnings.simplefilter("ignore", RuntimeWarning)  # small cases without good images have no image AUROC, and say so
    failures: dict[str, list[str]] = {"certified": [], "merged, exact": [], "merged, histogram": [], "invariant": []}
    widest: dict[str, dict[str, float]] = {}
    for trial in range(options.trials):
        # Few bins are the harder test; the default number, which costs most, now and then.
        bits = 20 if trial % 100 == 0 else 10 + trial % 7
        name, failed, widths = certified(np.random.default_rng((options.seed, 1, trial)), bits)
        failures["certified"] += [f"trial {trial}, seed {options.seed}: {text}" for text in failed]
        for measure, width in widths.items():
            worst = widest.setdefault(name, {})
            worst[measure] = max(worst.get(measure, 0.0), width)
    for trial in range(options.partitions):
        for mode in ("exact", "histogram"):
            failed = merged(np.random.default_rng((options.seed, 2, trial)), mode)
            failures[f"merged, {mode}"] += [f"trial {trial}: {text}" for text in failed]
        failed = invariant(np.random.default_rng((options.seed, 3, trial)))
        failures["invariant"] += [f"trial {trial}: {text}" for text in failed]
    counts = {name: options.trials if name == "certified" else options.partitions for name in failures}
    rows = [(name, f"{counts[name]:,}", len(found)) for name, found in failures.items()]
    report.add(
        table(("what must hold", "trials", "failures"), rows),
        failures={name: len(one) for name, one in failures.items()},
    )
    names = sorted({measure for worst in widest.values() for measure in worst} - {"image_auroc"})
    report.add("Widest intervals met, with 1,024 bins upwards on a handful of pixels:\n")
    report.add(
        table(
            ("scores", *names), [(name, *(f"{one.get(key, 0.0):.1e}" for key in names)) for name, one in widest.items()]
        )
    )
    report.finish()
    for text in [text for found in failures.values() for text in found][:50]:
        print(text, file=sys.stderr)
    return 1 if any(failures.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
