"""A hole, pit or blowhole: an irregular outline, a shaded wall, a dark floor with little texture."""

from __future__ import annotations

import numpy as np

from fmas.builtin.inpainter.cavity import carve
from fmas.builtin.inpainter.paths import random_place
from fmas.builtin.inpainter.shapes import disc
from fmas.builtin.inpainter.surface import Surface
from fmas.types import Defect, FloatMap

__all__ = ["render"]


def render(surface: Surface, defect: Defect, intensity: float, rng: np.random.Generator) -> FloatMap:
    """Sink one pit, sometimes with smaller ones beside it; see :mod:`fmas.builtin.inpainter.registry`."""
    place = random_place(surface, rng, deep=0.75)
    radius = float(rng.uniform(0.45, 0.9) * surface.room[int(place[1]), int(place[0])])
    # A photograph of a part with one huge pit is rare: large regions get a pit of moderate size.
    radius = min(radius, rng.uniform(5, 20) * max(1.0, surface.scale))
    field = disc(
        surface,
        rng,
        x=place[0],
        y=place[1],
        radius=radius,
        aspect=rng.uniform(1.0, 2.0),
        roughness=rng.uniform(0.08, 0.22),
    )
    for _ in range(int(rng.choice([0, 0, 0, 1, 2]))):
        spot = random_place(surface, rng, deep=0.3)
        small = radius * rng.uniform(0.2, 0.45)
        if small > 0.9 * surface.scale:
            field = np.maximum(field, disc(surface, rng, x=spot[0], y=spot[1], radius=small, aspect=1.3, roughness=0.2))
    dark = min(0.92, surface.depth(intensity, 0.68))
    return carve(
        surface,
        rng,
        field,
        dark=dark,
        wall=max(1.5, rng.uniform(0.25, 0.5) * radius),
        relief=0.35 * dark,
        keep_texture=float(np.clip(0.9 - 1.5 * intensity, 0.15, 0.9)),
        mottle=min(0.22, 0.5 * dark),
    )
