"""From score maps to tables: measures averaged over seeds, intervals over test images, paired p-values, kinds apart."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from training_pairs import TestImage

from fmas.types import FloatMap
from fmas_evaluate import bootstrap, compare, evaluate

__all__ = ["MEASURES", "Scored", "measured", "table", "tables", "versions"]

MEASURES = ("image_auroc", "pixel_auroc", "aupro")
TITLES = {"image_auroc": "image AUROC", "pixel_auroc": "pixel AUROC", "aupro": "PRO@0.3"}
OURS = "fmas"


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """What one trained network says about the test images.

    Attributes:
        maps: ``(H, W)`` float32 each; larger is more anomalous.
        scores: The largest value of each map, as `fmas_evaluate` and anomalib score images.
        about: How it was made: pairs, times, synthetic validation.
    """

    maps: Sequence[FloatMap]
    scores: Sequence[float]
    about: Mapping[str, Any]


def measured(scored: Mapping[str, Sequence[Scored]], test: Sequence[TestImage], *, replicates: int) -> dict[str, Any]:
    """Measure every method.

    Args:
        scored: Method to its trainings.
        test: The images, in the order of the maps.
        replicates: Draws of images.

    Returns:
        JSON values: ``overall`` (method, measure: mean over seeds, interval, value per seed), ``against`` (method,
        measure: ours minus it, interval, p-value; and ``compare``'s for each seed), ``kinds`` (kind, method, measure:
        mean over seeds of that kind against all good images) and ``about``.
    """
    masks = [image.mask if image.kind != "good" else None for image in test]
    overall: dict[str, Any] = {}
    drawn: dict[str, dict[str, NDArray[np.float64]]] = {}
    for method, runs in scored.items():
        # The draws depend on labels and seed alone, so that replicate r has the same images in every run.
        found = [
            bootstrap(run.maps, masks, image_scores=run.scores, metrics=MEASURES, replicates=replicates) for run in runs
        ]
        drawn[method] = {name: np.mean([one[name].replicates for one in found], axis=0) for name in MEASURES}
        overall[method] = {
            name: {
                "mean": float(np.mean([one[name].value for one in found])),
                "interval": _interval(drawn[method][name]),
                "seeds": [one[name].value for one in found],
            }
            for name in MEASURES
        }
    return {
        "overall": overall,
        "against": _against(scored, masks, overall, drawn, replicates) if OURS in scored else {},
        "kinds": {kind: _of_kind(scored, test, kind) for kind in dict.fromkeys(i.kind for i in test) if kind != "good"},
        "about": {method: [dict(run.about) for run in runs] for method, runs in scored.items()},
    }


def tables(numbers: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """Return the Markdown of ``measured`` with the versions it was made by."""
    overall, against = numbers["overall"], numbers["against"]
    test = ", ".join(f"{kind} {count}" for kind, count in facts["test"].items())
    (first, *_) = numbers["about"].values()
    text = f"Test images: {test}. Good photographs to train on: {facts['photographs']}. Seeds: {len(first)}.\n\n"
    rows = [
        [method, *(_cell(found[name]) for name in MEASURES), *_pairs_cell(numbers["about"][method])]
        for method, found in overall.items()
    ]
    text += table(["trained on", *(TITLES[name] for name in MEASURES), "pairs", "mask", "min"], rows)
    if against:
        rows = [[method, *(_difference(found[name]) for name in MEASURES)] for method, found in against.items()]
        text += "\nOurs minus the other, the same draws of test images:\n\n"
        text += table(["ours minus", *(TITLES[name] for name in MEASURES)], rows)
    text += "\nEach kind against all good images, mean over seeds (image AUROC / pixel AUROC / PRO@0.3):\n\n"
    rows = [
        [kind, *(" / ".join(f"{found[method][name]:.3f}" for name in MEASURES) for method in overall)]
        for kind, found in numbers["kinds"].items()
    ]
    text += table(["real defect", *overall], rows)
    budget = ", ".join(f"{name} {value}" for name, value in facts["budget"].items())
    return f"{text}\nBudget: {budget}. {facts['versions']}\n"


def versions() -> str:
    """Return one line: commit, Python, packages and processor."""
    names = ("fmas", "fmas-evaluate", "torch", "numpy", "opencv-python-headless", "scikit-image")
    packages = ", ".join(f"{name} {version(name)}" for name in names)
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty=+"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    commit = done.stdout.strip() or "unknown"
    return f"Commit {commit}, Python {platform.python_version()}, {packages}, {_processor()}."


def _against(
    scored: Mapping[str, Sequence[Scored]],
    masks: Sequence[Any],
    overall: Mapping[str, Any],
    drawn: Mapping[str, Mapping[str, NDArray[np.float64]]],
    replicates: int,
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for method in scored:
        if method == OURS:
            continue
        found[method] = {
            name: {
                "difference": overall[OURS][name]["mean"] - overall[method][name]["mean"],
                **_paired(drawn[OURS][name] - drawn[method][name]),
            }
            for name in MEASURES
        }
        for seed, (ours, theirs) in enumerate(zip(scored[OURS], scored[method], strict=True)):
            single = compare(
                ours.maps,
                theirs.maps,
                masks,
                first_image_scores=ours.scores,
                second_image_scores=theirs.scores,
                metrics=MEASURES,
                replicates=replicates,
            )
            for name in MEASURES:
                found[method][name].setdefault("seeds", {})[str(seed)] = single[name].as_dict()
    return found


def _of_kind(scored: Mapping[str, Sequence[Scored]], test: Sequence[TestImage], kind: str) -> dict[str, Any]:
    chosen = [index for index, image in enumerate(test) if image.kind in {"good", kind}]
    masks = [test[index].mask if test[index].kind == kind else None for index in chosen]
    found = {}
    for method, runs in scored.items():
        results = [
            evaluate([r.maps[i] for i in chosen], masks, image_scores=[r.scores[i] for i in chosen]) for r in runs
        ]
        found[method] = {name: float(np.mean([float(result[name]) for result in results])) for name in MEASURES}
    return found


def _interval(values: NDArray[np.float64]) -> list[float]:
    return [float(end) for end in np.quantile(values, [0.025, 0.975])]


def _paired(differences: NDArray[np.float64]) -> dict[str, Any]:
    """Return interval and two-sided p-value of replicated differences, as `fmas_evaluate.compare` defines them."""
    tail = min(np.count_nonzero(differences <= 0), np.count_nonzero(differences >= 0))
    return {"interval": _interval(differences), "p_value": min(1.0, 2 * (1 + float(tail)) / (differences.size + 1))}


def _cell(found: Mapping[str, Any]) -> str:
    low, high = found["interval"]
    return f"{found['mean']:.3f} [{low:.3f}, {high:.3f}]"


def _difference(found: Mapping[str, Any]) -> str:
    low, high = found["interval"]
    return f"{found['difference']:+.3f} [{low:+.3f}, {high:+.3f}], p = {found['p_value']:.3g}"


def _pairs_cell(about: Sequence[Mapping[str, Any]]) -> tuple[str, str, str]:
    """Return pairs, mean share of defect pixels and minutes of training."""
    mean = {name: np.mean([one[name] for one in about]) for name in ("pairs", "mask_share", "seconds_training")}
    return f"{mean['pairs']:.0f}", f"{mean['mask_share']:.1%}", f"{mean['seconds_training'] / 60:.1f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
