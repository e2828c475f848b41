"""A trained model as a folder: what the detector saved, its calibration, and a file that vouches for the others.

::

    MODEL/  model.json      format, detector, options, calibration, data, training, versions, SHA-256 of the other files
            README.md       the model card
            training.jsonl  how the training went
            detector/       what the detector saved; safetensors, JSON, ONNX, never a pickle
            .work/          only while the training is not finished

``model.json`` is written last: a folder without it is no model yet, and every file that it names is whole. No file
holds a secret or an absolute path.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from fmas.calibration import Calibration
from fmas.errors import FmasError, ModelError
from fmas.files import AtomicWriter, unwritable
from fmas.model_about import FORMAT_VERSION, ModelAbout, ModelLayout, about_json, read_about
from fmas.model_files import record_files, refuse_pickles
from fmas.plugins import PluginRegistry, load_plugins
from fmas.protocols import Detector
from fmas.secrecy import first_secret_setting, one_line

__all__ = [
    "FORMAT_VERSION",
    "Model",
    "ModelAbout",
    "ModelLayout",
    "portable_options",
    "read_about",
    "read_model",
    "write_model",
]


@dataclass(frozen=True, slots=True)
class Model:
    """A model that is ready to inspect.

    Attributes:
        folder: Where it lies.
        detector: The detector, with its weights loaded.
        calibration: From score to verdict.
        about: Where it comes from.
        notes: What the user should know, e.g. that the detector has changed since.
    """

    folder: Path
    detector: Detector
    calibration: Calibration
    about: ModelAbout
    notes: tuple[str, ...] = ()


def portable_options(options: Mapping[str, object]) -> dict[str, object]:
    """Return the options without what belongs to one machine: ``device``, and absolute paths.

    A detector saves all that it needs into the model folder, so it can be created without them.
    """
    return {key: value for key, value in options.items() if key != "device" and not _holds_absolute_path(value)}


def _holds_absolute_path(value: object) -> bool:
    if isinstance(value, Mapping):
        return any(map(_holds_absolute_path, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_holds_absolute_path, value))
    if not isinstance(value, str):
        return False
    return PurePosixPath(value).is_absolute() or PureWindowsPath(value).is_absolute() or value.startswith("~/")


def write_model(folder: Path, about: ModelAbout, calibration: Calibration, *, saved: Path, card: str) -> ModelAbout:
    """Make ``folder`` a model; a process that dies in between leaves none, and the next one starts over here.

    ``training.jsonl``, where there is one, is there already. Texts are written as they are: whoever took them from a
    plugin has looked for secrets in them.

    Args:
        folder: The model folder.
        about: What to say; its digest does not count.
        calibration: From score to verdict.
        saved: A folder inside ``folder`` that the detector saved into; it becomes ``detector/``.
        card: The model card.

    Returns:
        ``about`` with its digest.

    Raises:
        ModelError: If the detector saved a pickle or nothing, or the options hold a secret.
        OutputError: If a file cannot be written.
    """
    layout = ModelLayout(folder)
    if secret := first_secret_setting(about.options):
        raise ModelError(f"expected options without secrets, got {secret!r}; leave it out")
    writer = AtomicWriter(layout.work / "files")
    try:
        if saved.is_dir():  # else it is where it belongs already, and the process died after that
            refuse_pickles(saved)
            shutil.rmtree(layout.detector, ignore_errors=True)
            saved.replace(layout.detector)
        writer.write_text(layout.card, card)
        content = about_json(about, calibration, record_files(folder, _model_files(layout)))
    except OSError as error:
        raise unwritable(folder, error) from error
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    writer.write_text(layout.about, text)
    return read_about(folder)[0]


def _model_files(layout: ModelLayout) -> Iterator[Path]:
    for path in (layout.card, layout.training):
        if path.exists():
            yield path
    yield from sorted(path for path in layout.detector.rglob("*") if not path.is_dir())


def read_model(
    folder: Path | str, overrides: Mapping[str, object] | None = None, *, registry: PluginRegistry | None = None
) -> Model:
    """Read a model and create its detector.

    Args:
        folder: What ``fmas train --out`` or ``fmas export --out`` named.
        overrides: Options of the detector that count instead of the stored ones, e.g. ``device``.
        registry: Where to find the detector; the installed plugins by default.

    Raises:
        ModelError: If the folder is no finished model, damaged, or its files are not what the detector expects.
        UsageError: If the detector is not installed or an override is not allowed.
        PluginError: If a library that the detector needs is not installed.
    """
    folder = Path(folder)
    about, calibration = read_about(folder)
    registry = registry if registry is not None else load_plugins()
    detector = registry.create("detector", about.detector, {**about.options, **(overrides or {})})
    _load(detector, folder, about.detector)
    version = detector.fingerprint().version
    notes: tuple[str, ...] = ()
    if about.detector_version and version != about.detector_version:  # else nobody knew it when it was exported
        notes = (
            f"the detector {about.detector!r} has changed since this model was trained (version "
            f"{about.detector_version}, now {version}): scores may differ and the threshold not fit; train again",
        )
    return Model(folder, detector, calibration, about, notes)


def _load(detector: Detector, folder: Path, name: str) -> None:
    try:
        detector.load(ModelLayout(folder).detector)
    except FmasError:
        raise
    except Exception as error:  # whatever a plugin's reader raises on files that are not its own
        raise ModelError(
            f"expected the detector {name!r} to load {folder}, got: {one_line(error)}; train again, or leave out "
            "options that it was not trained with"
        ) from error
