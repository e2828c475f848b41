"""``fmas train`` as a function: read the pairs, keep photographs back, let a detector learn, calibrate, write a model.

The core knows no detector. It decides what is learnt from, guards it against test pictures, keeps the photographs that
calibrate apart, and writes a folder that can be trusted; how to learn is the detector's affair.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from fmas.calibration import Calibration
from fmas.components import ComponentHandle
from fmas.config import ComponentConfig
from fmas.detectors import TrainableDetector, TrainingProgress
from fmas.errors import FmasError, UnknownComponentError, UsageError
from fmas.held_out_scores import checked_scores
from fmas.holdout import HoldoutReport, refuse_held_out
from fmas.json_values import json_values
from fmas.model_card import model_card
from fmas.model_folder import ModelAbout, portable_options
from fmas.model_workspace import ModelWorkspace
from fmas.pairs import PairDataset
from fmas.plugins import PluginRegistry, load_plugins
from fmas.protocols import Detector
from fmas.training_log import TrainingLog
from fmas.training_request import DEFAULT_DETECTOR, TrainRequest, TrainSummary
from fmas.types import NormalSyntheticMask
from fmas.versions import library_versions

__all__ = ["DEFAULT_DETECTOR", "TrainRequest", "TrainSummary", "train_model"]

_INSTALL_DEFAULT = 'pip install "fmas-providers[detector]"'
_Pairs = PairDataset[NormalSyntheticMask]


@dataclass(frozen=True, slots=True)
class _Data:
    """The pairs of a training, divided by photograph."""

    everything: _Pairs
    learnt: _Pairs
    held: _Pairs

    @classmethod
    def read(cls, request: TrainRequest) -> _Data:
        everything = PairDataset(request.data, category=request.category)
        if not everything:
            raise UsageError(
                f"expected pairs to train on, got none in {everything.folder}; run fmas run IMAGES --out OUT first"
            )
        learnt, held = everything.split(request.validation_share(everything.photograph_count), request.seed)
        return cls(everything, learnt, held)

    def describe(self, holdout: HoldoutReport) -> dict[str, object]:
        rows = self.everything.rows
        return {
            "digest": self.digest(),
            "pairs": len(self.learnt),
            "photographs": self.learnt.photograph_count,
            "controls": len(self.learnt.controls),
            "validation_pairs": len(self.held),
            "validation_photographs": self.held.photograph_count,
            "defects": dict(sorted(Counter(str(row["defect"]) for row in rows).items())),
            "components": rows[0].get("components") or {},
            "holdout_compared": holdout.compared,
        }

    def digest(self) -> str:
        return self.everything.with_controls().digest()


def train_model(
    request: TrainRequest, *, registry: PluginRegistry | None = None, progress: TrainingProgress | None = None
) -> TrainSummary:
    """Train a detector and write a model folder; what ``fmas train`` calls.

    The same call goes on where an interrupted one stopped, and leaves a finished model as it is.

    Args:
        request: What to do.
        registry: Where the detector comes from; the installed plugins by default.
        progress: Told about every step.

    Returns:
        What came of it.

    Raises:
        UsageError: If the request is wrong, there is too little to train on, or a training picture is held out.
        OutputError: If the model folder cannot be used.
        ModelError: If the detector saves what a model must not hold.
        ImageError: If a picture of the data set is damaged.
        ComponentError: If the detector breaks its contract.
    """
    started = time.monotonic()
    registry = registry if registry is not None else load_plugins()
    data = _Data.read(request)
    handle: ComponentHandle[Detector] = ComponentHandle("detector", request.detector, registry)
    identity: dict[str, object] = {"detector": _detector_identity(handle, registry)}
    holdout = refuse_held_out(data.everything.with_controls().rows, request.holdout)
    notes = (*data.everything.notes, *holdout.notes())
    identity |= {
        "category": data.everything.category,
        "data": data.digest(),
        "false_alarms": request.false_alarms,
        "validation": request.validation,
        "seed": request.seed,
    }
    with ModelWorkspace.open(request.out, identity) as workspace:
        if workspace.finished is not None:
            about, calibration = workspace.finished
        else:
            detector = handle.get()
            outcome = _learn(detector, data, workspace, progress)
            calibration = _calibrated(detector, data, request)
            about = ModelAbout(
                detector=request.detector.name,
                detector_version=handle.fingerprint().version,
                options=_resolved_options(request.detector, handle, registry),
                category=data.everything.category,
                object_name=data.everything.object_name,
                data=data.describe(holdout),
                training={**outcome, "found": _found(detector, data, calibration, request.detector.name)},
                versions=_versions(registry.spec("detector", request.detector.name).requires),
                request=identity,
            )
            about = workspace.finish(about, calibration, model_card(about, calibration))
    note = calibration.note()
    return TrainSummary(
        folder=request.out,
        about=about,
        calibration=calibration,
        is_new=workspace.finished is None,
        seconds=time.monotonic() - started,
        notes=(*notes, note) if note else notes,
    )


def _detector_identity(handle: ComponentHandle[Detector], registry: PluginRegistry) -> dict[str, object]:
    """Return what of the detector decides the result, without what belongs to this machine."""
    try:
        fingerprint = handle.fingerprint()
    except UnknownComponentError as error:
        if any(spec.name == DEFAULT_DETECTOR for spec in registry.specs("detector")):
            raise
        raise UnknownComponentError(
            f"{error}; {DEFAULT_DETECTOR!r} and others come with: {_INSTALL_DEFAULT}"
        ) from error
    config = portable_options(fingerprint.config)
    return {"name": fingerprint.name, "version": fingerprint.version, "config": config}


def _resolved_options(
    asked: ComponentConfig, handle: ComponentHandle[Detector], registry: PluginRegistry
) -> dict[str, object]:
    """Return the options that the model is created with again: all of them, so that later defaults change nothing.

    A fingerprint's config is the resolved options; should a detector not accept its own, those that were given must do.
    """
    given = portable_options(asked.options)
    resolved = {**portable_options(handle.fingerprint().config), **given}
    try:
        registry.create("detector", asked.name, resolved)
    except FmasError:
        return given
    return resolved


def _learn(
    detector: Detector, data: _Data, workspace: ModelWorkspace, progress: TrainingProgress | None
) -> Mapping[str, object]:
    """Let the detector learn, or load what it had learnt before this process; return what it said about it."""
    outcome = workspace.outcome()
    if outcome is not None:
        detector.load(workspace.trained_files())
        return outcome
    pairs = data.learnt.with_controls()
    started = time.monotonic()
    if isinstance(detector, TrainableDetector):
        workspace.checkpoints.mkdir(exist_ok=True)
        with TrainingLog(workspace.log, progress) as log:
            said = detector.train(pairs, data.held, workspace=workspace.checkpoints, progress=log)
        outcome = json_values(said, what="what the detector says about its training")
    else:
        detector.fit(iter(pairs))
        outcome = {"seconds": round(time.monotonic() - started, 3)}
    workspace.keep_trained(detector, outcome)
    return outcome


def _calibrated(detector: Detector, data: _Data, request: TrainRequest) -> Calibration:
    results = checked_scores(detector, data.held.normals(), name=request.detector.name)
    return Calibration.from_scores((score for _, score in results), false_alarms=request.false_alarms)


def _found(detector: Detector, data: _Data, calibration: Calibration, name: str) -> dict[str, list[int]]:
    """Return defect -> how many of its held-out synthetic pictures score above the threshold, of how many."""
    pictures = (pair.synthetic for pair in data.held)
    counts: dict[str, list[int]] = {}
    for row, (_, score) in zip(data.held.rows, checked_scores(detector, pictures, name=name), strict=True):
        found = counts.setdefault(str(row["defect"]), [0, 0])
        found[0] += calibration.verdict(score) == "anomalous"
        found[1] += 1
    return dict(sorted(counts.items()))


def _versions(requires: Sequence[str]) -> dict[str, str]:
    """Return the versions of what a result may depend on: ours, and what the detector needs."""
    found = library_versions()
    for name in requires:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # an import name that is no distribution's
            continue
    return found
