"""A detector for tests of training and exporting, and the plugin that brings it; numpy only.

It learns the mean and the spread of good pictures' brightness, one pair per step, with a checkpoint after every step.
``REPORT_TO`` in the environment names a file that every step is appended to, so that tests see what was done again.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from fmas import hookimpl
from fmas.detectors import Exported
from fmas.options import parse_options
from fmas.specs import DetectorSpec
from fmas.types import Fingerprint


class ToyOptions(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(default=6, ge=1)
    epochs: int | None = None
    seed: int = 0
    device: str = "auto"
    wdam: bool = True
    pause: float = 0.0
    weights: str | None = None


class ToyDetector:
    name = "toy"
    version = "1"

    def __init__(self, options: ToyOptions) -> None:
        self.options = options
        self.state = {"step": 0, "total": 0.0, "squares": 0.0}
        self.seen = []

    def fingerprint(self):
        return Fingerprint(self.name, self.version, self.options.model_dump(mode="json", exclude={"pause"}))

    def fit(self, pairs):
        for step, pair in enumerate(pairs, start=1):
            self._learn(step, pair)

    def train(self, pairs, validation, *, workspace, progress=None):
        steps = len(pairs) * self.options.epochs if self.options.epochs else self.options.steps
        checkpoint = workspace / "state.json"
        if checkpoint.exists():
            self.state = json.loads(checkpoint.read_text())
        for step in range(self.state["step"] + 1, steps + 1):
            self._learn(step, pairs[(step + self.options.seed) % len(pairs)])
            temporary = workspace / "state.part"
            temporary.write_text(json.dumps(self.state))
            temporary.replace(checkpoint)
            if report := os.environ.get("REPORT_TO"):
                with Path(report).open("a") as file:
                    file.write(f"{step}\n")
            if progress is not None:
                progress(step, steps, {"loss": 1 / step})
            time.sleep(self.options.pause)
        return {
            "steps": steps,
            "best_step": steps,
            "stopped_early": True,
            "seconds": 1.25,
            "validation": {"pairs": len(validation)},
        }

    def _learn(self, step, pair):
        self.seen.append(pair)
        normal = pair.normal.astype(np.float64)
        self.state = {
            "step": step,
            "total": self.state["total"] + float(normal.mean()),
            "squares": self.state["squares"] + float((normal**2).mean()),
        }

    def score(self, images):
        mean = self.state["total"] / self.state["step"]
        spread = max(self.state["squares"] / self.state["step"] - mean**2, 1.0) ** 0.5
        for image in images:
            heat = (np.abs(image.astype(np.float32).mean(axis=2) - np.float32(mean)) / np.float32(spread)).astype("f4")
            yield heat, float(np.sort(heat.ravel())[-20:].mean())

    def save(self, directory):
        (directory / "toy.json").write_text(json.dumps(self.state))

    def load(self, directory):
        self.state = json.loads((directory / "toy.json").read_text())

    def export_onnx(self, directory, *, parity):
        self.save(directory)
        return Exported("toy-runtime", {"steps": 1}, 1e-6)


class ToyRuntime(ToyDetector):
    """What an export is loaded by."""

    name = "toy-runtime"
    version = "7"


class PlainToy(ToyDetector):
    """Fits only."""

    name = "plain-toy"
    train = None
    export_onnx = None


def create(kind):
    return lambda options: kind(parse_options(ToyOptions, options, section="detector"))


@hookimpl
def fmas_register_detectors():
    return [
        DetectorSpec("toy", "for tests", create(ToyDetector), requires=("numpy",)),
        DetectorSpec("toy-runtime", "for tests", create(ToyRuntime)),
        DetectorSpec("plain-toy", "for tests", create(PlainToy)),
    ]


def install(folder: Path) -> Path:
    """Make a folder that, on the import path, brings this module as an installed plugin; return it."""
    info = folder / "toy_detector-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "toy_detector.py").write_text(Path(__file__).read_text(encoding="utf-8"), encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy_detector\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[fmas.plugins]\ntoy = toy_detector\n")
    return folder
