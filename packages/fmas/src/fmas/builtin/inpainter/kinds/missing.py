"""A missing part: where something sat there is an empty seat, smooth, recessed and in shadow."""

from __future__ import annotations

import numpy as np

from fmas.builtin.inpainter.cavity import carve
from fmas.builtin.inpainter.shapes import blob
from fmas.builtin.inpainter.surface import Surface
from fmas.types import Defect, FloatMap

__all__ = ["render"]


def render(surface: Surface, defect: Defect, intensity: float, rng: np.random.Generator) -> FloatMap:
    """Leave an empty seat with clean edges; see :mod:`fmas.builtin.inpainter.registry`."""
    field = blob(surface, rng, fill=(0.75, 0.95), roughness=0.05, detail=1.5, longest=2.5)
    size = max(1.0, float(field.max()))
    dark = min(0.85, surface.depth(intensity, 0.42))
    return carve(
        surface,
        rng,
        field,
        dark=dark,
        wall=max(1.5, min(0.2 * size, 5.0 * max(1.0, surface.scale))),
        relief=0.8 * dark,
        keep_texture=float(np.clip(0.85 - 1.5 * intensity, 0.0, 0.85)),
        mottle=0.06,
    )
