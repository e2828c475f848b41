"""Photographs for ``fmas demo``: crops of a brick wall that scikit-image carries (CC0), so nothing is downloaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from skimage import data

from fmas.files import AtomicWriter
from fmas.images import encode_png

__all__ = ["write_demo_photographs"]

_SIDE = 256


def write_demo_photographs(folder: Path, *, count: int) -> Path:
    """Write ``count`` square crops of one photograph as PNG files.

    Args:
        folder: Where to; created.
        count: 1 to 24.

    Returns:
        ``folder``.

    Raises:
        OutputError: If it cannot be written.
    """
    wall = np.asarray(data.brick())  # type: ignore[no-untyped-call]
    writer = AtomicWriter(folder / ".tmp")
    generator = np.random.default_rng(0)
    for number in range(count):
        top, left = (int(generator.integers(0, side - _SIDE + 1)) for side in wall.shape[:2])
        crop = np.ascontiguousarray(wall[top : top + _SIDE, left : left + _SIDE])
        writer.write(folder / f"brick_{number:02d}.png", encode_png(np.stack([crop] * 3, axis=2), compress_level=4))
    (folder / ".tmp").rmdir()
    return folder
