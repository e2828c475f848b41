"""A dent: the surface bulges inwards and shades like a lens; its texture is stretched, not replaced."""

from __future__ import annotations

import numpy as np

from fmas.builtin.inpainter.filters import blur, displace, gradient, smoothstep
from fmas.builtin.inpainter.light import slope_towards
from fmas.builtin.inpainter.shapes import blob
from fmas.builtin.inpainter.surface import Surface
from fmas.types import Defect, FloatMap

__all__ = ["render"]


def render(surface: Surface, defect: Defect, intensity: float, rng: np.random.Generator) -> FloatMap:
    """Press one dent; see :mod:`fmas.builtin.inpainter.registry`."""
    field = blob(surface, rng, fill=(0.55, 0.95), roughness=0.07, detail=1.8, longest=1.9)
    size = max(1.0, float(field.max()))
    steepness = rng.uniform(0.55, 0.95)
    # Outlines are rough on paper, dents are pressed: round the field before it becomes a height.
    bowl = smoothstep(blur(np.maximum(field, 0), 0.2 * size), 0.0, steepness * size)
    lean = slope_towards(-bowl, surface.light)
    lean /= max(float(np.abs(lean).max()), 1e-6)
    depth = surface.depth(intensity, 0.5)
    # Less sky is seen from the bottom.
    shading = np.float32(depth) * (lean - 0.22 * bowl)
    gleam = np.float32(0.5 * depth) * smoothstep(lean, 0.7, 1.0)
    pull = np.float32(min(4.0, 0.1 * size) * min(intensity, 1.0))
    texture = _stretched(surface.base, bowl, pull)
    return texture * (1 + shading + gleam)[..., None]


def _stretched(base: FloatMap, bowl: FloatMap, pull: np.float32) -> FloatMap:
    """Move texture down the slopes by up to ``pull`` pixels, as the drawn material does."""
    dx, dy = gradient(bowl)
    steepest = max(float(np.hypot(dx, dy).max()), 1e-6)
    return displace(base, -dx * (pull / steepest), -dy * (pull / steepest))
