"""A tiny data set, steps that write what the real commands write, and a ruler: no child process, no detector."""

from __future__ import annotations

import csv
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fmas.benchmark.cells import BenchmarkRequest, Step
from fmas.benchmark.ruler import MEASURES, Sampled, ScoredImage
from fmas.benchmark.steps import StepResult
from fmas.benchmark.variants import chosen_variants

SIDE = 24


def write_image(path: Path, value: int = 90, side: int = SIDE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(value).integers(0, 40, (side, side, 3), dtype=np.uint8)
    Image.fromarray(noise + np.uint8(value)).save(path)


def write_mask(path: Path, value: int = 255, side: int = SIDE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = np.zeros((side, side), dtype=np.uint8)
    mask[6:14, 8:16] = value
    Image.fromarray(mask).save(path)


def write_category(folder: Path, *, train: int = 4, good: int = 4, kinds: Sequence[str] = ("crack", "dent")) -> Path:
    for number in range(train):
        write_image(folder / "train" / "good" / f"{number:03d}.png", 80 + number)
    for number in range(good):
        write_image(folder / "test" / "good" / f"{number:03d}.png", 100 + number)
    for kind in kinds:
        for number in range(3):
            write_image(folder / "test" / kind / f"{number:03d}.png", 120 + number)
            write_mask(folder / "ground_truth" / kind / f"{number:03d}_mask.png")
    return folder


@dataclass
class FakeSteps:
    """Writes folders as ``fmas run``, ``train`` and ``inspect`` do; training on FMAS makes better maps."""

    fails: Callable[[Step], str] = lambda step: ""
    asked: list[Step] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, step: Step, log: Path) -> StepResult:
        with self.lock:
            self.asked.append(step)
        if reason := self.fails(step):
            return StepResult(0.5, reason)
        out = Path(step.arguments[step.arguments.index("--out") + 1])
        out.mkdir(parents=True, exist_ok=True)
        if step.name == "train":
            content = {"training": {"steps": 7}, "arguments": step.arguments}
            (out / "model.json").write_text(json.dumps(content))
        if step.name == "inspect":
            write_inspection(
                out, Path(step.arguments[1]), Path(step.arguments[2]), explain="--explain" in step.arguments
            )
        return StepResult(1.5)

    def names(self) -> list[str]:
        return [step.name for step in self.asked]


def write_inspection(out: Path, model: Path, test: Path, *, explain: bool) -> None:
    arguments = json.loads((model / "model.json").read_text())["arguments"]
    skill = 2.0 if "anomalies=fmas" in arguments or "fmas=true" in arguments else 0.4
    seed = int(arguments[arguments.index("--seed") + 1])
    with (
        (out / "scores.csv").open("w", newline="") as scores,
        (out / "explain.csv").open("w", newline="") as explained,
    ):
        score_rows, weight_rows = csv.writer(scores), csv.writer(explained)
        score_rows.writerow(["path", "score", "verdict"])
        weight_rows.writerow(["path", "layer", "LL", "LH", "HL", "HH"])
        for number, path in enumerate(sorted(test.rglob("*.png"))):
            relative = path.relative_to(test)
            values = np.random.default_rng([seed, number, int(10 * skill)]).normal(size=(SIDE, SIDE)).astype(np.float32)
            if relative.parts[0] != "good":
                values[6:14, 8:16] += skill
            target = (out / "maps" / relative).with_suffix(".tiff")
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(target)
            score = float(np.sort(values, axis=None)[-30:].mean())
            score_rows.writerow([relative.as_posix(), repr(score), "anomalous" if score > 2 else "good"])
            weight_rows.writerow(
                [relative.as_posix(), "level1", 0.5, 0.25, 0.75, 0.125 * (relative.parts[0] == "good")]
            )
    if not explain:
        (out / "explain.csv").unlink()


class FakeRuler:
    """Share of (defective, good) pairs in the right order for images; a mean of the map for everything else."""

    def __init__(self) -> None:
        self.asked = 0

    def sample(self, images: Sequence[ScoredImage], *, seed: int) -> Sampled:
        self.asked += 1
        bad = np.flatnonzero([image.mask is not None for image in images])
        good = np.flatnonzero([image.mask is None for image in images])
        scores = np.array([image.score for image in images])
        means = np.array([image.map[image.mask].mean() if image.mask is not None else 0.0 for image in images])
        rng = np.random.default_rng(seed)
        drawn = [(rng.choice(bad, bad.size), rng.choice(good, good.size)) for _ in range(60)]

        def measure(name: str, bad: np.ndarray, good: np.ndarray) -> float:
            if name == "image_auroc":
                return float((scores[bad][:, None] > scores[good]).mean())
            return float(1 / (1 + np.exp(-means[bad].mean())))

        return Sampled(
            {name: measure(name, bad, good) for name in MEASURES},
            {name: np.array([measure(name, *draw) for draw in drawn]) for name in MEASURES},
        )


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write_category(tmp_path / "tiles")


@pytest.fixture(scope="session")
def category_writer() -> Callable[..., Path]:
    return write_category


@pytest.fixture
def steps() -> FakeSteps:
    return FakeSteps()


@pytest.fixture
def ruler() -> FakeRuler:
    return FakeRuler()


@pytest.fixture
def request_of(dataset: Path, tmp_path: Path) -> Callable[..., BenchmarkRequest]:
    def make(**changes: object) -> BenchmarkRequest:
        given = {"dataset": dataset, "out": tmp_path / "bench", "variants": chosen_variants((), quick=True), "seeds": 2}
        return BenchmarkRequest(**(given | changes))  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def fakes() -> tuple[type[FakeSteps], type[FakeRuler]]:
    return FakeSteps, FakeRuler
