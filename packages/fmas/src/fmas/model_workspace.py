"""A model folder that is being written: locked, known by what was asked for, and continued by the same request.

Below ``MODEL/.work``::

    lock            the system's lock: gone when the process is, however it died
    request.json    what decides the result; another request is refused
    checkpoints/    the detector's own, while it trains
    training.jsonl  how the training goes
    saved/          what the detector saved once it had learnt, and
    trained.json    what it said then: from here on, a rerun trains no more
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from fmas.calibration import Calibration
from fmas.errors import ModelError, OutputError
from fmas.files import AtomicWriter, unwritable
from fmas.identity import differences
from fmas.model_folder import ModelAbout, ModelLayout, read_about, write_model
from fmas.protocols import Detector

__all__ = ["ModelWorkspace"]

_HARMLESS = {".work", ".DS_Store", "Thumbs.db", "desktop.ini"}
_DIGESTS = {"data": "the pairs have changed", "source": "the model to export has changed"}


@dataclass(frozen=True, slots=True)
class ModelWorkspace:
    """A model folder that this process alone may write.

    Attributes:
        layout: Where things lie.
        request: What decides the result, JSON values.
        finished: The model, if the same request was finished before.
    """

    layout: ModelLayout
    request: Mapping[str, object]
    finished: tuple[ModelAbout, Calibration] | None = None

    @classmethod
    @contextmanager
    def open(cls, folder: Path, request: Mapping[str, object]) -> Iterator[ModelWorkspace]:
        """Create or re-enter the folder and hold its lock.

        Args:
            folder: The model folder.
            request: What decides the result, JSON values.

        Raises:
            OutputError: If the folder holds something else or another request's work, cannot be written, or somebody
                is writing it.
            ModelError: If it holds a damaged model.
        """
        layout = ModelLayout(folder)
        _refuse_foreign(layout)
        if layout.about.exists() and not layout.work.exists():  # nothing to write, so nothing to lock
            yield cls(layout, request, _finished(layout, request))
            return
        lock = _locked(layout)
        try:
            if layout.about.exists():  # the process was killed before it could remove the workspace
                workspace = cls(layout, request, _finished(layout, request))
                workspace._remove_work()
            else:
                workspace = cls(layout, request)
                workspace._claim()
            yield workspace
        finally:
            lock.release()

    @property
    def checkpoints(self) -> Path:
        """The detector's folder while it trains."""
        return self.layout.work / "checkpoints"

    @property
    def log(self) -> Path:
        """How the training goes."""
        return self.layout.work / "training.jsonl"

    @property
    def saved(self) -> Path:
        """What the detector saved once it had learnt."""
        return self.layout.work / "saved"

    @property
    def writer(self) -> AtomicWriter:
        """A writer for files of this folder."""
        return AtomicWriter(self.layout.work / "files")

    def outcome(self) -> Mapping[str, object] | None:
        """Return what the detector said when it had learnt; ``None`` if it has not yet.

        Raises:
            OutputError: If it cannot be read.
        """
        content = self._read_json(self._trained)
        return content if self.saved.is_dir() or self.layout.detector.is_dir() else None

    def keep_trained(self, detector: Detector, outcome: Mapping[str, object]) -> None:
        """Save what a detector has learnt, so that a rerun does not train it again.

        Raises:
            OutputError: If it cannot be written.
        """
        saving = self.layout.work / "saving"
        try:
            for folder in (saving, self.saved, self.layout.detector):
                shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed here
            saving.mkdir(parents=True)
            detector.save(saving)
            saving.replace(self.saved)
        except OSError as error:
            raise unwritable(saving, error) from error
        self.writer.write_text(self._trained, json.dumps(dict(outcome), allow_nan=False))

    def trained_files(self) -> Path:
        """Return where the files lie that :meth:`keep_trained` saved: a process may have died after moving them."""
        return self.saved if self.saved.is_dir() else self.layout.detector

    def finish(self, about: ModelAbout, calibration: Calibration, card: str) -> ModelAbout:
        """Make the folder a model and remove the workspace.

        Returns:
            ``about`` as it was written.

        Raises:
            ModelError: If the detector saved what a model must not hold.
            OutputError: If a file cannot be written.
        """
        try:
            if self.log.exists():
                self.log.replace(self.layout.training)
        except OSError as error:
            raise unwritable(self.layout.training, error) from error
        written = write_model(self.layout.folder, about, calibration, saved=self.saved, card=card)
        self._remove_work()
        return written

    @property
    def _trained(self) -> Path:
        return self.layout.work / "trained.json"

    def _remove_work(self) -> None:
        # The lock file goes with it. Who waits for it gets none and says so; who comes later finds a finished model.
        shutil.rmtree(self.layout.work, ignore_errors=True)

    def _claim(self) -> None:
        """Mark the folder as this request's, or see that it already is."""
        path = self.layout.work / "request.json"
        before = self._read_json(path)
        if before is None:
            self.writer.write_text(path, json.dumps(dict(self.request), indent=2, allow_nan=False) + "\n")
        elif changed := _changes(before, self.request):
            raise OutputError(
                f"expected {self.layout.folder} to hold this training, but it holds an unfinished one with other "
                f"settings: {changed}; run it with those to go on, choose another --out, or delete the folder"
            )

    def _read_json(self, path: Path) -> Mapping[str, object] | None:
        try:
            content = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise OutputError(f"expected to read {path}, got {error.strerror or error}; check it") from error
        except (ValueError, RecursionError) as error:
            raise OutputError(f"expected JSON in {path}, got none; delete {self.layout.folder}") from error
        if not isinstance(content, dict):
            raise OutputError(f"expected an object in {path}, got another value; delete {self.layout.folder}")
        return content


def _locked(layout: ModelLayout) -> FileLock:
    lock = FileLock(layout.work / "lock")
    try:
        layout.work.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise OutputError(
            f"expected to be the only one to write {layout.folder}, but another fmas train or export is doing it; wait "
            "for it, or choose another --out"
        ) from error
    except OSError as error:
        raise unwritable(layout.folder, error) from error
    except NotImplementedError as error:
        raise OutputError(
            f"expected a file system with file locks for {layout.folder}, got one without; choose another --out"
        ) from error
    return lock


def _finished(layout: ModelLayout, request: Mapping[str, object]) -> tuple[ModelAbout, Calibration]:
    try:
        about, calibration = read_about(layout.folder)
    except ModelError as error:
        raise ModelError(f"{error}; to write here, delete the folder or choose another --out") from error
    if changed := _changes(about.request, request):
        raise OutputError(
            f"expected {layout.folder} to hold this model, but it holds another one: {changed}; choose another --out, "
            "or delete the folder"
        )
    return about, calibration


def _changes(before: Mapping[str, object], now: Mapping[str, object]) -> str:
    now = json.loads(json.dumps(dict(now)))  # tuples become lists, as they are in the file
    changed = [_DIGESTS[key] for key in _DIGESTS if before.get(key) != now.get(key)]
    plain = [{key: value for key, value in one.items() if key not in _DIGESTS} for one in (before, now)]
    return "; ".join([*changed, *differences(*plain)])


def _refuse_foreign(layout: ModelLayout) -> None:
    folder = layout.folder
    try:
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"expected a folder for --out, got the file {folder}; choose another --out")
        if not folder.exists() or layout.about.exists() or (layout.work / "request.json").exists():
            return
        foreign = sorted(entry.name for entry in folder.iterdir() if entry.name not in _HARMLESS)
    except OSError as error:
        raise unwritable(folder, error) from error
    if foreign:
        raise OutputError(
            f"expected an empty folder or a model of an earlier call for --out, but {folder} holds {foreign[0]!r}"
            f"{f' and {len(foreign) - 1} more' if len(foreign) > 1 else ''}; choose another --out"
        )
