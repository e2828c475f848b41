"""Writing files so that a reader sees the old one or the whole new one, whenever the process dies."""

from __future__ import annotations

import errno
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from fmas.errors import OutputError

__all__ = ["AtomicWriter", "unwritable"]


class AtomicWriter:
    """Writes to a temporary file and moves it into place.

    Args:
        temporary: Folder for the temporary files, on the same file system as every target.
    """

    __slots__ = ("_temporary",)

    def __init__(self, temporary: Path) -> None:
        self._temporary = temporary

    def write(self, path: Path, content: bytes) -> None:
        """Make ``path`` hold ``content``, creating its folder.

        Raises:
            OutputError: If the disk is full or the folder cannot be written; ``path`` is as it was before.
        """
        with self.stream(path) as file:
            file.write(content)

    @contextmanager
    def stream(self, path: Path) -> Iterator[BinaryIO]:
        """Give a file to write to that becomes ``path`` when the block ends well, and vanishes when it does not.

        Raises:
            OutputError: If the disk is full or the folder cannot be written; ``path`` is as it was before.
        """
        temporary = self._temporary / f"{uuid.uuid4().hex}.part"
        try:
            self._temporary.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                yield file
            _move(temporary, path)
        except OSError as error:
            raise unwritable(path, error) from error
        finally:
            temporary.unlink(missing_ok=True)

    def write_text(self, path: Path, content: str) -> None:
        """Make ``path`` hold ``content`` in UTF-8 with Unix line ends on every system."""
        self.write(path, content.encode())


def _move(temporary: Path, path: Path) -> None:
    """Move a file into its folder; another shard may be removing that folder because it is still empty."""
    for last in (False, False, True):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.replace(path)
        except FileNotFoundError:
            if last:
                raise
        else:
            return


def unwritable(path: Path, error: OSError) -> OutputError:
    """Return the error to raise when ``path`` cannot be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutputError(
            f"expected room for {path}, got a full disk ({error.strerror}); free some space and run the same command "
            "again, finished images are kept"
        )
    return OutputError(
        f"expected to write {path}, got {error.strerror or error}; check permissions or choose another --out"
    )
