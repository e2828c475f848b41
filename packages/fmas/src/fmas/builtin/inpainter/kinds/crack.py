"""A crack: it wanders and branches, dark where no light gets in, with a faint lip that faces the light."""

from __future__ import annotations

import numpy as np

from fmas.builtin.inpainter.filters import blur, smoothstep
from fmas.builtin.inpainter.noise import along
from fmas.builtin.inpainter.paths import backbone
from fmas.builtin.inpainter.strokes import Points, band_around, jagged, resample
from fmas.builtin.inpainter.surface import Surface
from fmas.types import Defect, FloatMap

__all__ = ["render"]


def render(surface: Surface, defect: Defect, intensity: float, rng: np.random.Generator) -> FloatMap:
    """Draw a crack with its branches; see :mod:`fmas.builtin.inpainter.registry`."""
    finest = 2.5 * max(1.0, surface.scale)
    roughness = rng.uniform(0.14, 0.26)
    course = backbone(surface, rng, bow=0.15)
    trunk = resample(jagged(course[:: max(1, len(course) // 6)], rng, roughness=roughness, finest=finest))
    radius = min(rng.uniform(0.45, 0.9) * max(0.9, surface.scale**0.8), max(0.4, 0.25 * surface.reach))
    radius *= 0.75 + 0.25 * min(intensity, 1.0)
    gap = np.zeros(surface.shape, np.float32)
    lip = np.zeros(surface.shape, np.float32)
    _open(gap, lip, surface, trunk, rng, radius=radius, pointed_start=bool(rng.random() < 0.6))
    for _ in range(int(rng.choice([0, 1, 1, 2, 3]))):
        branch = _branch(trunk, rng, roughness=roughness, finest=finest)
        _open(gap, lip, surface, branch, rng, radius=0.55 * radius, pointed_start=False)
    dark = np.float32(min(0.95, surface.depth(intensity, 0.8)))
    change = -dark * gap + 0.22 * dark * lip * (1 - gap)
    return np.asarray(
        surface.base + change[..., None] * (0.5 * surface.base + 0.5 * blur(surface.base, 2.0)), dtype=np.float32
    )


def _branch(trunk: Points, rng: np.random.Generator, *, roughness: float, finest: float) -> Points:
    """Return a line that leaves the trunk at an acute angle."""
    root = int(rng.uniform(0.15, 0.85) * (len(trunk) - 1))
    ahead = trunk[min(root + 12, len(trunk) - 1)] - trunk[max(root - 12, 0)]
    heading = np.arctan2(ahead[1], ahead[0]) + rng.uniform(0.3, 0.8) * (1 if rng.random() < 0.5 else -1)
    length = rng.uniform(0.15, 0.45) * len(trunk) * 0.5
    end = trunk[root] + length * np.array([np.cos(heading), np.sin(heading)])
    return resample(jagged(np.stack([trunk[root], end]), rng, roughness=roughness, finest=finest))


def _open(
    gap: FloatMap,
    lip: FloatMap,
    surface: Surface,
    line: Points,
    rng: np.random.Generator,
    *,
    radius: float,
    pointed_start: bool,
) -> None:
    """Raise ``gap`` and ``lip``, ``(h, w)`` float32 in 0..1, where one line of the crack gapes."""
    band = band_around(line, surface.shape, 2.2 * radius + 3)
    ends = smoothstep(1 - band.t, 0.0, 0.35) * (smoothstep(band.t, 0.0, 0.25) if pointed_start else 1)
    width = radius * (0.35 + 0.65 * ends) * (0.75 + 0.5 * along(band.t, rng, knots=max(4, len(line) // 40)))
    distance = np.abs(band.offset)
    # A gap narrower than a pixel darkens only a part of it.
    open_here = np.exp(-((distance / (width + 0.35)) ** 2)) * np.minimum(1, 0.35 + 1.1 * width) * (0.3 + 0.7 * ends)
    facing = -np.sign(band.offset) * (band.normal_x * surface.light[0] + band.normal_y * surface.light[1])
    edge = np.exp(-(((distance - width - 1.1) / 0.8) ** 2)) * np.clip(facing, 0, 1) * ends
    place = (band.rows, band.columns)
    gap[place] = np.maximum(gap[place], open_here)
    lip[place] = np.maximum(lip[place], edge)
