"""Does it help? One small network, the same budget, trained on four ways to make defects, tested on real ones.

    python packages/fmas/benchmarks/does_it_help.py [--data DIR] [--seeds N] [--steps N] [--pairs N] [--out FILE]

CutPaste scars, NSA's Poisson pastes, DRAEM's Perlin textures (see `rivals.py`) and `fmas run` with its defaults make
the same number of pairs from the same good photographs. Network, size, augmentation, loss and steps are the same for
all (`small_network.py`), and nothing is chosen by looking at the test split. DIR has MVTec's layout. Printed are
Markdown tables: every measure is the mean over the seeds, with a 95 % interval from drawing test images anew, and the
p-value of the paired difference to ours. `--work DIR` keeps what was trained, so that a second run does only what has
changed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from comparison_tables import Scored, measured, tables, versions
from small_network import Budget, SmallUNet, predict, train
from training_pairs import METHODS, GoodParts, TestImage, digest, make_pairs, read_good, read_test, split_by_photograph

from fmas.types import NormalSyntheticMask
from fmas_evaluate import average_precision, pixel_auroc

DATA = Path("/work/shared/datasets/magnetic_tile")


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, test and print."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    if options.work is None:
        with tempfile.TemporaryDirectory() as folder:
            return _compare(options, Path(folder))
    options.work.mkdir(parents=True, exist_ok=True)
    return _compare(options, options.work)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    budget = Budget()
    parser.add_argument("--data", type=Path, default=DATA, help="a data set in MVTec's layout")
    parser.add_argument("--object", default="magnetic tile", help="what `fmas run --object` is told")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=3, help="trainings per method, each with pairs of its own")
    parser.add_argument("--pairs", type=int, default=432, help="training pairs")
    parser.add_argument("--steps", type=int, default=budget.steps, help="updates per training")
    parser.add_argument(
        "--size", type=int, default=budget.size, help="side of the square that photographs are brought to"
    )
    parser.add_argument("--largest", type=int, default=640, help="longer photographs are shrunk to this, for all")
    parser.add_argument("--limit", type=int, help="only so many good photographs, and of each kind of test image")
    parser.add_argument("--replicates", type=int, default=1000, help="draws of test images for the intervals")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--work", type=Path, help="keep pairs and maps here and take them from here")
    parser.add_argument("--out", type=Path, help="write all numbers here, as JSON")
    return parser


def _compare(options: argparse.Namespace, work: Path) -> int:
    good = read_good(options.data / "train/good", largest=options.largest, limit=options.limit)
    training, validation = split_by_photograph(good)
    test = read_test(options.data, largest=options.largest, limit=options.limit)
    scored: dict[str, list[Scored]] = {method: [] for method in options.methods}
    for seed in range(options.seeds):
        for method in options.methods:
            run = _Run(method, seed, (training, validation), options=options, work=work)
            scored[method].append(run.scored(test))
    facts: dict[str, object] = {
        "versions": versions(),
        "budget": asdict(Budget(steps=options.steps, size=options.size)),
        "photographs": len(training),
        "test": {kind: sum(image.kind == kind for image in test) for kind in dict.fromkeys(i.kind for i in test)},
    }
    numbers = measured(scored, test, replicates=options.replicates)
    sys.stdout.write(tables(numbers, facts))
    if options.out is not None:
        settings = {name: str(value) for name, value in vars(options).items()}
        options.out.write_text(json.dumps({**facts, "options": settings, **numbers}, indent=2) + "\n")
    return 0


class _Run:
    """One method with one seed."""

    def __init__(
        self, method: str, seed: int, parts: tuple[GoodParts, GoodParts], *, options: argparse.Namespace, work: Path
    ) -> None:
        self._method, self._seed, self._work, self._name = method, seed, work, options.object
        self._budget = Budget(steps=options.steps, size=options.size)
        training, validation = parts
        self._good: Mapping[str, tuple[GoodParts, int]] = {
            "training": (training, options.pairs),
            "validation": (validation, 2 * len(validation)),
        }
        self._channels = 3 if any(np.ptp(photograph, axis=2).any() for photograph in training.photographs) else 1

    def scored(self, test: Sequence[TestImage]) -> Scored:
        """Return the maps of the test images, from an earlier run where pairs, budget and code are the same."""
        started = time.perf_counter()
        pairs = self._pairs("training")
        code = Path(__file__).with_name("small_network.py").read_bytes()
        inputs = b"".join(image.photograph.tobytes() for image in test)
        key = hashlib.sha256(f"{digest(pairs)} {self._budget} {self._seed}".encode() + code + inputs).hexdigest()[:16]
        kept = self._work / f"{self._method}-{self._seed}-{key}.npz"
        if kept.exists():
            with np.load(kept) as stored:
                maps = [stored[f"map{index}"] for index in range(len(test))]
                about = json.loads(str(stored["about"]))
        else:
            made = time.perf_counter()
            network = train(pairs, self._budget, self._seed, channels=self._channels)
            trained = time.perf_counter()
            maps = [
                predict(network, image.photograph, size=self._budget.size, channels=self._channels) for image in test
            ]
            about = {
                "pairs": len(pairs),
                "mask_share": float(np.mean([pair.mask.mean() for pair in pairs])),
                "seconds_pairs": made - started,
                "seconds_training": trained - made,
                "validation": self._validated(network),
            }
            stored_maps = {f"map{index}": anomaly_map for index, anomaly_map in enumerate(maps)}
            np.savez(kept, about=json.dumps(about), **stored_maps)
        sys.stderr.write(f"{self._method} seed {self._seed}: {time.perf_counter() - started:.0f} s {about}\n")
        return Scored(maps, [float(anomaly_map.max()) for anomaly_map in maps], about)

    def _pairs(self, part: str) -> list[NormalSyntheticMask]:
        good, count = self._good[part]
        with tempfile.TemporaryDirectory(dir=self._work) as folder:
            return make_pairs(self._method, good, count=count, seed=self._seed, work=Path(folder), name=self._name)

    def _validated(self, network: SmallUNet) -> dict[str, float]:
        """Return how well the network finds defects of its own kind in photographs it has not seen."""
        pairs = self._pairs("validation")
        maps = [predict(network, pair.synthetic, size=self._budget.size, channels=self._channels) for pair in pairs]
        masks = [pair.mask for pair in pairs]
        return {measure.__name__: float(measure(maps, masks)) for measure in (pixel_auroc, average_precision)}


if __name__ == "__main__":
    sys.exit(main())
