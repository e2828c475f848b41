"""The log of what was done: one JSON line per finished or failed pair, written after its files.

Everything else that describes the data set (``metadata.jsonl``, ``failures.jsonl``, the card, the counts) is derived
from it, so nothing else has to survive a crash. Each shard appends to a file of its own; the newest line of a stem
counts.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from fmas.errors import OutputError
from fmas.files import unwritable

__all__ = ["ManifestEntry", "ManifestIndex", "ManifestWriter"]

_BLOCK = 65_536


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """One line.

    Attributes:
        stem: The pair's number.
        source: The source's POSIX path relative to the images folder.
        status: ``done``, or ``failed`` and to be tried again.
        files: Path relative to the category's folder -> SHA-256 of the file.
        row: The pair's row in ``metadata.jsonl``.
        failure: ``stage``, ``reason``, ``message``.
        sizes: Path -> bytes of the file, so that a torn file is seen without reading it.
        rejections: ``candidate``, ``attempt``, ``seed``, ``reason`` of every candidate that was not accepted.
        generation: How many pictures of this place were dropped in review and made anew before this one.
        written: When, in nanoseconds since 1970; the newest line of a stem counts, in whichever shard's file it stands.
    """

    stem: int
    source: str
    status: Literal["done", "failed"]
    files: Mapping[str, str]
    row: Mapping[str, object] | None
    failure: Mapping[str, str] | None
    rejections: tuple[Mapping[str, object], ...]
    written: int = 0
    sizes: Mapping[str, int] = field(default_factory=dict)
    generation: int = 0

    def to_line(self) -> str:
        """Return the line, without its end."""
        content = {
            "stem": self.stem,
            "source": self.source,
            "status": self.status,
            "files": dict(self.files),
            "sizes": dict(self.sizes),
            "row": self.row,
            "failure": self.failure,
            "rejections": list(self.rejections),
            "generation": self.generation,
            "written": self.written,
        }
        return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        """Parse a line.

        Raises:
            ValueError: If it is not one, e.g. because the process died while writing it.
        """
        try:
            content = json.loads(line)
            status = content["status"]
            if status not in ("done", "failed"):
                raise ValueError(f"expected status done or failed, got {status!r}")
            return cls(
                stem=int(content["stem"]),
                source=str(content["source"]),
                status=status,
                files=dict(content["files"]),
                sizes={str(name): int(size) for name, size in content["sizes"].items()},
                row=content["row"],
                failure=content["failure"],
                rejections=tuple(content["rejections"]),
                generation=int(content["generation"]),
                written=int(content["written"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"expected a manifest line, got {line[:80]!r}") from error


class ManifestWriter:
    """Appends lines to one shard's file; each is on disk (in the system's hands) when :meth:`append` returns.

    Args:
        folder: ``OUT/manifest``.
        shard: ``(I, N)``.

    Raises:
        OutputError: If the file cannot be opened.
    """

    def __init__(self, folder: Path, shard: tuple[int, int]) -> None:
        self._path = folder / f"shard-{shard[0]}-of-{shard[1]}.jsonl"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _cut_unfinished_line(self._path)
            self._file = self._path.open("ab", buffering=0)
        except OSError as error:
            raise unwritable(self._path, error) from error

    def append(self, entry: ManifestEntry) -> None:
        """Write one line.

        Raises:
            OutputError: If the disk is full; the unfinished line is cut off again.
        """
        line = replace(entry, written=time.time_ns()).to_line().encode() + b"\n"
        before = self._file.tell()
        try:
            if self._file.write(line) != len(line):
                raise OSError(28, "No space left on device")
        except OSError as error:
            self._file.truncate(before)
            raise unwritable(self._path, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def _cut_unfinished_line(path: Path) -> None:
    """Remove what a killed process left behind the last line end."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        size = end = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(end - _BLOCK, 0)
            file.seek(start)
            last = file.read(end - start).rfind(b"\n")
            if last >= 0:
                end = start + last + 1
                break
            end = start
        if end != size:
            file.truncate(end)


def _shard_files(folder: Path) -> list[Path]:
    """Return the shards' files; a folder that cannot be read must never pass for an empty one."""
    try:
        names = sorted(path.name for path in folder.iterdir())  # not glob, which keeps quiet about permissions
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _unreadable(folder, error) from error
    return [folder / name for name in names if name.startswith("shard-") and name.endswith(".jsonl")]


def _unreadable(path: Path, error: OSError) -> OutputError:
    return OutputError(f"expected to read {path}, got {error.strerror or error}; check its permissions")


class ManifestIndex:
    """The latest line of every stem, kept as positions so that memory does not grow with the prompts.

    Args:
        folder: ``OUT/manifest``; may be missing.

    Raises:
        OutputError: If it cannot be read, or a complete line is not one of ours.
    """

    def __init__(self, folder: Path) -> None:
        self._files = _shard_files(folder)
        self._positions: dict[int, tuple[int, int]] = {}
        self._written: dict[int, int] = {}
        for number, path in enumerate(self._files):
            self._scan(number, path)

    def _scan(self, number: int, path: Path) -> None:
        try:
            with path.open("rb") as file:
                position = 0
                for line in file:
                    if line.endswith(b"\n"):
                        self._remember(number, path, position, line)
                    position += len(line)
        except OSError as error:
            raise _unreadable(path, error) from error

    def _remember(self, number: int, path: Path, position: int, line: bytes) -> None:
        try:
            entry = ManifestEntry.from_line(line)
        except ValueError as error:
            raise OutputError(f"{path} at byte {position}: {error}; remove that line and run again") from error
        if entry.written >= self._written.get(entry.stem, entry.written):
            self._positions[entry.stem] = (number, position)
            self._written[entry.stem] = entry.written

    def entries(self) -> Iterator[ManifestEntry]:
        """Yield the latest line of every stem, by stem."""
        opened = [path.open("rb") for path in self._files]
        try:
            for stem in sorted(self._positions):
                number, position = self._positions[stem]
                opened[number].seek(position)
                yield ManifestEntry.from_line(opened[number].readline())
        finally:
            for file in opened:
                file.close()
