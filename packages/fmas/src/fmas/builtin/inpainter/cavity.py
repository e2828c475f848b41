"""Material taken away from a surface: walls that catch the light, a floor of its own texture."""

from __future__ import annotations

import numpy as np

from fmas.builtin.inpainter.filters import blur, smoothstep
from fmas.builtin.inpainter.grain import borrow_grain
from fmas.builtin.inpainter.light import slope_towards
from fmas.builtin.inpainter.noise import fractal
from fmas.builtin.inpainter.shapes import coverage
from fmas.builtin.inpainter.surface import Surface
from fmas.types import FloatMap

__all__ = ["carve"]


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

    Returns:
        The painted window, ``(h, w, C)`` float32.
    """
    base = surface.base
    inside = coverage(field, 1.2)
    size = max(1.0, float(field.max()))
    spots = fractal(surface.shape, rng, cell=max(3.0, 0.7 * size), octaves=4, persistence=0.6)
    # Deepest in the middle; the floor is not flat.
    descent = smoothstep(field, 0.0, max(1.0, wall))
    smooth = blur(base, max(1.0, 0.6 * size))
    floor = smooth * (1 - np.float32(dark) * (0.72 + 0.28 * descent))[..., None]
    floor *= (1 + np.float32(mottle) * spots)[..., None]
    floor += (base - smooth) * np.float32(keep_texture * (1 - 0.7 * dark))
    floor += borrow_grain(base, rng) * np.float32((1 - keep_texture) * (1 - 0.6 * dark))
    lean = slope_towards(-descent * np.float32(wall) + spots * np.float32(0.06 * wall), surface.light)
    lit = np.clip(lean, -1.2, 1.2)
    painted = base + inside[..., None] * (floor - base)
    # The lit wall answers with the surface's own brightness, not the floor's.
    return painted + (np.float32(relief) * lit * coverage(field + 1, 1.5))[..., None] * smooth
