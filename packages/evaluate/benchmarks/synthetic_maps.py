"""Score maps and masks that the benchmarks measure on; the same seed gives the same arrays.

`blob_maps` looks like what a detector returns on a data set of industrial parts: smooth float32 maps, a third of the
images good, the others with one to four elliptic defects that score higher on the whole, and by no means everywhere.
`random_case` is small and nasty: ragged sizes, ties, three float types, infinities, zeros of both signs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["blob_maps", "random_case"]


def blob_maps(count: int, size: int, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return maps and masks ``(count, size, size)``, float32 and bool."""
    random = np.random.default_rng(seed)
    maps = np.empty((count, size, size), dtype=np.float32)
    masks = np.zeros((count, size, size), dtype=np.bool_)
    down, right = np.mgrid[:size, :size].astype(np.float32) / size
    for image in range(count):
        smooth = ndimage.gaussian_filter(random.standard_normal((size // 8, size // 8)).astype(np.float32), 2)
        smooth = ndimage.zoom(smooth / smooth.std(), size / smooth.shape[0], order=1, grid_mode=True, mode="nearest")
        maps[image] = smooth[:size, :size] + 0.3 * random.standard_normal((size, size), dtype=np.float32)
        for _ in range(0 if image % 3 == 0 else int(random.integers(1, 5))):
            centre, radius, angle = random.random(2), 0.01 + 0.07 * random.random(2), np.pi * random.random()
            along = np.cos(angle) * (down - centre[0]) + np.sin(angle) * (right - centre[1])
            across = np.cos(angle) * (right - centre[1]) - np.sin(angle) * (down - centre[0])
            distance = (along / radius[0]) ** 2 + (across / radius[1]) ** 2
            masks[image] |= distance < 1
            maps[image] += np.float32(3 * random.random()) * np.exp(-distance.astype(np.float32) / 2)
    return maps, masks


def random_case(random: np.random.Generator) -> tuple[list[NDArray[Any]], list[NDArray[np.bool_]]]:
    """Return one to four ragged maps and masks, with at least one defect and one normal pixel in all."""
    dtype = random.choice([np.float16, np.float32, np.float64])
    levels = int(random.choice([2, 4, 16, 256, 0]))  # 0: continuous
    maps, masks = [], []
    for _ in range(int(random.integers(1, 5))):
        shape = (int(random.integers(1, 17)), int(random.integers(1, 17)))
        mask = random.random(shape) < random.choice([0.0, 0.05, 0.3, 0.6])
        scores = random.standard_normal(shape) + random.choice([0.0, 0.5, 3.0]) * mask
        if levels:
            scores = np.round(scores * levels / 8) * 8 / levels
        if random.random() < 0.3:
            scores[random.random(shape) < 0.1] = random.choice([0.0, -0.0, np.inf, -np.inf])
        scores[random.random(shape) < 0.05] *= -1  # zeros of both signs among them
        maps.append(scores.astype(dtype))
        masks.append(mask)
    if not any(mask.any() for mask in masks):
        masks[0].flat[0] = True
    if all(mask.all() for mask in masks):
        maps.append(np.zeros((1, 2), dtype))
        masks.append(np.zeros((1, 2), np.bool_))
    return maps, masks
