"""Material taken away from a surface: walls that catch the light, a floor of its own texture, a shadow on it."""

from __future__ import annotations

import cv2
import numpy as np

from fmas.builtin.inpainter.filters import blur, extent, smoothstep
from fmas.builtin.inpainter.grain import borrow_grain
from fmas.builtin.inpainter.light import slope_towards
from fmas.builtin.inpainter.noise import fractal
from fmas.builtin.inpainter.shapes import coverage
from fmas.builtin.inpainter.surface import Surface
from fmas.types import FloatMap

__all__ = ["carve", "moved"]


def carve(
    surface: Surface,
    rng: np.random.Generator,
    field: FloatMap,
    *,
    dark: float,
    wall: float,
    relief: float,
    keep_texture: float,
    mottle: float = 0.12,
    shadow: float = 0.0,
) -> FloatMap:
    """Sink the inside of an outline below the surface.

    Args:
        surface: The photograph.
        rng: Where the randomness comes from.
        field: The outline as a signed distance, ``(h, w)`` float32, positive inside, in pixels.
        dark: How much light the floor loses, as a fraction.
        wall: Width of the wall, in pixels.
        relief: How strongly the wall is lit on one side and shaded on the other, as a fraction.
        keep_texture: How much of the surface's own texture goes on on the floor, 0..1.
        mottle: Unevenness of the floor, as a fraction.
        shadow: How far the rim's shadow falls on the floor, in pixels.

    Returns:
        The painted window, ``(h, w, C)`` float32.
    """
    result = surface.base.copy()
    box = extent(field > -3, pad=4)
    if box is None:
        return result
    surface, field = surface.part(box), field[box]
    base = surface.base
    inside = coverage(field, 1.2)
    size = max(1.0, float(field.max()))
    spots = fractal(surface.shape, rng, cell=max(3.0, 0.7 * size), octaves=4, persistence=0.6)
    crumbs = fractal(surface.shape, rng, cell=float(rng.uniform(2.2, 4.0)), octaves=2, persistence=0.7)
    # Deepest in the middle; the floor is not flat.
    descent = smoothstep(field, 0.0, max(1.0, wall))
    smooth = blur(base, max(1.0, 0.6 * size))
    # How much light gets down varies: with the depth, with the dirt, with what the floor is made of.
    share = np.clip(0.68 + 0.27 * descent + np.float32(0.22) * spots, 0.3, 1.0)
    tone = (1 - np.float32(dark) * share) * (1 + np.float32(mottle) * spots + np.float32(0.13 * dark) * crumbs)
    if shadow > 0:
        tone *= 1 - np.float32(0.55 * dark) * cast_shadow(
            field + np.float32(0.35 * shadow) * spots, surface.light, shadow
        )
    # A few faces of the floor happen to mirror the lamp.
    glints = smoothstep(crumbs, rng.uniform(1.0, 1.5), 1.9) * descent
    tone += np.float32(0.25 * dark) * glints
    lean = slope_towards(-descent * np.float32(wall) + spots * np.float32(0.25 * mottle * wall), surface.light)
    lit = np.clip(lean, -1.2, 1.2)
    # The lit wall answers with the surface's own brightness, not the floor's.
    tone += np.float32(relief) * np.where(lit > 0, lit, lit * tone)
    fine = (base - smooth) * np.float32(keep_texture * (1 - 0.7 * dark))
    fine += borrow_grain(surface.whole, rng, surface.shape) * np.float32((1 - keep_texture) * (1 - 0.6 * dark))
    floor = smooth * tone[..., None] + fine
    result[box] = base + inside[..., None] * (floor - base)
    return result


def cast_shadow(field: FloatMap, light: tuple[float, float], length: float) -> FloatMap:
    """Return what lies in the rim's shadow, ``(h, w)`` in 0..1: the way towards the light is blocked within ``length``.

    Args:
        field: The outline as a signed distance, ``(h, w)`` float32, positive inside, in pixels.
        light: Unit vector towards the light.
        length: Of the shadow, in pixels.
    """
    ahead = moved(field, (-length * light[0], -length * light[1]))
    return 1 - smoothstep(ahead, -0.35 * length - 0.5, 0.35 * length + 0.5)


def moved(field: FloatMap, step: tuple[float, float]) -> FloatMap:
    """Shift a field ``(h, w)`` by ``step`` = (right, down) pixels; its border is continued."""
    matrix = np.array([[1, 0, step[0]], [0, 1, step[1]]], np.float64)
    size = (field.shape[1], field.shape[0])
    return np.asarray(
        cv2.warpAffine(field, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), dtype=np.float32
    )
