"""Is there a shortcut to learn? A probe that sees high-pass residuals tells composites from originals, or cannot.

    python packages/fmas/benchmarks/probe_borders.py [--photographs DIR] [--per-image N] [--most LEVELS] [--out FILE]

Half of the photographs train two probes (`probe_classifiers.py`), the other half tests them, on patches of 32 x 32
pixels centred on the masks' borders, one of the composite and one of the same place in the photograph. The composites
have no visible defect (`probe_patches.py` says what that means). Printed is the accuracy of each probe, 0.5 being
chance, with a 95 % interval from drawing the photographs anew; for all kinds together, for each kind, and for three
controls that a probe must see, or its silence would mean nothing. The last table is no test: how much of the grain is
left inside the masks of defects at full strength, relative to the brightness that is left.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from comparison_tables import table, versions
from numpy.typing import NDArray
from probe_classifiers import network_probe, rich_probe
from probe_patches import CONTROLS, Composite, Patches, cut_patches, faded, made_by_fmas, visible_change
from scipy import ndimage

DATA = Path("/work/shared/datasets/magnetic_tile/train/good")
LIMIT, LEAST_SEEN = 0.55, 0.8


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """How a probe did.

    Attributes:
        right: ``(M,)`` bool for each held-out patch.
        sources: ``(M,)`` the photographs.
        kinds: ``(M,)`` the kinds.
    """

    right: NDArray[np.bool_]
    sources: NDArray[np.str_]
    kinds: NDArray[np.str_]

    def accuracy(self, kind: str | None = None) -> dict[str, float]:
        """Return accuracy, interval and number of patches, of one kind or of all."""
        chosen = np.ones(len(self.right), np.bool_) if kind is None else self.kinds == kind
        names, inverse = np.unique(self.sources[chosen], return_inverse=True)
        hits = np.bincount(inverse, self.right[chosen])
        sizes = np.bincount(inverse)
        drawn = np.random.default_rng(0).multinomial(len(names), np.full(len(names), 1 / len(names)), 2000)
        lower, upper = np.quantile((drawn @ hits) / (drawn @ sizes), [0.025, 0.975])
        return {
            "accuracy": float(hits.sum() / sizes.sum()),
            "lower": float(lower),
            "upper": float(upper),
            "patches": int(sizes.sum()),
        }


def main(arguments: Sequence[str] | None = None) -> int:
    """Make composites, train the probes and print what they see; 1 if they see too much, or the controls too badly."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=Path, default=DATA, help="a folder of photographs of good parts")
    parser.add_argument("--per-image", type=int, default=14, help="composites of each photograph")
    parser.add_argument("--each", type=int, default=2, help="patches of each composite")
    parser.add_argument("--most", type=float, default=2.0, help="grey levels that no pixel may have changed by")
    parser.add_argument("--epochs", type=int, default=12, help="passes of the network's training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--out", type=Path, help="write all numbers here, as JSON")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)

    with tempfile.TemporaryDirectory() as folder:
        images, count = options.photographs, options.per_image
        faint = list(made_by_fmas(images, Path(folder, "faint"), per_image=count, severity=0.0, strength=0.01))
        strong = list(made_by_fmas(images, Path(folder, "strong"), per_image=count, severity=0.6, strength=1.0))
    rng = np.random.default_rng(options.seed)
    sets = {"fmas": [faded(composite, options.most) for composite in faint]}
    sets |= {name: [control(composite, rng) for composite in faint] for name, control in CONTROLS.items()}
    verdicts: dict[str, dict[str, Verdict]] = {}
    for name, composites in sets.items():
        started = time.perf_counter()
        patches = cut_patches(composites, each=options.each, seed=options.seed)
        verdicts[name] = probed(patches, epochs=options.epochs, seed=options.seed)
        sys.stderr.write(f"{name}: {2 * len(patches.kinds)} patches, {time.perf_counter() - started:.0f} s\n")
    numbers = _numbers(verdicts, faint, strong)
    numbers["options"] = {key: str(value) for key, value in vars(options).items()}
    sys.stdout.write(_tables(numbers))
    if options.out is not None:
        options.out.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
    return 0 if numbers["passed"] else 1


def probed(patches: Patches, *, epochs: int, seed: int) -> dict[str, Verdict]:
    """Train both probes on half of the photographs and test them on the others."""
    names = np.random.default_rng(seed).permutation(np.unique(patches.sources))
    held_out = np.isin(patches.sources, names[: len(names) // 2])
    inner = np.isin(patches.sources, names[: 3 * len(names) // 4])
    both = (np.concatenate([patches.originals[~held_out], patches.composites[~held_out]]), _halves(~held_out))
    test, truth = np.concatenate([patches.originals[held_out], patches.composites[held_out]]), _halves(held_out)
    folds = np.tile(inner[~held_out], 2).astype(np.int64)
    logits = {
        "statistics": rich_probe(both, test, folds=folds),
        "network": network_probe(both, test, epochs=epochs, seed=seed),
    }
    sources, kinds = np.tile(patches.sources[held_out], 2), np.tile(patches.kinds[held_out], 2)
    return {name: Verdict((values > 0) == truth, sources, kinds) for name, values in logits.items()}


def grain_left(composite: Composite) -> float | None:
    """Return the grain inside a mask relative to the photograph's there, both relative to their brightness.

    ``None`` where fewer than 100 pixels lie three pixels inside the mask.
    """
    inside = ndimage.binary_erosion(composite.mask, iterations=3)
    if np.count_nonzero(inside) < 100:
        return None
    found = []
    for picture in (composite.picture, composite.twin):
        grey = picture.mean(axis=2, dtype=np.float32)
        fine = grey - cv2.GaussianBlur(grey, (0, 0), 1.0)
        found.append(float(np.median(np.abs(fine[inside]))) / max(1.0, float(grey[inside].mean())))
    return found[0] / max(found[1], 1e-6)


def _halves(chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    count = np.count_nonzero(chosen)
    return np.repeat([False, True], count)


def _numbers(
    verdicts: dict[str, dict[str, Verdict]], faint: Sequence[Composite], strong: Sequence[Composite]
) -> dict[str, Any]:
    kinds = sorted({composite.kind for composite in faint})
    overall = {name: {probe: verdict.accuracy() for probe, verdict in both.items()} for name, both in verdicts.items()}
    by_kind = {
        kind: {probe: verdict.accuracy(kind) for probe, verdict in verdicts["fmas"].items() if kind in verdict.kinds}
        for kind in kinds
    }
    best = {name: max(found["accuracy"] for found in both.values()) for name, both in overall.items()}
    grain = {}
    for kind in kinds:
        left = [value for one in strong if one.kind == kind and (value := grain_left(one)) is not None]
        if len(left) >= 5:
            grain[kind] = [float(part) for part in np.quantile(left, [0.1, 0.5, 0.9])]
    return {
        "passed": best["fmas"] <= LIMIT and all(best[name] >= LEAST_SEEN for name in CONTROLS),
        "overall": overall,
        "kinds": by_kind,
        "before_fading": {
            kind: float(np.median([visible_change(one) for one in faint if one.kind == kind])) for kind in kinds
        },
        "grain": grain,
        "versions": versions(),
    }


def _tables(numbers: dict[str, Any]) -> str:
    overall, kinds, grain = numbers["overall"], numbers["kinds"], numbers["grain"]
    before = numbers["before_fading"]
    text = "Accuracy on held-out photographs; 0.5 is chance.\n\n"
    rows = [[name, *map(_cell, both.values()), str(both["network"]["patches"])] for name, both in overall.items()]
    text += table(["composites", "statistics", "network", "patches"], rows)
    text += "\nThose of fmas by kind, and the median of the largest change before they were faded:\n\n"
    rows = [
        [kind, *map(_cell, both.values()), str(both["network"]["patches"]), f"{before[kind]:.0f}"]
        for kind, both in kinds.items()
        if both
    ]
    text += table(["kind", "statistics", "network", "patches", "levels"], rows)
    text += "\nGrain left inside the masks at severity 0.6, relative to brightness (1 = the photograph's):\n\n"
    rows = [[kind, *(f"{part:.2f}" for part in parts)] for kind, parts in grain.items()]
    text += table(["kind", "10 %", "median", "90 %"], rows)
    return f"{text}\n{numbers['versions']}\n"


def _cell(found: dict[str, float]) -> str:
    return f"{found['accuracy']:.3f} [{found['lower']:.3f}, {found['upper']:.3f}]"


if __name__ == "__main__":
    sys.exit(main())
