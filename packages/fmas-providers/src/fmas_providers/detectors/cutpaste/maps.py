"""From distances at the deepest features' positions to an anomaly map of the picture's size."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fmas.types import FloatMap

__all__ = ["WIDTH", "lay_out"]

WIDTH = 0.5
"""Standard deviation of the Gaussian by which a position reaches its surroundings, as a part of the distance from one
position to the next: smooth between positions, and hardly lower on them."""


def lay_out(
    distances: NDArray[np.floating], size: tuple[int, int], *, side: int, stride: int, offset: float
) -> FloatMap:
    """Enlarge the distances of the positions to a picture.

    Every pixel gets the mean of the positions' distances, weighted by a Gaussian of how far they are from it. Position
    ``(i, j)`` lies where the network looks from there, at pixel ``offset + stride * i`` of its input, which is not the
    middle of the ``i``-th square: the network's paddings are symmetric.

    Args:
        distances: ``(h, w)``, finite.
        size: Height and width of the picture, in pixels.
        side: Of the square that the picture was resized to, in pixels.
        stride: Pixels of that square from one position to the next.
        offset: Pixel of that square that the first position is centred on.

    Returns:
        ``(H, W)`` float32, between the smallest and the largest of the distances.
    """
    rows, columns = (
        _weights(pixels, positions, side=side, stride=stride, offset=offset)
        for pixels, positions in zip(size, distances.shape, strict=True)
    )
    return np.asarray(rows @ distances.astype(np.float32) @ columns.T, np.float32)


def _weights(pixels: int, positions: int, *, side: int, stride: int, offset: float) -> NDArray[np.float32]:
    """Return ``(pixels, positions)``: how much each position says at each pixel of one axis; rows sum to 1."""
    resized = (np.arange(pixels) + 0.5) * (side / pixels) - 0.5
    away = (resized - offset)[:, None] / stride - np.arange(positions)
    # Beyond the outermost positions the nearest one is all there is; less its exponent nothing underflows.
    exponents = away**2 / (2 * WIDTH**2)
    weights = np.exp(exponents.min(axis=1, keepdims=True) - exponents)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)
