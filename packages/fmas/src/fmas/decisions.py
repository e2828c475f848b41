"""What reviewers decided: ``OUT/decisions.jsonl``, one line per decision, appended and never rewritten.

A decision is about one picture, known by its number and the SHA-256 of its pixels. When the place is filled with
another picture, that one starts undecided. The newest line about a picture counts; older ones are history.

Several reviewers may write at the same time: a line is one append under the file's lock, and is on the disk when
:meth:`DecisionLog.append` returns.
"""

from __future__ import annotations

import errno
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Self, TypeAlias, get_args

from filelock import FileLock, Timeout

from fmas.errors import OutputError
from fmas.layout import OutputLayout
from fmas.secrecy import without_secrets

__all__ = ["LONGEST_NOTE", "Decision", "DecisionLog", "Decisions", "Verdict", "read_decisions"]

Verdict: TypeAlias = Literal["keep", "drop", "undecided"]
"""``undecided`` takes an earlier decision back."""

LONGEST_NOTE = 2000
"""Characters of a note."""

_KEYS = ("stem", "image_sha256", "verdict", "note", "written")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LINE_START = b'{"stem":'  # what every line of ours begins with, and every torn piece of one
_LOCK_SECONDS = 20.0
_BLOCK = 65_536


@dataclass(frozen=True, slots=True)
class Decision:
    """One line.

    Attributes:
        stem: The pair's number.
        image_sha256: SHA-256 of the picture's pixels, as its row has it.
        verdict: ``keep``, ``drop`` or ``undecided``.
        note: Anything the reviewer wants to say.
        written: When, in nanoseconds since 1970. The order of the lines counts, not this.
    """

    stem: int
    image_sha256: str
    verdict: Verdict
    note: str = ""
    written: int = 0

    def to_line(self) -> bytes:
        """Return the line with its end."""
        content = {key: getattr(self, key) for key in _KEYS}
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        return text.encode("utf-8", "backslashreplace") + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        """Parse a line.

        Raises:
            ValueError: If it is none; says what is wrong.
        """
        try:
            content = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"no JSON: {_shown(line)}") from error
        if not isinstance(content, dict) or sorted(content) != sorted(_KEYS):
            raise ValueError(f"no object with {', '.join(_KEYS)}: {_shown(line)}")
        decision = cls(**content)
        decision.check()
        return decision

    def check(self) -> None:
        """See that every value is one that a line may hold.

        Raises:
            ValueError: If one is not; says which.
        """
        stem: object = self.stem
        if not isinstance(stem, int) or isinstance(stem, bool) or stem < 0:
            raise ValueError(f"the stem {stem!r}")
        sha256: object = self.image_sha256
        if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
            raise ValueError(f"the image_sha256 {sha256!r}")
        if self.verdict not in get_args(Verdict):
            raise ValueError(f"the verdict {self.verdict!r}")
        note: object = self.note
        if not isinstance(note, str) or len(note) > LONGEST_NOTE:
            raise ValueError(f"a note that is no text of at most {LONGEST_NOTE} characters")
        written: object = self.written
        if not isinstance(written, int) or isinstance(written, bool) or written < 0:
            raise ValueError(f"the time {written!r}")


def _shown(line: bytes) -> str:
    return repr(without_secrets(line.decode("utf-8", "replace"))[:60])


class Decisions:
    """The newest decision about every picture.

    Args:
        newest: ``(stem, image_sha256)`` -> decision.
    """

    __slots__ = ("_newest",)

    def __init__(self, newest: Mapping[tuple[int, str], Decision]) -> None:
        self._newest = dict(newest)

    def __len__(self) -> int:
        return len(self._newest)

    def verdict(self, stem: int, image_sha256: object) -> Verdict:
        """Return what was decided about a picture; ``undecided`` if nothing was."""
        decision = self._newest.get((stem, image_sha256)) if isinstance(image_sha256, str) else None
        return decision.verdict if decision is not None else "undecided"

    def by_stem(self) -> dict[int, list[Decision]]:
        """Return the newest decision about every picture that a place held, by the place's number."""
        found: dict[int, list[Decision]] = {}
        for decision in self._newest.values():
            found.setdefault(decision.stem, []).append(decision)
        return found

    def note(self, stem: int, image_sha256: str) -> str:
        """Return the note of the newest decision about a picture; empty if there is none."""
        decision = self._newest.get((stem, image_sha256))
        return decision.note if decision is not None else ""


def read_decisions(layout: OutputLayout) -> Decisions:
    """Return what was decided so far; an unfinished last line, which was never acknowledged, does not count.

    Raises:
        OutputError: If the file cannot be read or a line of it is none of ours; the message names the line.
    """
    path = layout.decisions
    newest: dict[tuple[int, str], Decision] = {}
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.endswith(b"\n") or not _is_torn(line):
                    decision = _parsed(path, number, line)
                    newest[decision.stem, decision.image_sha256] = decision
    except FileNotFoundError:
        pass
    except OSError as error:
        raise OutputError(f"expected to read {path}, got {error.strerror or error}; check its permissions") from error
    return Decisions(newest)


def _parsed(path: Path, number: int, line: bytes) -> Decision:
    try:
        return Decision.from_line(line)
    except ValueError as error:
        raise OutputError(
            f"expected a decision in line {number} of {path}, got {error}; mend or remove that line"
        ) from error


def _is_torn(tail: bytes) -> bool:
    """Return whether what stands behind the last line end is a piece that a killed process left of a line.

    A whole decision whose line end is missing, as an editor may leave it, is none; nor is anything we never wrote.
    """
    if not (tail.startswith(_LINE_START) or _LINE_START.startswith(tail)):
        return False
    try:
        Decision.from_line(tail)
    except ValueError:
        return True
    return False


class DecisionLog:
    """Writes decisions of one output folder; any number of processes and threads may.

    Args:
        layout: Where things lie.
    """

    __slots__ = ("_lock_path", "_path")

    def __init__(self, layout: OutputLayout) -> None:
        self._path = layout.decisions
        self._lock_path = layout.temporary / "decisions.lock"

    def append(self, decision: Decision) -> Decision:
        """Write one line; it is on the disk when this returns.

        Returns:
            The decision with the time it was written.

        Raises:
            OutputError: If it cannot be written; then the file is as it was before. The cause is the system's error.
            ValueError: If it is no decision.
        """
        decision.check()
        with self._locked():
            try:
                return self._append(decision)
            except OSError as error:
                raise _unsaved(self._path, error) from error

    def _append(self, decision: Decision) -> Decision:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        is_new = not self._path.exists()
        descriptor = os.open(self._path, flags, 0o666)
        try:
            start = _mended(descriptor, self._path)
            decision = replace(decision, note=without_secrets(decision.note), written=time.time_ns())
            line = decision.to_line()
            try:
                if os.write(descriptor, line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, start)  # half a decision must not look like one that was saved
                raise
        finally:
            os.close(descriptor)
        if is_new:
            _sync_folder(self._path.parent)
        return decision

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = FileLock(self._lock_path)
        try:
            self._lock_path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=_LOCK_SECONDS)
        except Timeout as error:
            raise OutputError(
                f"expected to write {self._path} within {_LOCK_SECONDS:.0f} s, but another process holds it; try again"
            ) from error
        except OSError as error:
            raise _unsaved(self._path, error) from error
        except NotImplementedError as error:
            raise OutputError(
                f"expected a file system with file locks for {self._path}, got one without; copy the folder elsewhere"
            ) from error
        try:
            yield
        finally:
            lock.release()


def _mended(descriptor: int, path: Path) -> int:
    """Make the file end with a line end and return its size: cut off a torn piece, end a whole line.

    Raises:
        OutputError: If there is something else behind the last line end.
    """
    size = os.lseek(descriptor, 0, os.SEEK_END)
    tail = b""
    start = size
    while start > 0 and b"\n" not in tail:
        length = min(_BLOCK, start)
        start -= length
        os.lseek(descriptor, start, os.SEEK_SET)
        tail = os.read(descriptor, length) + tail
    tail = tail[tail.rfind(b"\n") + 1 :]
    if not tail:
        return size
    if _is_torn(tail):
        os.ftruncate(descriptor, size - len(tail))
        return size - len(tail)
    _parsed(path, _line_number(descriptor, size), tail)
    os.write(descriptor, b"\n")
    return size + 1


def _line_number(descriptor: int, size: int) -> int:
    """Return the number of the last line."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    ends = 0
    while size > 0:
        block = os.read(descriptor, min(_BLOCK, size))
        if not block:
            break
        ends, size = ends + block.count(b"\n"), size - len(block)
    return ends + 1


def _sync_folder(folder: Path) -> None:
    """Make a new file's name as lasting as its content, where the system can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        pass  # some file systems cannot; the name is then as lasting as any other
    finally:
        os.close(descriptor)


def _unsaved(path: Path, error: OSError) -> OutputError:
    what = "a full disk" if error.errno in (errno.ENOSPC, errno.EDQUOT) else str(error.strerror or error)
    return OutputError(
        f"expected to add a decision to {path}, got {what}; earlier ones are kept, this one is not: mend that "
        "and try again"
    )
