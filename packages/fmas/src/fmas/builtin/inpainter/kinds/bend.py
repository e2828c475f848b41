"""A bend: the part is out of line, its outline and texture with it, and a crease catches the light."""

from __future__ import annotations

import numpy as np

from fmas.builtin.inpainter.filters import displace, smoothstep
from fmas.builtin.inpainter.noise import fractal
from fmas.builtin.inpainter.paths import random_place
from fmas.builtin.inpainter.shapes import blob
from fmas.builtin.inpainter.surface import Surface
from fmas.types import Defect, FloatMap

__all__ = ["render"]


def render(surface: Surface, defect: Defect, intensity: float, rng: np.random.Generator) -> FloatMap:
    """Push the part out of line along a crease; see :mod:`fmas.builtin.inpainter.registry`."""
    frame = surface.frame
    place = random_place(surface, rng, deep=0.6)
    # Things bend across their long axis.
    angle = np.arctan2(frame.ux, -frame.uy) + rng.normal(0, 0.25)
    normal = (float(np.sin(angle)), float(-np.cos(angle)))
    height, width = surface.shape
    dx = (np.arange(width, dtype=np.float32) - np.float32(place[0]))[None, :]
    dy = (np.arange(height, dtype=np.float32) - np.float32(place[1]))[:, None]
    waver = fractal(surface.shape, rng, cell=max(4.0, surface.reach), octaves=2)
    distance = dx * np.float32(normal[0]) + dy * np.float32(normal[1]) + np.float32(0.06 * surface.reach) * waver
    field = blob(surface, rng, fill=(0.9, 1.0), roughness=0.1)
    room = smoothstep(field, 0.0, max(1.0, 0.8 * float(field.max())))
    push = np.float32(0.17 * surface.reach * min(1.0, intensity)) * room
    towards = 1.0 if rng.random() < 0.5 else -1.0
    offsets = (push * np.float32(towards * part) for part in (-normal[1], normal[0]))
    moved = displace(surface.base, *offsets)
    return moved * (1 + _crease(surface, distance, normal, intensity) * room)[..., None]


def _crease(surface: Surface, distance: FloatMap, normal: tuple[float, float], intensity: float) -> FloatMap:
    """Return the relative brightness of a roof-shaped fold: one slope is lit, the other shaded."""
    facing = normal[0] * surface.light[0] + normal[1] * surface.light[1]
    # Even along the light a fold shows, by what it reflects.
    facing = float(np.copysign(max(0.45, abs(facing)), facing))
    sharp, wide = max(0.8, 0.1 * surface.reach), max(2.0, 0.5 * surface.reach)
    roof = np.tanh(distance / np.float32(sharp)) * np.exp(-((distance / np.float32(wide)) ** 2))
    ridge = np.exp(-((distance / np.float32(sharp)) ** 2))
    depth = np.float32(min(0.8, surface.depth(intensity, 0.45)))
    return np.asarray(depth * (np.float32(1.3 * facing) * roof + 0.35 * ridge), dtype=np.float32)
