"""Reading files that may hold anything, be anything, or vanish."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

__all__ = ["UnreadableError", "open_regular", "parse_json", "read_regular"]


class UnreadableError(Exception):
    """A file cannot be read; ``str(error)`` says why, to follow the word ``got``."""


@contextmanager
def open_regular(path: Path) -> Iterator[BinaryIO]:
    """Open a file, but never a pipe, which would block for ever.

    Raises:
        UnreadableError: If it is missing, no regular file, or reading it fails, also later inside the block.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UnreadableError("something that is no regular file")
        with path.open("rb") as file:
            yield file
    except FileNotFoundError as error:
        raise UnreadableError("nothing there") from error
    except OSError as error:
        raise UnreadableError(f"a file that cannot be read ({error.strerror or error})") from error


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
        raise UnreadableError(f"more than {largest} bytes")
    return content


def parse_json(content: bytes) -> object:
    """Parse JSON in UTF-8.

    Raises:
        ValueError: Whatever is wrong with it.
    """
    try:
        return json.loads(content)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
