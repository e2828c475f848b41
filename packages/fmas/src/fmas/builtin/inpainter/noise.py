"""Random fields and curves that vary smoothly: what outlines, mottles and uneven depths are made of."""

from __future__ import annotations

import cv2
import numpy as np

from fmas.builtin.inpainter.filters import enlarge
from fmas.types import FloatMap

__all__ = ["along", "fractal", "streaks"]

_SPREAD = 0.5
"""Standard deviation of one octave: with it a field is mostly within -1..1."""

_SIGMA_PER_FEATURE = 0.32
"""A Gaussian of this share of a feature's size leaves features of that size."""


def fractal(
    shape: tuple[int, int],
    rng: np.random.Generator,
    *,
    cell: float,
    octaves: int = 3,
    persistence: float = 0.5,
    stretch: float = 1.0,
) -> FloatMap:
    """Return a sum of smooth random fields, each half the size and ``persistence`` times the height of the last.

    White noise under a Gaussian: alike in every direction, and tied to no lattice whose lines one could see.

    Args:
        shape: Height and width in pixels.
        rng: Where the randomness comes from.
        cell: Size of the largest feature, in pixels.
        octaves: How many fields are added, at most; features under two pixels are left out.
        persistence: Height ratio from one octave to the next, in ``(0, 1)``.
        stretch: How many times longer than high a feature is; 1 is round.

    Returns:
        ``(H, W)`` float32, mean about 0, standard deviation about 0.5, mostly within -1..1.
    """
    total = np.zeros(shape, np.float32)
    height, weight = 1.0, 0.0
    for octave in range(octaves):
        size = max(cell / 2**octave, 2.0)
        total += np.float32(height) * _octave(shape, rng, (size, size * stretch))
        weight += height
        if size <= 2.0:
            break
        height *= persistence
    return total * np.float32(1.6 / weight)


def _octave(shape: tuple[int, int], rng: np.random.Generator, sizes: tuple[float, float]) -> FloatMap:
    """Return one field whose features measure ``sizes`` (down, right) pixels, standard deviation ``_SPREAD``."""
    steps = [max(1.0, size / 5) for size in sizes]
    sigmas = [_SIGMA_PER_FEATURE * size / step for size, step in zip(sizes, steps, strict=True)]
    pads = [int(np.ceil(2.5 * sigma)) for sigma in sigmas]
    counts = [int(np.ceil(side / step)) + 1 for side, step in zip(shape, steps, strict=True)]
    noise = rng.random([count + 2 * pad for count, pad in zip(counts, pads, strict=True)], dtype=np.float32)
    kernels = [cv2.getGaussianKernel(2 * pad + 1, sigma, cv2.CV_32F) for pad, sigma in zip(pads, sigmas, strict=True)]
    field = cv2.sepFilter2D(noise - np.float32(0.5), cv2.CV_32F, kernels[1], kernels[0])
    inner = field[pads[0] : pads[0] + counts[0], pads[1] : pads[1] + counts[1]]
    # Uniform noise has a standard deviation of 1 / sqrt(12); an average of it, that times the kernel's norm.
    norm = float(np.linalg.norm(kernels[0]) * np.linalg.norm(kernels[1])) / np.sqrt(12)
    return enlarge(np.ascontiguousarray(inner), shape) * np.float32(_SPREAD / norm)


def streaks(
    shape: tuple[int, int], rng: np.random.Generator, *, angle: float, width: float, length: float, octaves: int = 3
) -> FloatMap:
    """Return a field drawn out in one direction, the way things smear, wear and are ground.

    Args:
        shape: Height and width in pixels.
        rng: Where the randomness comes from.
        angle: Direction of the streaks, in radians from the x axis towards the y axis (downwards).
        width: Width of the widest streak, in pixels.
        length: Length of the longest, in pixels.
        octaves: How many ever finer fields are added.

    Returns:
        ``(H, W)`` float32, as :func:`fractal`.
    """
    side = int(np.ceil(np.hypot(*shape))) + 2
    field = fractal((side, side), rng, cell=width, octaves=octaves, persistence=0.6, stretch=max(1.0, length / width))
    height, width_px = shape
    cos, sin = float(np.cos(angle)), float(np.sin(angle))
    middle = (side - 1) / 2
    across, down = (width_px - 1) / 2, (height - 1) / 2
    to_field = np.array(
        [[cos, sin, middle - cos * across - sin * down], [-sin, cos, middle + sin * across - cos * down]], np.float64
    )
    turned = cv2.warpAffine(
        field,
        to_field,
        (width_px, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT,
    )
    return np.asarray(turned, dtype=np.float32)


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
