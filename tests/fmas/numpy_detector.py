"""A detector of a few lines of numpy, its model and photographs for it; as a script, an inspection to be killed."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict

from fmas import hookimpl
from fmas.calibration import Calibration
from fmas.inspection import InspectRequest, inspect_images
from fmas.model_folder import ModelAbout, write_model
from fmas.options import parse_options
from fmas.plugins import PluginRegistry, load_plugins
from fmas.specs import DetectorSpec
from fmas.types import Fingerprint

GOOD_SCORES = tuple(0.02 + 0.002 * number for number in range(20))


class SpotOptions(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    gate: bool = True
    device: str = "cpu"
    seconds: float = 0.0
    """For each photograph."""


@dataclass
class SpotDetector:
    """A pixel is as anomalous as its grey is far from the photograph's median; the score is the mean of the top ten."""

    options: SpotOptions
    loaded: bool = False

    def fingerprint(self) -> Fingerprint:
        return Fingerprint("spots", "1", {"gate": self.options.gate})

    def fit(self, pairs: Iterable[object]) -> None:
        for _ in pairs:
            pass

    def save(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "detector.json").write_text(json.dumps({"spots": True}), encoding="utf-8")

    def load(self, directory: Path) -> None:
        self.loaded = json.loads((directory / "detector.json").read_text(encoding="utf-8"))["spots"]

    def score(self, images: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, float]]:
        for image in images:
            time.sleep(self.options.seconds)
            yield self.answer(image)

    def answer(self, image: np.ndarray) -> tuple[np.ndarray, float]:
        grey = image.astype(np.float32).mean(axis=2)
        values = (np.abs(grey - np.median(grey)) / 255).astype(np.float32)
        if self.options.gate:
            values[grey < 20] = 0
        return values, float(np.sort(values, axis=None)[-10:].mean())


class ExplainingSpotDetector(SpotDetector):
    """Has sub-band weights, too."""

    def explain(self, images: Iterable[np.ndarray]) -> Iterator[dict[str, tuple[float, ...]]]:
        for image in images:
            light = float(image.mean() / 255)
            yield {"layer1.0": (light, 0.25, 0.5, 0.75), "layer1.1": (1.0, light, 0.0, 0.125)}


@dataclass(frozen=True)
class Hook:
    """An entry point that loads a plugin made on the spot."""

    plugin: object
    name: str = "spots"
    value: str = "tests:spots"
    group: str = "fmas.plugins"
    dist: None = None

    def load(self) -> object:
        return self.plugin


def registry_of(create: Callable[[SpotOptions], object] = SpotDetector) -> PluginRegistry:
    """Return a registry whose detector ``spots`` is what ``create`` makes of the options."""
    spec = DetectorSpec(
        "spots", "for tests", lambda options: create(parse_options(SpotOptions, options, section="detector"))
    )
    registry = load_plugins([Hook(SimpleNamespace(fmas_register_detectors=hookimpl(lambda: [spec])))])
    assert registry.failures == ()
    return registry


def write_spot_model(folder: Path, *, scores: Iterable[float] = GOOD_SCORES) -> Path:
    """Write a finished model folder whose calibration has the given scores of good photographs."""
    detector = SpotDetector(SpotOptions())
    saved = folder / ".work" / "saved"
    detector.save(saved)
    calibration = Calibration.from_scores(scores)
    request = {"detector": {"name": "spots", "version": "1", "config": {"gate": True}}}
    about = ModelAbout("spots", "1", {"gate": True}, category="tile", object_name="tile", request=request)
    write_model(folder, about, calibration, saved=saved, card="# A model for tests\n")
    return folder


def picture(number: int, *, spot: bool = False, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """Return a plain grey surface, ``(H, W, 3)``, with a bright spot if asked."""
    pixels = np.random.default_rng(number).normal(120, 2, (*size, 1)).repeat(3, axis=2)
    if spot:
        pixels[10:18, 20:30] = 230
    return np.clip(pixels, 0, 255).astype(np.uint8)


def write_pictures(folder: Path, count: int) -> Path:
    """Write pictures 000.png and on; every third has a spot."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.fromarray(picture(number, spot=number % 3 == 2)).save(folder / f"{number:03d}.png")
    return folder


def main(model: str, images: str, out: str, seconds: str) -> None:
    request = InspectRequest(Path(model), Path(images), Path(out), explain=True, overrides={"seconds": float(seconds)})
    inspect_images(request, registry=registry_of(ExplainingSpotDetector))


if __name__ == "__main__":
    main(*sys.argv[1:])
