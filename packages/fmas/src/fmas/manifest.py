"""The log of what was done: one JSON line per finished or failed pair, written after its files.

Everything else that describes the data set (``metadata.jsonl``, ``failures.jsonl``, the card, the counts) is derived
from it, so nothing else has to survive a crash. Each shard appends to a file of its own; the newest line of a stem
counts.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from fmas.errors import OutputError
from fmas.files import unwritable

__all__ = ["CHOOSING", "ManifestEntry", "ManifestIndex", "ManifestWriter", "OtherVersionError"]

CHOOSING = "choosing"
"""The reason of a line that ``fmas select`` writes before it touches a pair's files, and follows by one that says done.

If it is a pair's newest line, the process died in between. What the pair was stands in its newest finished line."""

_BLOCK = 65_536
_EVER = {"stem", "source", "status", "files", "row", "failure"}  # what the line of any version has


class OtherVersionError(ValueError):
    """A whole manifest line, as another version of fmas wrote it."""


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
        candidates: Path relative to ``OUT`` -> SHA-256 of the file, of every candidate that was kept.
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
    candidates: Mapping[str, str] = field(default_factory=dict)

    def is_chosen_for(self, band: tuple[float, float]) -> bool:
        """Return whether nothing has to be chosen anew for ``band``; held-out photographs and gaps have no choice."""
        stated = (self.row or {}).get("band")
        return stated is None or stated == list(band)

    @property
    def reason(self) -> str:
        """Why it failed, in a word; empty if it did not."""
        return str((self.failure or {}).get("reason", ""))

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
            "candidates": dict(self.candidates),
            "generation": self.generation,
            "written": self.written,
        }
        return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        """Parse a line.

        Raises:
            OtherVersionError: If it is one of another version.
            ValueError: If it is not one, e.g. because the process died while writing it.
        """
        try:
            content = json.loads(line)
        except ValueError as error:
            raise ValueError(f"no JSON: {line[:80]!r}") from error
        known = {one.name for one in fields(cls)}
        if isinstance(content, dict) and content.keys() >= _EVER and not known <= content.keys():
            missing = ", ".join(sorted(known - content.keys()))
            raise OtherVersionError(f"one of another version of fmas, without {missing}")
        try:
            status = content["status"]
            if status not in ("done", "failed"):
                raise ValueError(f"the status {status!r}")
            return cls(
                stem=int(content["stem"]),
                source=str(content["source"]),
                status=status,
                files=dict(content["files"]),
                sizes={str(name): int(size) for name, size in content["sizes"].items()},
                row=content["row"],
                failure=content["failure"],
                rejections=tuple(content["rejections"]),
                candidates={str(name): str(digest) for name, digest in content["candidates"].items()},
                generation=int(content["generation"]),
                written=int(content["written"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{line[:80]!r}") from error


class ManifestWriter:
    """Appends lines to one shard's file; each is on disk (in the system's hands) when :meth:`append` returns.

    May be used by several threads: a run takes what it is to do in one and finishes it in another.

    Args:
        folder: ``OUT/manifest``.
        shard: ``(I, N)``.

    Raises:
        OutputError: If the file cannot be opened.
    """

    def __init__(self, folder: Path, shard: tuple[int, int]) -> None:
        self._path = folder / f"shard-{shard[0]}-of-{shard[1]}.jsonl"
        self._lock = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _cut_unfinished_line(self._path)
            self._last = max((_last_written(path) for path in _shard_files(folder)), default=0)
            self._file = self._path.open("ab", buffering=0)
        except OSError as error:
            raise unwritable(self._path, error) from error

    def append(self, entry: ManifestEntry) -> None:
        """Write one line.

        Raises:
            OutputError: If the disk is full; the unfinished line is cut off again.
        """
        with self._lock:
            # What is written later counts as later, even where a clock is set back or another machine's was ahead.
            self._last = max(time.time_ns(), self._last + 1)
            line = replace(entry, written=self._last).to_line().encode() + b"\n"
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


def _last_written(path: Path) -> int:
    """Return when the last whole line of a file was written: the latest of the file, because lines count on."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        tail = b""
        while end > 0 and tail.count(b"\n") < 2:
            start = max(end - _BLOCK, 0)
            file.seek(start)
            tail, end = file.read(end - start) + tail, start
    whole = tail.split(b"\n")[:-1]
    try:
        return ManifestEntry.from_line(whole[-1]).written if whole else 0
    except ValueError:
        return 0  # whoever reads the lines tells what is wrong with it


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
        self._folder = folder
        self._files: list[Path] = []
        self._ends: list[int] = []
        self._positions: dict[int, tuple[int, int]] = {}
        self._written: dict[int, int] = {}
        self._choosing: set[int] = set()
        self.refresh()

    def refresh(self) -> None:
        """Take in what was appended since the last look.

        Raises:
            OutputError: If the folder cannot be read, or a complete line is not one of ours.
        """
        for path in _shard_files(self._folder):
            if path not in self._files:
                self._files.append(path)
                self._ends.append(0)
        for number, path in enumerate(self._files):
            self._scan(number, path)

    def _scan(self, number: int, path: Path) -> None:
        try:
            with path.open("rb") as file:
                file.seek(self._ends[number])
                for line in file:
                    if not line.endswith(b"\n"):
                        break  # torn, or about to be finished
                    self._remember(number, path, self._ends[number], line)
                    self._ends[number] += len(line)
        except OSError as error:
            raise _unreadable(path, error) from error

    def _remember(self, number: int, path: Path, position: int, line: bytes) -> None:
        try:
            entry = ManifestEntry.from_line(line)
        except ValueError as error:
            advice = "remove that line and run again"
            if isinstance(error, OtherVersionError):
                advice = "go on with that version, or choose another --out"
            raise OutputError(f"{path} at byte {position}: expected a manifest line, got {error}; {advice}") from error
        if entry.written >= self._written.get(entry.stem, entry.written):
            self._positions[entry.stem] = (number, position)
            self._written[entry.stem] = entry.written
            (self._choosing.add if entry.reason == CHOOSING else self._choosing.discard)(entry.stem)

    def interrupted(self) -> Iterator[ManifestEntry]:
        """Yield the newest finished line of every pair that ``fmas select`` was stopped in the middle of, by stem.

        Some of the files that such a line names may be those of another candidate already.

        Raises:
            OutputError: If a file cannot be read.
        """
        finished: dict[int, ManifestEntry] = {}
        for path in self._files if self._choosing else ():
            try:
                with path.open("rb") as file:
                    whole = (ManifestEntry.from_line(line) for line in file if line.endswith(b"\n"))
                    for entry in whole:
                        newest = finished.get(entry.stem, entry).written
                        if entry.stem in self._choosing and entry.status == "done" and entry.written >= newest:
                            finished[entry.stem] = entry
            except (OSError, ValueError) as error:
                raise OutputError(f"expected to read {path} again, got {error}; run the same command again") from error
        yield from (finished[stem] for stem in sorted(finished))

    def entry(self, stem: int) -> ManifestEntry | None:
        """Return the latest line of a stem, ``None`` if there is none.

        Raises:
            OutputError: If it cannot be read.
        """
        if stem not in self._positions:
            return None
        number, position = self._positions[stem]
        path = self._files[number]
        try:
            with path.open("rb") as file:
                file.seek(position)
                return ManifestEntry.from_line(file.readline())
        except OSError as error:
            raise _unreadable(path, error) from error
        except ValueError as error:
            raise OutputError(
                f"{path} at byte {position}: expected a manifest line, got {error}; it was changed while it was read"
            ) from error

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
