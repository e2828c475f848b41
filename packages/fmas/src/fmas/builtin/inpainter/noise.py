"""Random fields and curves that vary smoothly: what outlines, mottles and uneven depths are made of."""

from __future__ import annotations

import numpy as np

from fmas.builtin.inpainter.filters import enlarge
from fmas.types import FloatMap

__all__ = ["along", "fractal"]


def fractal(
    shape: tuple[int, int], rng: np.random.Generator, *, cell: float, octaves: int = 3, persistence: float = 0.5
) -> FloatMap:
    """Return a sum of smooth random fields, each half the size and ``persistence`` times the height of the last.

    Args:
        shape: Height and width in pixels.
        rng: Where the randomness comes from.
        cell: Size of the largest feature, in pixels.
        octaves: How many fields are added, at most; features under two pixels are left out.
        persistence: Height ratio from one octave to the next, in ``(0, 1)``.

    Returns:
        ``(H, W)`` float32, mean about 0, mostly within -1..1.
    """
    total = np.zeros(shape, np.float32)
    height, weight = 1.0, 0.0
    for octave in range(octaves):
        size = max(cell / 2**octave, 2.0)
        grid = rng.uniform(-1, 1, [max(2, round(side / size) + 1) for side in shape]).astype(np.float32)
        total += np.float32(height) * enlarge(grid, shape)
        weight += height
        if size <= 2.0:
            break
        height *= persistence
    return total * np.float32(1.6 / weight)


def along(t: FloatMap, rng: np.random.Generator, *, knots: int) -> FloatMap:
    """Return smooth random values along a line.

    Args:
        t: Places on the line, ``(N,)`` float32 in ``[0, 1]``.
        rng: Where the randomness comes from.
        knots: Number of independent random values; more make it busier.

    Returns:
        ``(N,)`` float32 in ``[0, 1]``.
    """
    values = rng.uniform(0, 1, knots + 1)
    place = np.clip(t, 0, 1) * knots
    left = np.minimum(place.astype(np.intp), knots - 1)
    part = place - left
    part = part * part * (3 - 2 * part)
    return np.asarray(values[left] * (1 - part) + values[left + 1] * part, dtype=np.float32)
