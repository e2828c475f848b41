"""The manifest, read a second time and more strictly than a resuming run reads it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from fmas.errors import OutputError
from fmas.manifest import ManifestEntry, ManifestIndex, OtherVersionError
from fmas.validate.problems import ProblemLog
from fmas.validate.reading import UnreadableError, open_regular
from fmas.validate.remedies import RERUN, Remedy
from fmas.validate.rules import Rule

__all__ = ["ManifestLines"]

_FILE_NAME = re.compile(r"shard-.*\.jsonl", re.DOTALL)
_REMOVE = Remedy("remove that line and run the same fmas run again", needs_run=True, otherwise="remove that line")
_OTHER_VERSION = Remedy("go on with that version, or choose another --out")
_RESTORE = Remedy("restore it from a copy, or run the same fmas run again", needs_run=True)
_LOST = Remedy("restore it from a copy, or choose another --out: a run does not begin again over finished pictures")
_EMPTY = Remedy("restore them from a copy; a rerun would make every picture anew")
_NO_FOLDER = Remedy("restore the folder from a copy, or choose another --out")
_WAIT = Remedy("wait for the run to end")


class ManifestLines:
    """The line that counts for every stem, kept as positions so that memory does not grow with the rows.

    The newest line of a stem counts, in whichever file it stands.

    Args:
        out: The output folder.
        log: Told of every broken line.

    Attributes:
        whole: Whether every line could be read. If not, what the lines leave unmentioned proves nothing.
    """

    def __init__(self, out: Path, log: ProblemLog) -> None:
        self._out = out
        self._log = log
        self._positions: dict[int, tuple[int, int]] = {}
        self._written: dict[int, int] = {}
        self._done: set[int] = set()
        self.whole = True
        self._names = self._list()
        for number in range(len(self._names)):
            self._scan(number)

    @property
    def done(self) -> int:
        """How many stems are finished."""
        return len(self._done)

    def entries(self) -> Iterator[ManifestEntry]:
        """Yield the line that counts for every stem, by stem."""
        for stem in sorted(self._positions):
            entry = self._entry_at(self._positions[stem])
            if entry is not None:
                yield entry

    def __len__(self) -> int:
        return len(self._positions)

    def interrupted(self) -> Iterator[ManifestEntry]:
        """Yield the newest finished line of every pair that ``fmas select`` was stopped in; all lines must be whole."""
        try:
            yield from ManifestIndex(self._out / "manifest").interrupted()
        except OutputError:
            self._complain("manifest", "expected files at rest, got some that change", _WAIT)

    def _list(self) -> list[str]:
        """Return the names of the manifest files, relative to OUT."""
        names: list[str] = []
        missing = False
        try:
            found = sorted(path.name for path in (self._out / "manifest").iterdir())
            names = [f"manifest/{name}" for name in found if _FILE_NAME.fullmatch(name)]
        except FileNotFoundError:
            missing = True
        except NotADirectoryError:
            self._complain("manifest", "expected a folder, got a file", _NO_FOLDER)
            return []
        except OSError as error:
            self.whole = False
            self._log.add_unreachable("manifest", error)
            return []
        if not names and any((self._out / "dataset").glob("*/*/*/*.png")):
            found_instead = "nothing" if missing else "none of them"
            message = f"expected shard-I-of-N.jsonl in it, which say what is finished, got {found_instead}"
            self._complain("manifest", message, _LOST if missing else _EMPTY)
            if missing:
                self._log.block("manifest")
        return names

    def _scan(self, number: int) -> None:
        name = self._names[number]
        try:
            with open_regular(self._out / name) as file:
                position = 0
                for count, line in enumerate(file, start=1):
                    self._take(number, position, line, f"{name}:{count}")
                    position += len(line)
        except UnreadableError as error:
            self.whole = False
            self._log.add_unreadable(Rule.MANIFEST, name, "a file of lines", error, _RESTORE)

    def _take(self, number: int, position: int, line: bytes, where: str) -> None:
        if not line.endswith(b"\n"):
            self._complain(where, "expected a whole line, got a torn one", RERUN)
            return
        try:
            entry = _parse(line)
        except ValueError as error:
            remedy = _OTHER_VERSION if isinstance(error, OtherVersionError) else _REMOVE
            self._complain(where, f"expected a manifest line, got {error}", remedy)
            self._log.block(self._names[number])
            return
        if entry.written >= self._written.get(entry.stem, entry.written):
            self._positions[entry.stem] = (number, position)
            self._written[entry.stem] = entry.written
            (self._done.add if entry.status == "done" else self._done.discard)(entry.stem)

    def _entry_at(self, position: tuple[int, int]) -> ManifestEntry | None:
        """Return the entry, or ``None`` if the file changed since it was scanned."""
        name = self._names[position[0]]
        try:
            with open_regular(self._out / name) as file:
                file.seek(position[1])
                return _parse(file.readline())
        except (UnreadableError, ValueError):
            self._complain(name, "expected a file at rest, got one that changes", _WAIT)
            return None

    def _complain(self, where: str, message: str, remedy: Remedy) -> None:
        self.whole = False
        self._log.add(Rule.MANIFEST, where, message, remedy)


def _parse(line: bytes) -> ManifestEntry:
    """Return the entry of a line.

    Raises:
        ValueError: If a field is missing or of another type than the rest of the validation counts on.
    """
    try:
        entry = ManifestEntry.from_line(line)
    except (RecursionError, OverflowError) as error:
        raise ValueError(f"something that is no manifest line ({error})") from error
    texts = [*entry.files.items(), *(_failure_items(entry.failure))]
    if entry.generation < 0:
        raise ValueError(f"the generation {entry.generation}")
    if entry.stem < 0 or not all(isinstance(text, str) for pair in texts for text in pair):
        raise ValueError("a negative stem or something else than text among files or failure")
    if not all(isinstance(item, dict) and isinstance(item.get("reason"), str) for item in entry.rejections):
        raise ValueError("a rejection without a reason")
    if entry.status == "done" and not (isinstance(entry.row, dict) and entry.files and entry.failure is None):
        raise ValueError("status done without row and files, or with a failure")
    if entry.status == "failed" and (entry.row is not None or entry.files or not _failure_items(entry.failure)):
        raise ValueError("status failed without stage, reason and message, or with row or files")
    if entry.sizes.keys() != entry.files.keys():
        raise ValueError("sizes of other files than those it names")
    return entry


def _failure_items(failure: object) -> list[tuple[object, object]]:
    """Return the items of a failure that says what it must, else nothing."""
    whole = isinstance(failure, Mapping) and {"stage", "reason", "message"} <= failure.keys()
    return list(failure.items()) if whole and isinstance(failure, Mapping) else []
