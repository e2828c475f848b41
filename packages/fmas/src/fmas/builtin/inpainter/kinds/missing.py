"""A missing part: an empty seat where something sat, the bare surface where a feature was, or a way through.

Parts are made: what is left of one has clean outlines. Where the window knows the background, an opening shows it.
"""

from __future__ import annotations

import numpy as np

from fmas.builtin.inpainter.filters import blur, displace, mean_channel, smoothstep
from fmas.builtin.inpainter.lay import foreign_grain
from fmas.builtin.inpainter.layers import lightens, share_of_light
from fmas.builtin.inpainter.light import slope_towards
from fmas.builtin.inpainter.noise import fractal
from fmas.builtin.inpainter.patches import continued
from fmas.builtin.inpainter.shapes import blob, coverage, fitted, spot_for
from fmas.builtin.inpainter.surface import Surface
from fmas.types import Defect, FloatMap

__all__ = ["render"]

_FEATURED = 0.12
"""Contrast, as a share of the brightness, from which on there is some feature that can be missing."""


def render(surface: Surface, defect: Defect, intensity: float, rng: np.random.Generator) -> FloatMap:
    """Take a part away; see :mod:`fmas.builtin.inpainter.registry`."""
    chance = rng.random()
    field = _outline(surface, rng)
    behind = ~surface.foreground
    featured = float(blur(mean_channel(surface.base), 1.5)[surface.region].std()) > _FEATURED * max(surface.level, 40.0)
    if chance < 0.5 and np.count_nonzero(behind) >= 40:
        tone = np.median(surface.base[behind], axis=0).astype(np.float32)
        return _sunk(surface, intensity, rng, field, np.broadcast_to(tone, surface.base.shape), deep=1.0)
    if featured and chance < 0.6:
        return _gone(surface, intensity, rng)
    size = max(1.0, float(field.max()))
    # The floor's tone is the surface's own, whatever was printed or lay there.
    own = np.median(surface.base[surface.region], axis=0).astype(np.float32)
    plain = 0.3 * blur(surface.base, size) + 0.7 * own
    return _sunk(surface, intensity, rng, field, plain, deep=float(rng.uniform(0.3, 0.9)))


def _outline(surface: Surface, rng: np.random.Generator) -> FloatMap:
    """Return a made outline, round to square, as a signed distance, ``(h, w)`` float32, positive inside."""
    frame = surface.frame
    share = rng.uniform(0.35, 0.85, 2)
    b = float(max(0.8, frame.short * share[0]))
    a = float(min(max(0.8, frame.long * share[1]), b * rng.uniform(1.0, 2.6)))
    if rng.random() < 0.35:
        a = b  # round or square
    x, y = spot_for(surface, rng, (a, b))
    turn = float(rng.normal(0, 0.06))
    ux, uy = frame.ux - turn * frame.uy, frame.uy + turn * frame.ux
    height, width = surface.shape
    dx = (np.arange(width, dtype=np.float32) - np.float32(x))[None, :]
    dy = (np.arange(height, dtype=np.float32) - np.float32(y))[:, None]
    along = np.abs(dx * np.float32(ux) + dy * np.float32(uy))
    across = np.abs(dy * np.float32(ux) - dx * np.float32(uy))
    corner = np.float32(min(a, b) * rng.choice([1.0, 1.0, 0.6, 0.3]))
    out_u, out_v = along - np.float32(a) + corner, across - np.float32(b) + corner
    outside = np.hypot(np.maximum(out_u, 0), np.maximum(out_v, 0)) + np.minimum(np.maximum(out_u, out_v), 0)
    uneven = fractal(surface.shape, rng, cell=max(3.0, 0.8 * b), octaves=3)
    field = corner - outside + np.float32(0.03 * b) * uneven
    if not (field[surface.region] > 0).any():
        return blob(surface, rng, fill=(0.75, 0.95), roughness=0.05, detail=1.5, longest=2.5)
    return fitted(surface, rng, field, most=0.85)


def _sunk(
    surface: Surface, intensity: float, rng: np.random.Generator, field: FloatMap, plain: FloatMap, *, deep: float
) -> FloatMap:
    """Show a floor below the surface: a wall lit on one side, the surface's shadow on the floor from the other."""
    size = max(1.0, float(field.max()))
    depth = np.float32(share_of_light(surface.depth(intensity, 0.35 + 0.35 * deep), 0.88))
    inside = coverage(field, 1.2) * blur(surface.foreground.astype(np.float32), 0.6)
    spots = fractal(surface.shape, rng, cell=max(3.0, 0.8 * size), octaves=4, persistence=0.6)
    # Mostly in the shade; now and then bare, lighter material, as always below something black.
    tone = np.float32(0.8 if lightens(surface, rng, 0.12) else -0.75) * depth
    floor = plain * (1 + tone + np.float32(0.08) * depth * spots)[..., None]
    floor = floor + np.float32(max(0.0, 25.0 - surface.level)) * np.maximum(tone, 0)
    floor = floor + foreign_grain(surface, rng)
    # The upper edge towards the light throws its shadow on the floor.
    reach = np.float32(max(1.0, min((0.15 + 0.5 * deep) * size, 9.0 * max(1.0, surface.scale))))
    shifted = displace(inside[..., None], *(np.full(surface.shape, part * reach) for part in surface.light))
    shade = blur(1 - shifted, 0.4 + 0.12 * float(reach)).reshape(surface.shape) * inside
    floor = floor * (1 - np.float32(0.9) * depth * shade)[..., None]
    wall = max(1.2, min(0.14 * size, 3.5 * max(1.0, surface.scale)))
    lean = np.clip(slope_towards(-smoothstep(field, -0.3 * wall, wall) * np.float32(wall), surface.light), -1.2, 1.2)
    shown = np.float32(min(1.0, 0.15 + 0.55 * intensity)) * inside[..., None]
    painted = surface.base + shown * (floor - surface.base)
    # The lit wall answers with the surface's own brightness, not the floor's.
    lit = np.float32(0.5) * depth * lean * coverage(field + 1, 1.5)
    return np.asarray(painted + lit[..., None] * np.float32(max(surface.level, 25.0)), dtype=np.float32)


def _gone(surface: Surface, intensity: float, rng: np.random.Generator) -> FloatMap:
    """Let the surface go on where a feature was; what is left of it is a trace of dirt or shade at its outline."""
    field = blob(surface, rng, fill=(0.6, 0.95), roughness=0.1, detail=1.2, longest=2.5)
    size = max(1.0, float(field.max()))
    bare = continued(surface, np.asarray(field > -0.5), rng=rng)
    share = np.float32(min(1.0, 0.2 + 0.55 * intensity)) * smoothstep(field, 0.0, max(1.5, 0.12 * size))[..., None]
    depth = np.float32(share_of_light(surface.depth(intensity, 0.3), 0.6))
    spots = fractal(surface.shape, rng, cell=max(3.0, 0.5 * size), octaves=4, persistence=0.6)
    rim = np.exp(-(((field - np.float32(0.15 * size)) / np.float32(max(1.0, 0.1 * size))) ** 2))
    trace = depth * (0.18 * coverage(field, 0.15 * size + 1.5) + 0.4 * rim) * np.clip(0.7 + 0.5 * spots, 0, 1.4)
    return np.asarray((surface.base + share * (bare - surface.base)) * (1 - trace)[..., None], dtype=np.float32)
