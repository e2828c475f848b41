"""Photographs for ``fmas demo``: crops of a brick wall that scikit-image carries (CC0), so nothing is downloaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from skimage import data

from fmas.errors import OutputError
from fmas.files import AtomicWriter, unwritable
from fmas.images import encode_png

__all__ = ["write_demo_photographs"]

_SIDE = 256
_COUNT = 12


def write_demo_photographs(folder: Path) -> Path:
    """Write twelve square crops of one photograph as PNG files.

    Args:
        folder: Where to; created, or left by an earlier demo.

    Returns:
        ``folder``.

    Raises:
        OutputError: If it holds anything else, or cannot be written.
    """
    wall = np.asarray(data.brick())  # type: ignore[no-untyped-call]
    generator = np.random.default_rng(0)
    contents = {}
    for number in range(_COUNT):
        top, left = (int(generator.integers(0, side - _SIDE + 1)) for side in wall.shape[:2])
        crop = np.ascontiguousarray(wall[top : top + _SIDE, left : left + _SIDE])
        contents[f"brick_{number:02d}.png"] = encode_png(np.stack([crop] * 3, axis=2), compress_level=4)
    _refuse_other_files(folder, contents)
    writer = AtomicWriter(folder / ".tmp")
    for name, content in contents.items():
        writer.write(folder / name, content)
    (folder / ".tmp").rmdir()
    return folder


def _refuse_other_files(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Neither overwrite somebody's pictures nor take them for a brick wall."""
    try:
        for path in sorted(folder.iterdir()) if folder.exists() else ():
            if path.name != ".tmp" and (path.name not in contents or path.read_bytes() != contents[path.name]):
                raise OutputError(f"expected a folder of the demo's own, got {path} in it; choose another --out")
    except OSError as error:
        raise unwritable(folder, error) from error
