"""The lay of a surface: the direction its own texture runs in, as a brush, a grindstone or a loom left it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from fmas.builtin.inpainter.filters import blur, gradient, mean_channel
from fmas.builtin.inpainter.grain import borrow_grain
from fmas.builtin.inpainter.surface import Surface
from fmas.types import FloatMap

__all__ = ["Lay", "along_lay", "foreign_grain", "grain_of", "lay_of", "relief_of"]


@dataclass(frozen=True, slots=True)
class Lay:
    """The direction of a texture.

    Attributes:
        angle: From the x axis towards the y axis (downwards), in radians, in ``[-pi/2, pi/2]``.
        strength: 0 for a texture alike in every direction .. 1 for parallel lines.
    """

    angle: float
    strength: float


def lay_of(surface: Surface) -> Lay:
    """Measure the lay of the product's texture in the window (by its structure tensor)."""
    dx, dy = gradient(blur(mean_channel(surface.base), 0.7))
    where = surface.foreground if surface.foreground.any() else np.ones_like(surface.foreground)
    # Steep edges are things, not texture: what exceeds the usual by far counts no more than the usual.
    size = np.hypot(dx, dy)
    usual = float(np.median(size[where])) * 2 + 0.1
    weight = np.where(where, np.minimum(1, usual / np.maximum(size, 1e-3)) ** 2, 0)
    xx, yy, xy = (float((weight * part).sum()) for part in (dx * dx, dy * dy, dx * dy))
    total = xx + yy
    if total <= 1e-6:
        return Lay(0.0, 0.0)
    # The gradient stands across the lay.
    angle = 0.5 * float(np.arctan2(2 * xy, xx - yy)) + np.pi / 2
    strength = float(np.hypot(xx - yy, 2 * xy)) / total
    return Lay(round((angle + np.pi / 2) % np.pi - np.pi / 2, 3), round(strength, 3))


def along_lay(picture: FloatMap, lay: Lay, length: float) -> FloatMap:
    """Average a picture along the lay: what is left are its lines.

    Args:
        picture: ``(H, W, C)`` float32.
        lay: The direction.
        length: Over how many pixels; odd lengths of 3 to 41 are used.

    Returns:
        ``(H, W, C)`` float32.
    """
    side = int(np.clip(length, 3, 41)) // 2 * 2 + 1
    kernel = np.zeros((side, side), np.float32)
    half = side // 2
    # Subpixel ends (shift 4), so that near directions differ.
    end = (round((half + half * np.cos(lay.angle)) * 16), round((half + half * np.sin(lay.angle)) * 16))
    start = (2 * half * 16 - end[0], 2 * half * 16 - end[1])
    cv2.line(kernel, start, end, 1.0, 1, cv2.LINE_8, 4)
    lines = cv2.filter2D(picture, cv2.CV_32F, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT)
    return np.asarray(lines, dtype=np.float32).reshape(picture.shape)


def grain_of(surface: Surface) -> FloatMap:
    """Return the camera's noise and the finest texture where they are, ``(h, w, C)`` float32, without any edges."""
    residual = surface.base - blur(surface.base, 1.0)
    limit = np.float32(2.5 * 1.4826 * np.median(np.abs(residual[::2, ::3])) + 0.5)
    return np.asarray(np.clip(residual, -limit, limit), dtype=np.float32)


def foreign_grain(surface: Surface, rng: np.random.Generator) -> FloatMap:
    """Return grain for what is not of this surface, ``(h, w, C)`` float32: the camera's noise without the texture."""
    grain = borrow_grain(surface.whole, rng, surface.shape)
    # No camera that inspects is noisier than this; what exceeds it is gravel, grass or cloth.
    return grain * np.float32(min(1.0, 4.0 / max(float(grain.std()), 1e-3)))


def relief_of(surface: Surface, size: float) -> FloatMap:
    """Return how bright each place is among its surroundings, ``(h, w)`` float32 within -1..1.

    Dark places are mostly low ones: joints, grooves, pores. What flows stops or gathers there.

    Args:
        surface: The photograph.
        size: How wide the surroundings are, in pixels.
    """
    luminance = mean_channel(surface.base)
    detail = blur(luminance, 0.8) - blur(luminance, max(2.0, size))
    spread = float(np.sqrt(np.mean(detail * detail))) + 2.0
    return np.asarray(np.clip(detail / np.float32(2 * spread), -1, 1), dtype=np.float32)
