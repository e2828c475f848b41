"""Finding files below a folder, naming them safely in messages, and writing them so that a reader never sees half."""

from __future__ import annotations

import os
import sys
import unicodedata
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from fmas_evaluate.errors import InvalidInput

__all__ = ["files_below", "normal_form", "printable", "write_result"]


def files_below(folder: Path, suffixes: Iterable[str]) -> tuple[list[PurePosixPath], int]:
    """Return what lies below a folder, links to folders followed, hidden names left out.

    Args:
        folder: Where to look.
        suffixes: Endings that count, lower case with their dot; the case of a file's own ending does not matter.

    Returns:
        The paths relative to ``folder``, sorted, and how many other files there are.

    Raises:
        InvalidInput: If ``folder`` is no folder.
        OSError: If a folder below cannot be read.
    """
    if not folder.is_dir():
        raise InvalidInput(f"expected a folder, got {printable(folder)}; check the path")
    wanted, found, others = frozenset(suffixes), [], 0
    for relative in _walk(folder):
        if relative.suffix.lower() in wanted:
            found.append(relative)
        else:
            others += 1
    return sorted(found), others


def _walk(folder: Path) -> Iterator[PurePosixPath]:
    """Yield every file; a folder reached twice through links is entered once."""
    entered: set[str] = set()
    for where, folders, files in os.walk(folder, followlinks=True, onerror=_give_up):
        real = os.path.realpath(where)
        if real in entered:
            folders.clear()
            continue
        entered.add(real)
        # `._000.tiff` and `.DS_Store` are what macOS leaves on foreign disks.
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        below = PurePosixPath(Path(where).relative_to(folder).as_posix())
        yield from (below / name for name in files if not name.startswith("."))


def _give_up(error: OSError) -> None:
    raise error


def normal_form(text: str) -> str:
    """Return ``text`` as names are compared: composed, since macOS writes an umlaut as two characters."""
    return unicodedata.normalize("NFC", text)


def printable(name: str | os.PathLike[str]) -> str:
    """Return a name for a message: what could steer a terminal, reorder text or break a line is shown escaped."""
    text = os.fspath(name)
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape", "backslashreplace").decode() for one in text
    )


def write_result(target: str, content: bytes) -> None:
    """Write a result to a file, which appears whole or not at all, or to standard output.

    Args:
        target: A path, whose folder must exist; ``-`` for standard output.
        content: All of it.

    Raises:
        OSError: If it cannot be written; a file of that name is then as it was.
    """
    if target == "-":
        sys.stdout.flush()
        binary = getattr(sys.stdout, "buffer", None)
        if binary is None:  # replaced by something that takes text alone, as tests and notebooks do
            sys.stdout.write(content.decode())
        else:
            binary.write(content)
            binary.flush()
        return
    path = Path(target).resolve()  # a link stays one
    if path.exists() and not path.is_file():
        if path.is_dir():
            raise InvalidInput(f"expected a file to write, got the folder {printable(target)}; name a file in it")
        path.write_bytes(content)  # a pipe or a device
        return
    temporary = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with temporary.open("xb") as file:
            file.write(content)
        temporary.replace(path)
    except OSError as error:
        error.filename = target  # the user knows nothing of the temporary one
        error.filename2 = None
        raise
    finally:
        temporary.unlink(missing_ok=True)
