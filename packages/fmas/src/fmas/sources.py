"""Which photographs a run works on, and in which order: the list that every stem and seed is derived from."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from fmas.errors import UsageError

__all__ = ["IMAGE_SUFFIXES", "Source", "SourceScan", "find_sources", "scan_sources", "source_list_digest"]

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""Suffixes taken for photographs, compared without regard to case; what a file really is shows when it is decoded."""

_OUR_MARKERS = frozenset({"config.resolved.yaml", "inspection.json"})
"""One of them stands at the top of every folder that a run or an inspection wrote, and nobody else writes that name."""


@dataclass(frozen=True, slots=True)
class Source:
    r"""One photograph of a good part.

    Attributes:
        index: Position in the sorted list, from 0; the stem of everything made from this photograph is ``%06d`` of it.
        path: Where to read it.
        relative: POSIX path relative to the folder, as the file system spells it (no Unicode normalisation). Always
            encodable as UTF-8: bytes of a file name that are not UTF-8 appear as ``\udcXX`` in plain characters.
    """

    index: int
    path: Path
    relative: str


@dataclass(frozen=True, slots=True)
class SourceScan:
    """What a folder holds.

    Attributes:
        sources: The photographs, sorted by the code points of ``relative``; never empty.
        ignored: POSIX relative paths of the files that are no photographs by name, or hidden; sorted alike.
    """

    sources: tuple[Source, ...]
    ignored: tuple[str, ...]


def find_sources(images: Path, *, exclude: Path | None = None) -> tuple[Source, ...]:
    """Return ``scan_sources(images, exclude=exclude).sources``."""
    return scan_sources(images, exclude=exclude).sources


def scan_sources(images: Path, *, exclude: Path | None = None) -> SourceScan:
    """List the photographs in a folder and everything below it, or take one photograph.

    Hidden files and folders (a leading dot) and folders that an earlier run wrote are skipped. Symbolic links are
    followed, but each real folder is read once, so a link that leads back up ends there. Nothing is opened: a file
    with an image's suffix that is no image, or a link that leads nowhere, fails later, alone, when it is decoded.

    Args:
        images: A folder, or one image file.
        exclude: The run's own output folder, which may lie inside ``images``; need not exist yet.

    Returns:
        At least one source, and the files left out.

    Raises:
        UsageError: If ``images`` is missing, unreadable, of another kind, inside ``exclude``, or holds no photograph.
    """
    try:
        if images.is_dir():
            found, ignored = _walk(images, exclude)
        elif images.is_file():
            found, ignored = _single_file(images), []
        else:
            raise UsageError(
                f"expected a folder of photographs or one image file, got {_shown(images)}, which "
                f"{'is neither' if os.path.lexists(images) else 'does not exist'}; check the path"
            )
    except OSError as error:
        raise UsageError(
            f"expected a readable folder, got {error.strerror!r} at {_shown(error.filename or images)}; "
            "grant access to it or move it elsewhere"
        ) from error
    if not found:
        raise UsageError(
            f"expected at least one image ({' '.join(IMAGE_SUFFIXES)}) in {_shown(images)}, got {len(ignored)} other "
            "files; name the folder that holds the photographs of good parts"
        )
    return SourceScan(_in_order(found), tuple(sorted(ignored)))


def source_list_digest(sources: Iterable[Source]) -> str:
    """Return a SHA-256, 64 hex digits, over the relative paths in their order; part of what identifies a run."""
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source.relative.encode("utf-8") + b"\0")  # no file name holds a NUL: lists cannot run together
    return digest.hexdigest()


def _single_file(image: Path) -> list[tuple[str, Path]]:
    if not _is_image_name(image.name):
        raise UsageError(
            f"expected an image file ({' '.join(IMAGE_SUFFIXES)}), got {_shown(image)}; "
            "convert it, or name the folder that holds the photographs"
        )
    return [(_encodable(image.name), image)]


def _walk(root: Path, exclude: Path | None) -> tuple[list[tuple[str, Path]], list[str]]:
    """Return (relative, path) of every photograph below ``root``, and the relative paths of all other files.

    Real folders come before linked ones, so that a file reachable both ways is listed under its real path.
    """
    excluded = exclude.resolve() if exclude is not None else None
    _refuse_inside(root, excluded)
    found: list[tuple[str, Path]] = []
    ignored: list[str] = []
    seen = {_identity(excluded)} if excluded is not None and excluded.exists() else set()
    pending, linked = deque([("", root)]), deque[tuple[str, Path]]()
    while pending or linked:
        prefix, folder = (pending or linked).popleft()
        if _identity(folder) in seen:
            continue
        seen.add(_identity(folder))
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
        if prefix and any(entry.name in _OUR_MARKERS for entry in entries):
            continue
        for entry in entries:
            relative, path = prefix + entry.name, Path(entry.path)
            if excluded is not None and entry.is_symlink() and _leads_into(path, excluded):
                continue
            if _is_folder(entry):
                if not entry.name.startswith("."):
                    (linked if entry.is_symlink() else pending).append((relative + "/", path))
            elif _is_image_name(entry.name) and _may_be_file(entry):
                found.append((_encodable(relative), path))
            else:
                ignored.append(_encodable(relative))
    return found, ignored


def _identity(folder: Path) -> tuple[int, int]:
    """Return what two paths to one folder have in common, links and the case of letters aside."""
    status = folder.stat()
    return status.st_dev, status.st_ino


def _refuse_inside(root: Path, excluded: Path | None) -> None:
    if excluded is not None and root.resolve().is_relative_to(excluded):
        raise UsageError(
            f"expected photographs outside the output folder, got {_shown(root)} inside {_shown(excluded)}; "
            "choose another --out"
        )


def _leads_into(link: Path, excluded: Path) -> bool:
    try:
        return link.resolve().is_relative_to(excluded)
    except (OSError, RuntimeError):  # a link onto itself leads nowhere, so not into the output folder either
        return False


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link onto itself
        return False


def _may_be_file(entry: os.DirEntry[str]) -> bool:
    """Whether reading the entry as a file makes sense: a file, or a dead link, which then fails where it is listed."""
    return entry.is_symlink() or entry.is_file()


def _is_image_name(name: str) -> bool:
    return not name.startswith(".") and name.lower().endswith(IMAGE_SUFFIXES)


def _in_order(found: list[tuple[str, Path]]) -> tuple[Source, ...]:
    # Python compares strings by code point, whatever the locale and the platform.
    found = sorted(found, key=lambda pair: pair[0])
    for (one, first), (other, second) in pairwise(found):
        if one == other:
            raise UsageError(
                f"expected distinct file names, got {_shown(first)} and {_shown(second)}, which read alike once the "
                "bytes that are not UTF-8 are spelt out; rename one of them"
            )
    return tuple(Source(index, path, relative) for index, (relative, path) in enumerate(found))


def _encodable(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _shown(path: object) -> str:
    """Quote a path for a one-line message; ``repr`` escapes line breaks and bytes that are not UTF-8."""
    return repr(os.fsdecode(path) if isinstance(path, bytes) else str(path))
