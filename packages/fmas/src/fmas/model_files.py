"""The files of a model folder: their digests, and that none is a pickle, which could run code when it is read."""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Self

from fmas.errors import ModelError

__all__ = ["FileRecord", "check_files", "record_files", "refuse_pickles"]

_PICKLE_SUFFIXES = (".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth")
_PICKLE_STARTS = tuple(bytes((0x80, protocol)) for protocol in range(2, 6))
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class FileRecord:
    """What ``model.json`` says of one file.

    Attributes:
        sha256: Of its bytes, 64 hex digits.
        size: Bytes.
    """

    sha256: str
    size: int

    def to_json(self) -> dict[str, object]:
        """Return JSON values."""
        return {"sha256": self.sha256, "size": self.size}

    @classmethod
    def from_json(cls, name: str, content: object) -> Self:
        """Return what :meth:`to_json` wrote.

        Raises:
            ValueError: If it is something else, or ``name`` leads out of the folder.
        """
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
            raise ValueError(f"the file name {name!r}")
        sha256, size = (content.get("sha256"), content.get("size")) if isinstance(content, Mapping) else (None, None)
        if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256) or not isinstance(size, int):
            raise ValueError(f"no sha256 and size of {name!r}")
        return cls(sha256, size)


def record_files(folder: Path, files: Iterable[Path]) -> dict[str, FileRecord]:
    """Return POSIX path relative to ``folder`` -> digest and size.

    Raises:
        OSError: If a file cannot be read.
    """
    return {path.relative_to(folder).as_posix(): FileRecord(_sha256(path), path.stat().st_size) for path in files}


def check_files(folder: Path, files: Mapping[str, FileRecord]) -> None:
    """See that every recorded file is there and whole.

    Raises:
        ModelError: If one is missing, truncated or changed; the message names it.
    """
    for name, record in files.items():
        path = folder / name
        try:
            size = path.stat().st_size
            found = f"{size} of {record.size} bytes" if size != record.size else ""
            if not found and _sha256(path) != record.sha256:
                found = "other content"
        except OSError as error:
            found = str(error.strerror or error)
        if found:
            raise ModelError(
                f"expected the file {name} of a model as it was written, got {found} in {folder}; copy the whole "
                "folder again or train again"
            )


def refuse_pickles(folder: Path) -> None:
    """See that a detector saved at least one file, and neither pickles nor links.

    Raises:
        ModelError: If it did; the message names the file.
    """
    files = [path for path in sorted(folder.rglob("*")) if path.is_symlink() or not path.is_dir()]
    if not files:
        raise ModelError("expected the detector to save something, got an empty folder; its plugin is at fault")
    for path in files:
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            raise ModelError(
                f"expected the detector to save regular files, got the link {name}; its plugin is at fault"
            )
        if path.suffix.lower() in _PICKLE_SUFFIXES or _holds_pickle(path):
            raise ModelError(
                f"expected the detector to save safetensors, JSON or ONNX, got {name}, which is or may hold a pickle, "
                "and reading one can run code; its plugin is at fault"
            )


def _holds_pickle(path: Path) -> bool:
    """Whether the content is a pickle, or an archive with one, as torch writes them whatever the suffix."""
    with path.open("rb") as file:
        if file.read(2) in _PICKLE_STARTS:
            return True
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith(".pkl") for name in archive.namelist())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
