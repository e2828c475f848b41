"""Discoloration: the surface itself has another shade or hue in a patch with no rim, and shines less."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from fmas.builtin.inpainter.filters import blur, smoothstep
from fmas.builtin.inpainter.kinds.stain import absorb
from fmas.builtin.inpainter.noise import fractal
from fmas.builtin.inpainter.shapes import blob
from fmas.builtin.inpainter.surface import Surface
from fmas.builtin.inpainter.words import mentioned
from fmas.types import Defect, FloatMap

__all__ = ["render"]

_LIGHTER = MappingProxyType({"fade": True, "fading": True, "bleach": True, "pale": True, "white": True, "light": True})
_HUES = ((0.55, 1.0, 1.45), (1.35, 1.0, 0.65), (0.8, 0.9, 1.3), (1.0, 0.75, 1.25))


def render(surface: Surface, defect: Defect, intensity: float, rng: np.random.Generator) -> FloatMap:
    """Let a patch fade or darken; see :mod:`fmas.builtin.inpainter.registry`."""
    field = blob(surface, rng, fill=(0.75, 1.0), roughness=rng.uniform(0.2, 0.4), detail=1.3)
    size = max(1.0, float(field.max()))
    ragged = fractal(surface.shape, rng, cell=max(3.0, 0.35 * size), octaves=4, persistence=0.7)
    width = max(1.5, rng.uniform(0.12, 0.35) * size)
    patch = smoothstep(field + 0.3 * np.float32(width) * ragged, 0.0, width)
    cloud = 0.88 + 0.12 * fractal(surface.shape, rng, cell=max(4.0, 1.2 * size), octaves=3)
    hue = _HUES[int(rng.integers(len(_HUES)))]
    lighter = bool(rng.random() < 0.35)
    lighter = mentioned(defect, _LIGHTER) or (lighter and surface.level < 170)
    depth = min(0.75, surface.depth(intensity, 0.42))
    matt = np.float32(0.45 * min(intensity, 1.0)) * patch[..., None]
    if lighter:
        gain = np.float32(depth * min(1.0, 1.6 * (255 - surface.level) / 255 + 0.1))
        # The brightest stay what they are: nothing blooms.
        headroom = (255 - surface.base) / np.float32(max(40.0, 255 - surface.level))
        lift = gain * (patch * cloud)[..., None] * np.minimum(headroom, 1.5)
        painted = surface.base * (1 + lift * _tint(surface, hue))
    else:
        painted = absorb(surface, patch * cloud, depth, hue)
    return np.asarray(painted + matt * (blur(painted, 1.2) - painted), dtype=np.float32)


def _tint(surface: Surface, hue: tuple[float, float, float]) -> FloatMap:
    if surface.base.shape[2] == 1:
        return np.ones(1, np.float32)
    return 1 + (np.array(hue, np.float32) - 1) * np.float32(surface.colour)
