"""Reading files that may hold anything, be anything, or vanish."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Literal

from fmas.errors import FmasError

__all__ = ["UnreadableError", "closed_folder", "open_regular", "parse_json", "read_regular", "without_advice"]


class UnreadableError(Exception):
    """A file cannot be read; ``str(error)`` says what is there instead, to follow the word ``got``.

    Attributes:
        cause: ``missing``; ``denied``, by permissions or by the disk; ``kind``, it is no regular file; ``size``, it is
            too large.
    """

    def __init__(self, found: str, cause: Literal["missing", "denied", "kind", "size"]) -> None:
        super().__init__(found)
        self.cause = cause


@contextmanager
def open_regular(path: Path) -> Iterator[BinaryIO]:
    """Open a file, but never a pipe, which would block for ever.

    Raises:
        UnreadableError: If it is missing, no regular file, or reading it fails, also later inside the block.
    """
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "something that is no regular file"
            raise UnreadableError(kind, "kind")
        with path.open("rb") as file:
            yield file
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UnreadableError("nothing there", "missing") from error
    except OSError as error:
        raise UnreadableError(f"one that cannot be read ({error.strerror or error})", "denied") from error


def read_regular(path: Path, *, largest: int | None = None) -> bytes:
    """Return a file's content.

    Args:
        path: The file.
        largest: Refuse more bytes than this, before reading them.

    Raises:
        UnreadableError: As :func:`open_regular`, or if it is too large.
    """
    with open_regular(path) as file:
        content = file.read() if largest is None else file.read(largest + 1)
    if largest is not None and len(content) > largest:
        raise UnreadableError(f"more than {largest} bytes", "size")
    return content


def closed_folder(out: Path, name: str) -> str:
    """Return the outermost folder that lets nobody through to ``name``; ``name`` itself if it can be reached.

    A folder that may not be entered makes everything below look broken, though only the folder is.

    Args:
        out: The output folder.
        name: POSIX path relative to it; not readable.
    """
    reached = PurePosixPath()
    for part in PurePosixPath(name).parts:
        try:
            (out / reached / part).lstat()
        except OSError:
            return reached.as_posix()
        reached /= part
    return name


def parse_json(content: bytes | str) -> object:
    """Parse JSON in UTF-8.

    Raises:
        ValueError: Whatever is wrong with it.
    """
    try:
        return json.loads(content)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def without_advice(error: FmasError) -> str:
    """Return what an error expected and got, without its last part: what to do is different in a finished output."""
    told, _, _ = str(error).rpartition("; ")
    return told or str(error)
