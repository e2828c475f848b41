"""Compiled kernels on disk: any number of processes may use one folder, and no state of the disk is an error.

A file holds one kernel and is called by the hash of all that its machine code depends on; so nothing is ever stale.
Its first lines carry a checksum of the rest: a truncated or damaged file counts as missing and is written anew. Files
appear by ``os.replace`` and are complete or absent. A folder that cannot be written costs only compiling again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Binary", "KernelCache", "default_directory"]

VARIABLE = "WDAM_CACHE_DIR"
MAGIC = b"wdam kernel 1"
SUFFIX = ".cubin"
MAX_BYTES = 64 << 20  # some thousand kernels; a training run uses about ten


@dataclass(frozen=True, slots=True)
class Binary:
    """Machine code of one kernel.

    Attributes:
        symbol: Its mangled name.
        code: A cubin.
    """

    symbol: str
    code: bytes


def default_directory(environment: Mapping[str, str], platform: str = sys.platform) -> Path | None:
    """Return where compiled kernels are kept, or None to keep none.

    ``WDAM_CACHE_DIR`` decides when it is set; an empty value switches the cache off. Otherwise it is the platform's
    folder for caches: ``$XDG_CACHE_HOME`` or ``~/.cache``, ``%LOCALAPPDATA%``, ``~/Library/Caches``.

    Args:
        environment: Such as ``os.environ``.
        platform: Such as ``sys.platform``.
    """
    chosen = environment.get(VARIABLE)
    if chosen is not None:
        return Path(chosen) if chosen else None
    try:
        home = Path.home()
    except RuntimeError:  # a user without a home
        return None
    if platform == "win32":
        base = Path(environment.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(environment.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "wdam" / "kernels"


class KernelCache:
    """A folder of compiled kernels. No method raises.

    Args:
        directory: Made when something is stored; None stores nothing.
        max_bytes: After storing, the files used longest ago are deleted until no more than this is left.
    """

    def __init__(self, directory: Path | None, *, max_bytes: int = MAX_BYTES) -> None:
        self.directory = directory
        self.max_bytes = max_bytes

    def load(self, key: str) -> Binary | None:
        """Return what was stored under ``key``, or None if there is nothing or it is damaged."""
        if self.directory is None:
            return None
        path = self._path(self.directory, key)
        try:
            binary = _parse(path.read_bytes())
        except OSError:
            return None
        if binary is not None:
            with contextlib.suppress(OSError):
                os.utime(path)  # marks it as used
        return binary

    def store(self, key: str, binary: Binary) -> bool:
        """Keep ``binary`` under ``key``.

        Returns:
            Whether it is on disk now; False for a folder that is read-only, full, or not to be made.
        """
        if self.directory is None:
            return False
        try:
            # Machine code is loaded from here: nobody else may write to it.
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write(self._path(self.directory, key), _serialise(binary))
        except OSError:
            return False
        self._trim(self.directory)
        return True

    @staticmethod
    def _path(directory: Path, key: str) -> Path:
        return directory / f"{key}{SUFFIX}"

    def _trim(self, directory: Path) -> None:
        """Delete the files used longest ago; others may do the same at the same time."""
        found: list[tuple[float, int, Path]] = []
        with contextlib.suppress(OSError):
            for path in directory.iterdir():
                with contextlib.suppress(OSError):
                    status = path.stat()
                    found.append((status.st_mtime, status.st_size, path))
        excess = sum(size for _, size, _ in found) - self.max_bytes
        for _, size, path in sorted(found):
            if excess <= 0:
                return
            with contextlib.suppress(OSError):
                path.unlink()
            excess -= size


def _serialise(binary: Binary) -> bytes:
    body = b"\n".join((binary.symbol.encode(), binary.code))
    return b"\n".join((MAGIC, hashlib.sha256(body).hexdigest().encode(), body))


def _parse(content: bytes) -> Binary | None:
    parts = content.split(b"\n", 2)
    if len(parts) != 3 or parts[0] != MAGIC or hashlib.sha256(parts[2]).hexdigest().encode() != parts[1]:
        return None
    symbol, _, code = parts[2].partition(b"\n")
    return Binary(symbol.decode(), code)


def _write(path: Path, content: bytes) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        # On Windows this fails while another process reads the same file: which then already is there.
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise
