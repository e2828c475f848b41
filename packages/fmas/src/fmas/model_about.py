"""What ``model.json`` says about a model, and reading it: the file that makes a folder a model."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fmas.calibration import Calibration
from fmas.errors import ModelError
from fmas.model_files import FileRecord, check_files

__all__ = ["FORMAT_VERSION", "ModelAbout", "ModelLayout", "about_json", "read_about"]

FORMAT_VERSION = 1
"""Changes when an older ``fmas`` could not read what a newer one writes."""

_FORMAT = "fmas-model"
_LARGEST_ABOUT = 50_000_000


@dataclass(frozen=True, slots=True)
class ModelLayout:
    """The paths of one model folder.

    Attributes:
        folder: The folder.
    """

    folder: Path

    @property
    def about(self) -> Path:
        """The file that makes the folder a model."""
        return self.folder / "model.json"

    @property
    def card(self) -> Path:
        """The model card."""
        return self.folder / "README.md"

    @property
    def training(self) -> Path:
        """How the training went, one line per logged step."""
        return self.folder / "training.jsonl"

    @property
    def detector(self) -> Path:
        """What the detector saved."""
        return self.folder / "detector"

    @property
    def work(self) -> Path:
        """Everything that is needed while the training is not finished, and not after."""
        return self.folder / ".work"


@dataclass(frozen=True, slots=True)
class ModelAbout:
    """What ``model.json`` says besides the calibration and the files.

    Attributes:
        detector: Registered name of the detector.
        detector_version: Version in its fingerprint when it was trained.
        options: Options to create it with, JSON values; without what belongs to the machine it was trained on.
        category: The category's folder name.
        object_name: What the product is, in words.
        data: What it learnt from: ``digest``, counts, the components that made it.
        training: What the detector said about the training, and what it was measured by.
        versions: Library -> version.
        request: What was asked for, as far as it decides the result.
        source: What an exported model was made from, empty for a trained one.
        digest: SHA-256 over all that a score and a verdict depend on: detector, options, the files that it saved, and
            calibration. Empty before it is written.
    """

    detector: str
    detector_version: str
    options: Mapping[str, object]
    category: str
    object_name: str
    data: Mapping[str, object] = field(default_factory=dict)
    training: Mapping[str, object] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    request: Mapping[str, object] = field(default_factory=dict)
    source: Mapping[str, object] = field(default_factory=dict)
    digest: str = ""


def about_json(about: ModelAbout, calibration: Calibration, files: Mapping[str, FileRecord]) -> dict[str, object]:
    """Return what :func:`read_about` reads, as JSON values."""
    return {
        "format": _FORMAT,
        "format_version": FORMAT_VERSION,
        "detector": {"name": about.detector, "version": about.detector_version, "options": dict(about.options)},
        "category": about.category,
        "object": about.object_name,
        "calibration": calibration.to_json(),
        "data": dict(about.data),
        "training": dict(about.training),
        "request": dict(about.request),
        "source": dict(about.source),
        "versions": dict(about.versions),
        "files": {name: record.to_json() for name, record in sorted(files.items())},
    }


def read_about(folder: Path) -> tuple[ModelAbout, Calibration]:
    """Read ``model.json`` and see that every file it names is whole; no detector is created.

    Raises:
        ModelError: If the folder is no finished model, damaged, or of a newer format.
    """
    content = _read_about_file(folder)
    if content.get("format") != _FORMAT:
        raise ModelError(f"expected a model of fmas train, got another model.json in {folder}; name the model folder")
    version = content.get("format_version")
    if version != FORMAT_VERSION:
        raise ModelError(
            f"expected a model of format {FORMAT_VERSION}, got {version!r} in {folder}; "
            "use the version of fmas that wrote it, or train again"
        )
    try:
        about, calibration, files = _parsed(content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(
            f"expected model.json as fmas writes it, got another one in {folder} ({error}); restore the folder"
        ) from error
    check_files(folder, files)
    return about, calibration


def _read_about_file(folder: Path) -> Mapping[str, object]:
    layout = ModelLayout(folder)
    try:
        with layout.about.open("rb") as file:
            raw = file.read(min(_LARGEST_ABOUT, os.fstat(file.fileno()).st_size))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ModelError(_what_is_there(layout)) from error
    except OSError as error:
        raise ModelError(f"expected to read {layout.about}, got {error.strerror or error}; check it") from error
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"expected JSON in {layout.about}, got none; restore the folder or train again") from error
    if not isinstance(content, dict):
        raise ModelError(f"expected a model of fmas train, got another model.json in {folder}; name the model folder")
    return content


def _what_is_there(layout: ModelLayout) -> str:
    expected = f"expected a model folder of fmas train, got {layout.folder}"
    if not layout.folder.exists():
        return f"{expected}, which does not exist; check the path"
    if not layout.folder.is_dir():
        return f"{expected}, which is a file; name the folder that holds model.json"
    if layout.work.is_dir():
        return f"{expected}, where a training is not finished; run the same fmas train command again"
    return f"{expected} without model.json; name the folder that fmas train --out named"


def _parsed(content: Mapping[str, object]) -> tuple[ModelAbout, Calibration, dict[str, FileRecord]]:
    detector, texts = _object(content, "detector"), {}
    for key, value in (("name", detector["name"]), ("version", detector["version"])):
        texts[key] = _text(value, f"detector.{key}")
    about = ModelAbout(
        detector=texts["name"],
        detector_version=texts["version"],
        options=_object(detector, "options"),
        category=_text(content["category"], "category"),
        object_name=_text(content["object"], "object"),
        data=_object(content, "data"),
        training=_object(content, "training"),
        versions={key: str(value) for key, value in _object(content, "versions").items()},
        request=_object(content, "request"),
        source=_object(content, "source"),
        digest=_digest(content),
    )
    files = {name: FileRecord.from_json(name, record) for name, record in _object(content, "files").items()}
    return about, Calibration.from_json(content["calibration"]), files


def _digest(content: Mapping[str, object]) -> str:
    files = {name: record for name, record in _object(content, "files").items() if name.startswith("detector/")}
    decisive = {"detector": content["detector"], "calibration": content["calibration"], "files": files}
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def _object(content: Mapping[str, object], key: str) -> Mapping[str, object]:
    value = content[key]
    if not isinstance(value, dict):
        raise TypeError(f"{key} is no object")
    return value


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{what} is no text")
    return value
