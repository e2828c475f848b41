"""The folder that an inspection writes: where things lie, whose it is, and that every photograph has places of its own.

::

    DIR/  inspection.json  scores.csv  explain.csv  failures.jsonl  progress.jsonl  .tmp/
          maps/<folder>/<stem>.tiff  overlays/<folder>/<stem>.png

``<folder>/<stem>`` is the photograph's path below the inspected folder without its ending, which is how
``fmas evaluate`` finds the mask that belongs to a map.
"""

from __future__ import annotations

import json
import os
import shutil
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from filelock import FileLock, Timeout

from fmas.errors import OutputError, UsageError
from fmas.files import AtomicWriter, unwritable
from fmas.identity import differences
from fmas.sources import Source
from fmas.versions import library_versions

__all__ = ["InspectionFolder", "place_of", "refuse_shared_places"]

_FORMAT = "fmas-inspection"
_MOST_NAMED = 5
# What an inspection killed before its inspection.json may have left, and what a file browser leaves anywhere.
_HARMLESS = frozenset({".tmp", ".DS_Store", "Thumbs.db", "desktop.ini"})


@dataclass(frozen=True, slots=True)
class InspectionFolder:
    """The paths of one inspection.

    Attributes:
        out: The folder.
    """

    out: Path

    @property
    def about(self) -> Path:
        """What was inspected with what: identity, versions, counts."""
        return self.out / "inspection.json"

    @property
    def scores(self) -> Path:
        """One row per inspected photograph: ``path,score,verdict``."""
        return self.out / "scores.csv"

    @property
    def explanations(self) -> Path:
        """Sub-band weights, one row per photograph and layer; only where they were asked for."""
        return self.out / "explain.csv"

    @property
    def failures(self) -> Path:
        """What could not be inspected, one line each."""
        return self.out / "failures.jsonl"

    @property
    def progress(self) -> Path:
        """What is done, one line per photograph, in the order in which it was done."""
        return self.out / "progress.jsonl"

    @property
    def temporary(self) -> Path:
        """Files on their way, and the lock."""
        return self.out / ".tmp"

    @property
    def writer(self) -> AtomicWriter:
        """A writer for files of this folder."""
        return AtomicWriter(self.temporary / "parts")

    def map_of(self, relative: str) -> Path:
        """Return where the anomaly map of a photograph lies, by its path as :class:`~fmas.sources.Source` has it."""
        return self.out / "maps" / f"{_stem(relative)}.tiff"

    def overlay_of(self, relative: str) -> Path:
        """Return where the overlay of a photograph lies."""
        return self.out / "overlays" / f"{_stem(relative)}.png"

    @contextmanager
    def opened(self, identity: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
        """Create or re-enter the folder for an inspection of this identity, and keep everybody else out meanwhile.

        The lock is the operating system's: it is gone when the process is, however it died.

        Args:
            identity: Everything the results depend on besides the photographs, JSON values.

        Yields:
            The content of ``inspection.json``, as an earlier process or this one wrote it.

        Raises:
            OutputError: If the folder holds something else or another inspection, cannot be written, or is in use.
        """
        self._refuse_foreign()
        lock = FileLock(self.temporary / "inspection.lock")
        try:
            self.temporary.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0)
        except Timeout as error:
            raise OutputError(
                f"expected to be the only one to write {self.out}, but another fmas inspect is doing it; wait for it, "
                "or choose another --out"
            ) from error
        except OSError as error:
            raise unwritable(self.out, error) from error
        except NotImplementedError as error:
            raise OutputError(
                f"expected a file system with file locks for {self.out}, got one without; choose another --out"
            ) from error
        parts = self.temporary / "parts"
        try:
            shutil.rmtree(parts, ignore_errors=True)  # leftovers of a killed inspection
            yield self._claimed(identity)
        finally:
            shutil.rmtree(parts, ignore_errors=True)
            lock.release()

    def describe(self, identity: Mapping[str, object], **further: object) -> None:
        """Write ``inspection.json``.

        Raises:
            OutputError: If it cannot be written.
        """
        content = {"format": _FORMAT, "identity": dict(identity), **further}
        self.writer.write_text(self.about, json.dumps(content, indent=2, ensure_ascii=False) + "\n")

    def _claimed(self, identity: Mapping[str, object]) -> Mapping[str, object]:
        existing = self._read_about()
        if existing is None:
            self.describe(identity, finished=False, libraries=library_versions())
            return {}
        before = existing["identity"]
        changed = differences(before if isinstance(before, Mapping) else {}, json.loads(json.dumps(identity)))
        if changed:
            raise OutputError(
                f"expected {self.out} to hold this inspection, but it holds another one: {'; '.join(changed)}; "
                "choose another --out, or the model and options that inspection.json there names"
            )
        return existing

    def _read_about(self) -> dict[str, object] | None:
        try:
            content = json.loads(self.about.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise OutputError(f"expected to read {self.about}, got {error.strerror}; check its permissions") from error
        except ValueError as error:
            raise OutputError(
                f"expected {self.about} as fmas inspect writes it, got no JSON; choose another --out"
            ) from error
        if not isinstance(content, dict) or content.get("format") != _FORMAT or "identity" not in content:
            raise OutputError(
                f"expected {self.about} as fmas inspect writes it, got another file; choose another --out"
            )
        return content

    def _refuse_foreign(self) -> None:
        try:
            if self.out.exists() and not self.out.is_dir():
                raise OutputError(f"expected a folder for --out, got the file {self.out}; choose another --out")
            if self.about.exists() or not self.out.exists():
                return
            foreign = sorted(entry.name for entry in self.out.iterdir() if entry.name not in _HARMLESS)
        except OSError as error:
            raise unwritable(self.out, error) from error
        if foreign:
            more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
            raise OutputError(
                f"expected an empty folder or one of an earlier fmas inspect for --out, but {self.out} holds "
                f"{foreign[0]!r}{more}; choose another --out"
            )


def place_of(relative: str) -> str:
    """Return what two photographs have in common whose maps would be one file.

    Names are compared as ``fmas evaluate`` and the file system compare them: without their endings, composed, and on
    Windows without regard to case.
    """
    return _compared(_stem(relative))


def refuse_shared_places(sources: Iterable[Source]) -> None:
    """Refuse photographs whose maps or overlays would overwrite each other.

    Raises:
        UsageError: If two photographs differ in their endings alone, or one is named like another's folder.
    """
    owners: dict[str, str] = {}
    folders: set[str] = set()
    problems: list[str] = []
    for source in sources:
        place = place_of(source.relative)
        first = owners.setdefault(place, source.relative)
        if first != source.relative:
            problems.append(f"{first!r} and {source.relative!r}")
        folders.update(_compared(str(parent)) for parent in PurePosixPath(source.relative).parents)
    problems += [
        f"{owners[folder[: -len(ending)]]!r} and the folder {folder!r}"
        for ending in (".png", ".tiff")
        for folder in sorted(folders)
        if folder.endswith(ending) and folder[: -len(ending)] in owners
    ]
    if problems:
        shown = "; ".join(problems[:_MOST_NAMED])
        more = f"; and {len(problems) - _MOST_NAMED} more" if len(problems) > _MOST_NAMED else ""
        raise UsageError(
            f"expected photographs whose names differ without their endings, since each has a map of that name, got "
            f"{shown}{more}; rename one of each, or inspect them into folders of their own"
        )


def _stem(relative: str) -> str:
    folder, slash, name = relative.rpartition("/")
    return folder + slash + name.rpartition(".")[0]


def _compared(place: str) -> str:
    return os.path.normcase(unicodedata.normalize("NFC", place)).replace(os.sep, "/")
