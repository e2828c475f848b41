"""Where the light comes from in a photograph, and how it falls on a relief."""

from __future__ import annotations

import numpy as np

from fmas.builtin.inpainter.filters import gradient
from fmas.types import BoolMask, FloatMap

__all__ = ["light_direction", "slope_towards"]

UPPER_LEFT = (-0.6, -0.8)
"""Where people assume the light to be when nothing tells (and where most lamps are mounted)."""


def light_direction(luminance: FloatMap, foreground: BoolMask) -> tuple[float, float]:
    """Estimate the side the light comes from: the direction in which the product gets brighter on the whole.

    Args:
        luminance: ``(H, W)`` float32, 0..255; a coarse version is enough.
        foreground: ``(H, W)`` bool, the product.

    Returns:
        A unit vector (x to the right, y downwards) that points towards the light; upper left when the picture does
        not tell (brightness differs by less than 4 % of its mean from one side to the other).
    """
    rows, columns = np.nonzero(foreground)
    if rows.size < 9:
        return UPPER_LEFT
    values = luminance[rows, columns].astype(np.float64)
    mean = values.mean()
    x, y = columns - columns.mean(), rows - rows.mean()
    xx, yy, xy = (x * x).sum(), (y * y).sum(), (x * y).sum()
    xv, yv = (x * (values - mean)).sum(), (y * (values - mean)).sum()
    determinant = xx * yy - xy * xy
    if determinant <= 1e-9 * (xx + yy) ** 2:
        return UPPER_LEFT
    gx, gy = (yy * xv - xy * yv) / determinant, (xx * yv - xy * xv) / determinant
    if abs(gx) * np.ptp(x) + abs(gy) * np.ptp(y) < 0.04 * max(mean, 1.0):
        return UPPER_LEFT
    # Rounded, so that the last bits of a sum never decide over a pixel.
    angle = round(float(np.arctan2(gy, gx)), 3)
    return float(np.cos(angle)), float(np.sin(angle))


def slope_towards(height: FloatMap, light: tuple[float, float]) -> FloatMap:
    """Return how much a relief leans towards the light: Lambert's law for shallow slopes, ``-grad(height) . light``.

    Args:
        height: ``(H, W)`` float32, in pixels.
        light: Unit vector towards the light.

    Returns:
        ``(H, W)`` float32; positive is lit, negative is shaded, 0 is flat.
    """
    dx, dy = gradient(height)
    return np.asarray(-(dx * light[0] + dy * light[1]), dtype=np.float32)
