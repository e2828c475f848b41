"""A stain: something dried on the surface; it absorbs, most of all at its edge, and the texture shows through."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from fmas.builtin.inpainter.noise import fractal
from fmas.builtin.inpainter.shapes import blob, coverage
from fmas.builtin.inpainter.surface import Surface
from fmas.builtin.inpainter.words import mentioned
from fmas.types import Defect, FloatMap

__all__ = ["ABSORBANCE", "absorb", "render"]

ABSORBANCE = MappingProxyType(
    {
        "rust": (0.45, 1.0, 1.55),
        "corro": (0.5, 1.0, 1.5),
        "oil": (0.75, 0.95, 1.3),
        "grease": (0.8, 0.95, 1.25),
        "coffee": (0.6, 1.0, 1.4),
        "burn": (0.8, 1.0, 1.2),
        "ink": (1.25, 1.1, 0.65),
        "water": (1.0, 1.0, 1.0),
        "mold": (1.05, 0.85, 1.1),
        "mould": (1.05, 0.85, 1.1),
        "blood": (0.35, 1.3, 1.35),
    }
)
"""How much of red, green and blue a substance absorbs, relative to its mean: beginnings of words."""

_UNNAMED = ((0.7, 0.95, 1.35), (1.0, 1.0, 1.0), (0.85, 1.0, 1.15), (1.15, 1.0, 0.85))


def render(surface: Surface, defect: Defect, intensity: float, rng: np.random.Generator) -> FloatMap:
    """Spill one stain and let it dry; see :mod:`fmas.builtin.inpainter.registry`."""
    field = blob(surface, rng, fill=(0.65, 1.0), roughness=rng.uniform(0.15, 0.32), detail=1.1)
    size = max(1.0, float(field.max()))
    tide = max(1.0, rng.uniform(0.05, 0.14) * size)
    cloud = fractal(surface.shape, rng, cell=max(4.0, 0.9 * size), octaves=4, persistence=0.55)
    inside = coverage(field, max(1.2, 0.7 * tide))
    ring = np.exp(-(((field - tide) / tide) ** 2)) * (0.7 + 0.3 * cloud)
    density = inside * np.clip(rng.uniform(0.4, 0.65) + 0.22 * cloud, 0.25, 1) + rng.uniform(0.3, 0.6) * inside * ring
    colour = mentioned(defect, ABSORBANCE) or _UNNAMED[int(rng.integers(len(_UNNAMED)))]
    return absorb(surface, density, min(0.85, surface.depth(intensity, 0.55)), colour)


def absorb(surface: Surface, density: FloatMap, depth: float, colour: tuple[float, float, float]) -> FloatMap:
    """Take light away by Beer and Lambert's law, so that the texture goes on underneath.

    Args:
        surface: The photograph.
        density: Thickness of the layer, ``(h, w)`` float32, about 0..1.
        depth: Fraction of the light that a layer of thickness 1 takes, below 1.
        colour: Relative absorbance of red, green and blue; counts as far as the photograph is in colour.

    Returns:
        The painted window, ``(h, w, C)`` float32.
    """
    relative = 1 + (np.array(colour, np.float32) - 1) * np.float32(surface.colour)
    if surface.base.shape[2] == 1:
        relative = relative[:1] * 0 + 1
    return surface.base * np.exp(np.float32(np.log1p(-depth)) * density[..., None] * relative)
