"""``fmas export`` as a function: a trained model as one that runs without what trained it.

An export counts only if it gives the same result. The maps are compared by the detector, and the scores, which the
threshold applies to, here, on pictures that a seed makes: gradients, noise and an edge, of sizes that are no multiple
of anything.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fmas.detectors import ExportableDetector, Exported
from fmas.errors import ConfigError, ModelError, PluginError, UsageError
from fmas.files import unwritable
from fmas.held_out_scores import checked_scores
from fmas.json_values import json_values
from fmas.model_card import model_card
from fmas.model_folder import Model, ModelAbout, portable_options, read_model
from fmas.model_workspace import ModelWorkspace
from fmas.plugins import PluginRegistry, load_plugins
from fmas.protocols import Detector
from fmas.types import RGBImage

__all__ = ["LARGEST_DIFFERENCE", "ExportSummary", "export_model", "parity_pictures"]

LARGEST_DIFFERENCE = 1e-3
"""How far a map or a score may be off, relative to the largest value."""

_SIZES = ((96, 96), (97, 131), (160, 75), (256, 192))  # height, width


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """What came of an export.

    Attributes:
        folder: The new model folder.
        about: What its ``model.json`` says.
        is_new: Whether anything was done; a finished export is left as it is.
        seconds: How long this call took.
        notes: What the user should know.
    """

    folder: Path
    about: ModelAbout
    is_new: bool
    seconds: float
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """Return JSON values."""
        return {
            "model": str(self.folder),
            "new": self.is_new,
            "detector": self.about.detector,
            "source": dict(self.about.source),
            "seconds": round(self.seconds, 3),
            "notes": list(self.notes),
        }


def parity_pictures(seed: int = 0) -> list[RGBImage]:
    """Return the pictures that an export is compared on, ``(H, W, 3)`` uint8; the same for the same seed."""
    generator = np.random.default_rng(seed)
    pictures = []
    for height, width in _SIZES:
        slope = np.linspace(40, 200, width)[None, :, None] + np.linspace(-30, 30, height)[:, None, None]
        picture = slope + generator.normal(0, 12, (height, width, 3))
        picture[height // 3 : height // 2, width // 4 : width // 3] -= 60
        pictures.append(np.clip(picture, 0, 255).astype(np.uint8))
    return pictures


def export_model(folder: Path, out: Path, *, registry: PluginRegistry | None = None) -> ExportSummary:
    """Export a model to ONNX, as a model folder of its own with the same calibration.

    Args:
        folder: The trained model.
        out: The new model folder.
        registry: Where detectors come from; the installed plugins by default.

    Raises:
        UsageError: If the model's detector cannot be exported, or ``out`` lies in ``folder``.
        ModelError: If ``folder`` is no model, or the export does not give the same result.
        OutputError: If ``out`` cannot be used.
    """
    started = time.monotonic()
    registry = registry if registry is not None else load_plugins()
    model = _read_on_cpu(folder, registry)
    detector = model.detector
    if not isinstance(detector, ExportableDetector):
        raise UsageError(
            f"expected a model whose detector can be exported, got one of {model.about.detector!r}, which cannot; "
            "fmas inspect uses it as it is"
        )
    if out.resolve().is_relative_to(folder.resolve()):
        raise UsageError(f"expected another folder for --out than the model's, got {out}; choose another --out")
    notes = list(model.notes)
    with ModelWorkspace.open(out, {"format": "onnx", "source": model.about.digest}) as workspace:
        if workspace.finished is not None:
            about, _ = workspace.finished
        else:
            about, more = _exported(model, detector, workspace, registry)
            about = workspace.finish(about, model.calibration, model_card(about, model.calibration))
            notes += more
    return ExportSummary(out, about, workspace.finished is None, time.monotonic() - started, tuple(notes))


def _read_on_cpu(folder: Path, registry: PluginRegistry) -> Model:
    """Read the model where it computes as precisely as what it is compared with, if its detector lets one choose."""
    try:
        return read_model(folder, {"device": "cpu"}, registry=registry)
    except ConfigError:
        return read_model(folder, registry=registry)


def _exported(
    model: Model, detector: ExportableDetector, workspace: ModelWorkspace, registry: PluginRegistry
) -> tuple[ModelAbout, list[str]]:
    """Write the export into the workspace; return what it is, and notes."""
    pictures = parity_pictures()
    try:
        shutil.rmtree(workspace.saved, ignore_errors=True)  # of a process that was killed here
        workspace.saved.mkdir(parents=True)
        exported = detector.export_onnx(workspace.saved, parity=pictures)
    except OSError as error:
        raise unwritable(workspace.saved, error) from error
    _refuse_difference(exported.largest_difference, "maps")
    options = portable_options(json_values(exported.options, what="the options of the exported detector"))
    notes: list[str] = []
    try:
        successor = registry.create("detector", exported.detector, options)
        successor.load(workspace.saved)
        version = successor.fingerprint().version
        _refuse_difference(_score_difference(model, successor, pictures), "scores")
    except PluginError as error:
        version = ""
        notes.append(f"the export was not compared with the original: {error}")
    return _about(model, exported, options, version), notes


def _about(model: Model, exported: Exported, options: dict[str, object], version: str) -> ModelAbout:
    before = model.about
    source = {
        "format": "onnx",
        "detector": before.detector,
        "detector_version": before.detector_version,
        "digest": before.digest,
        "largest_difference": exported.largest_difference,
    }
    return ModelAbout(
        detector=exported.detector,
        detector_version=version,
        options=options,
        category=before.category,
        object_name=before.object_name,
        data=before.data,
        training=before.training,
        versions=before.versions,
        request={"format": "onnx", "source": before.digest},
        source=source,
    )


def _score_difference(model: Model, successor: Detector, pictures: Sequence[RGBImage]) -> float:
    """Return the largest difference of a score, relative to the largest score or to the threshold."""
    before, after = (
        np.array([score for _, score in checked_scores(detector, pictures, name=name)])
        for detector, name in ((model.detector, model.about.detector), (successor, "the export"))
    )
    scale = max(float(np.abs(before).max()), abs(model.calibration.threshold), float(np.finfo(np.float32).tiny))
    return float(np.abs(before - after).max()) / scale


def _refuse_difference(difference: float | None, what: str) -> None:
    if difference is not None and not difference <= LARGEST_DIFFERENCE:
        raise ModelError(
            f"expected an export with the same {what} up to {LARGEST_DIFFERENCE:g}, got a difference of "
            f"{difference:.3g}; report it, and go on with the model itself"
        )
