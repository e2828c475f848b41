"""A misprint: what is printed there appears twice, and the squeegee has smeared ink along its way."""

from __future__ import annotations

import numpy as np

from fmas.builtin.inpainter.filters import blur, displace, smoothstep
from fmas.builtin.inpainter.layers import absorb
from fmas.builtin.inpainter.noise import fractal
from fmas.builtin.inpainter.shapes import blob, coverage
from fmas.builtin.inpainter.surface import Surface
from fmas.types import Defect, FloatMap

__all__ = ["render"]


def render(surface: Surface, defect: Defect, intensity: float, rng: np.random.Generator) -> FloatMap:
    """Print a ghost of what is there and smear it; see :mod:`fmas.builtin.inpainter.registry`."""
    field = blob(surface, rng, fill=(0.75, 1.0), roughness=0.12, detail=1.0)
    size = max(1.0, float(field.max()))
    heading = rng.uniform(0, 2 * np.pi)
    run = (float(np.cos(heading)), float(np.sin(heading)))
    step = max(1.5, rng.uniform(2.0, 5.0) * max(1.0, surface.scale))
    offsets = (np.full(surface.shape, np.float32(part * step)) for part in run)
    ghost = displace(blur(surface.base, 0.6), *offsets)
    inside = coverage(field, max(1.5, 0.1 * size))
    depth = min(0.8, surface.depth(intensity, 0.5))
    # Ink only ever takes light away: of the ghost, what is darker than the surface counts.
    darker = np.minimum(ghost - surface.base, 0) * inside[..., None] * np.float32(min(0.8, depth))
    smear = _streaks(surface, rng, run, step) * inside
    return np.asarray(absorb(surface, smear, depth, (1.1, 1.0, 0.9)) + darker, dtype=np.float32)


def _streaks(surface: Surface, rng: np.random.Generator, run: tuple[float, float], step: float) -> FloatMap:
    """Return a field drawn out along ``run``, ``(h, w)`` float32 in about 0..1, the way ink smears."""
    spots = fractal(surface.shape, rng, cell=max(2.5, 1.2 * step), octaves=3, persistence=0.6)
    smeared = np.zeros(surface.shape, np.float32)
    pulls = 13
    for index in range(pulls):
        shift = (index / (pulls - 1) - 0.5) * 9 * step
        offsets = (np.full(surface.shape, np.float32(part * shift)) for part in run)
        smeared += displace(spots[..., None], *offsets)[..., 0]
    smeared /= pulls
    spread = max(float(smeared.std()), 1e-6)
    return 0.5 + 0.5 * smoothstep(smeared / spread, -1.0, 2.0)
