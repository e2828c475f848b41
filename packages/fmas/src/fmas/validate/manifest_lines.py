"""The manifest, read a second time and more strictly than a resuming run reads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from fmas.manifest import ManifestEntry
from fmas.validate.problems import ProblemLog
from fmas.validate.reading import UnreadableError, open_regular
from fmas.validate.rules import Rule

__all__ = ["ManifestLines"]


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
        self._log = log
        folder = out / "manifest"
        self._paths = sorted(folder.glob("shard-*.jsonl")) if folder.is_dir() else []
        self._positions: dict[int, tuple[int, int]] = {}
        self._written: dict[int, int] = {}
        self.whole = True
        if not self._paths:
            self._complain("manifest", "expected shard-I-of-N.jsonl in it, got none; run the same fmas run again")
        for number in range(len(self._paths)):
            self._scan(number)

    def entries(self) -> Iterator[ManifestEntry]:
        """Yield the line that counts for every stem, by stem."""
        for stem in sorted(self._positions):
            entry = self._entry_at(self._positions[stem])
            if entry is not None:
                yield entry

    def __len__(self) -> int:
        return len(self._positions)

    def _scan(self, number: int) -> None:
        name = self._name(number)
        try:
            with open_regular(self._paths[number]) as file:
                position = 0
                for count, line in enumerate(file, start=1):
                    self._take(number, position, line, f"{name}:{count}")
                    position += len(line)
        except UnreadableError as error:
            self._complain(name, f"expected a file of lines, got {error}; restore it, or run the same fmas run again")

    def _take(self, number: int, position: int, line: bytes, where: str) -> None:
        if not line.endswith(b"\n"):
            self._complain(where, "expected a whole line, got a torn one; run the same fmas run again to finish it")
            return
        try:
            entry = _parse(line)
        except ValueError as error:
            self._complain(where, f"expected a manifest line, got {error}; remove it and run the same fmas run again")
            return
        if entry.written >= self._written.get(entry.stem, entry.written):
            self._positions[entry.stem] = (number, position)
            self._written[entry.stem] = entry.written

    def _entry_at(self, position: tuple[int, int]) -> ManifestEntry | None:
        """Return the entry, or ``None`` if the file changed since it was scanned."""
        try:
            with open_regular(self._paths[position[0]]) as file:
                file.seek(position[1])
                return _parse(file.readline())
        except (UnreadableError, ValueError):
            self._complain(
                self._name(position[0]), "expected a file at rest, got one that changes; wait for the run to end"
            )
            return None

    def _name(self, number: int) -> str:
        return f"manifest/{self._paths[number].name}"

    def _complain(self, where: str, message: str) -> None:
        self.whole = False
        self._log.add(Rule.MANIFEST, where, message)


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
    if entry.stem < 0 or not all(isinstance(text, str) for pair in texts for text in pair):
        raise ValueError("a negative stem or something else than text among files or failure")
    if not all(isinstance(item, dict) and isinstance(item.get("reason"), str) for item in entry.rejections):
        raise ValueError("a rejection without a reason")
    if entry.status == "done" and not (isinstance(entry.row, dict) and entry.files and entry.failure is None):
        raise ValueError("status done without row and files, or with a failure")
    if entry.status == "failed" and (entry.row is not None or entry.files or not _failure_items(entry.failure)):
        raise ValueError("status failed without stage, reason and message, or with row or files")
    return entry


def _failure_items(failure: object) -> list[tuple[object, object]]:
    """Return the items of a failure that says what it must, else nothing."""
    whole = isinstance(failure, Mapping) and {"stage", "reason", "message"} <= failure.keys()
    return list(failure.items()) if whole and isinstance(failure, Mapping) else []
