"""A scratch: a groove with a lit and a shaded flank, tapered, sometimes broken, sometimes one of several."""

from __future__ import annotations

import numpy as np

from fmas.builtin.inpainter.filters import blur, smoothstep
from fmas.builtin.inpainter.noise import along
from fmas.builtin.inpainter.paths import backbone
from fmas.builtin.inpainter.strands import taper
from fmas.builtin.inpainter.strokes import Points, band_around, resample
from fmas.builtin.inpainter.surface import Surface
from fmas.types import Defect, FloatMap

__all__ = ["render"]


def render(surface: Surface, defect: Defect, intensity: float, rng: np.random.Generator) -> FloatMap:
    """Draw one scratch, or a few that run side by side; see :mod:`fmas.builtin.inpainter.registry`."""
    spine = resample(backbone(surface, rng, bow=0.1))
    sigma = min(rng.uniform(0.5, 1.0) * max(0.9, surface.scale**0.8), max(0.45, 0.22 * surface.reach))
    # Fresh metal gleams in its groove, a groove in something matt is dark.
    body = rng.uniform(0.5, 0.9) * (1 if rng.random() < 0.5 and surface.level < 200 else -1)
    count = int(rng.choice([1, 1, 1, 2, 3]))
    relief = np.zeros(surface.shape, np.float32)
    for index in range(count):
        line = spine if index == 0 else _beside(spine, rng, sigma)
        fade = 1.0 if index == 0 else rng.uniform(0.4, 0.8)
        _cut(relief, surface, line, rng, sigma=sigma * (0.7 + 0.3 * fade), body=body, strength=fade)
    depth = surface.depth(intensity, 0.6)
    return surface.base + np.float32(depth) * relief[..., None] * blur(surface.base, 2.0 * sigma)


def _beside(spine: Points, rng: np.random.Generator, sigma: float) -> Points:
    """Return a part of a line, moved sideways and turned a little."""
    first, last = sorted(rng.uniform(0, 1, 2))
    span = slice(int(first * 0.6 * len(spine)), max(int((0.4 + 0.6 * last) * len(spine)), 4))
    direction = spine[-1] - spine[0]
    direction /= max(float(np.hypot(*direction)), 1e-9)
    across = np.array([-direction[1], direction[0]]) * rng.uniform(3, 9) * sigma * (1 if rng.random() < 0.5 else -1)
    part = spine[span]
    drift = np.linspace(0.7, 1.3, len(part))[:, None]
    return part + across * drift


def _cut(
    relief: FloatMap,
    surface: Surface,
    line: Points,
    rng: np.random.Generator,
    *,
    sigma: float,
    body: float,
    strength: float,
) -> None:
    """Add the relative brightness of one groove to ``relief``, ``(h, w)`` float32."""
    band = band_around(line, surface.shape, 4 * sigma + 1)
    pressure = taper(band.t, 0.25) * (0.5 + 0.5 * along(band.t, rng, knots=6))
    gaps = along(band.t, rng, knots=14)
    if rng.random() < 0.4:
        pressure *= smoothstep(gaps, 0.2, 0.4)
    width = sigma * (0.55 + 0.45 * pressure)
    across = band.offset / width
    core = np.exp(-0.5 * across**2)
    # The wall on the right of the course rises to the right: it faces the light when that comes from the left.
    lit = -(band.normal_x * surface.light[0] + band.normal_y * surface.light[1])
    flanks = 1.65 * across * core * lit
    # Material pushed up on both sides.
    ridge = 0.18 * np.exp(-0.5 * ((np.abs(across) - 2.2) / 0.7) ** 2)
    relief[band.rows, band.columns] += np.float32(strength) * pressure * (0.6 * flanks + body * core + ridge)
