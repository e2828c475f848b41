"""A misprint: a ghost beside the print, a colour out of register, ink missing, a streak of the blade, smeared ink.

The first three need something printed there, which shows as contrast; on a plain surface ink is where none belongs.
"""

from __future__ import annotations

import numpy as np

from fmas.builtin.inpainter.filters import blur, displace, mean_channel, smoothstep
from fmas.builtin.inpainter.lay import foreign_grain
from fmas.builtin.inpainter.layers import Absorbance, absorb, lightens, scatter, share_of_light
from fmas.builtin.inpainter.noise import along, fractal, streaks
from fmas.builtin.inpainter.shapes import blob, coverage, scattered
from fmas.builtin.inpainter.surface import Surface
from fmas.types import Defect, FloatMap

__all__ = ["render"]

_INKS: tuple[Absorbance, ...] = ((1.0, 1.0, 1.0), (1.6, 0.9, 0.5), (0.4, 1.5, 1.1), (0.3, 0.5, 2.2), (1.1, 1.0, 0.9))
"""Black, cyan, magenta, yellow and a dark blue-black."""

_PRINTED = 0.1
"""Contrast, as a share of the brightness, from which on there is something printed to get wrong."""


def render(surface: Surface, defect: Defect, intensity: float, rng: np.random.Generator) -> FloatMap:
    """Print badly; see :mod:`fmas.builtin.inpainter.registry`."""
    field = blob(surface, rng, fill=(0.75, 1.0), roughness=rng.uniform(0.08, 0.25), detail=1.0)
    size = max(1.0, float(field.max()))
    chance, ink = rng.random(), _INKS[int(rng.integers(len(_INKS)))]
    inside = field > 0
    printed = float(blur(mean_channel(surface.base), 1.0)[inside].std()) if inside.any() else 0.0
    if printed > _PRINTED * max(surface.level, 40.0):
        if chance < 0.45:
            return _doubled(surface, intensity, rng, field, size)
        if chance < 0.75:
            return _starved(surface, intensity, rng, field, size)
    if chance < 0.35:
        return _streaked(surface, intensity, rng, ink)
    return _smeared(surface, intensity, rng, field, ink=ink)


def _shift(surface: Surface, rng: np.random.Generator) -> tuple[float, float]:
    angle, step = rng.uniform(0, 2 * np.pi), max(1.5, rng.uniform(1.8, 5.5) * max(1.0, surface.scale))
    return float(step * np.cos(angle)), float(step * np.sin(angle))


def _doubled(surface: Surface, intensity: float, rng: np.random.Generator, field: FloatMap, size: float) -> FloatMap:
    """Print it twice, the second time beside the first; in colour, often one ink alone is out of place."""
    run = _shift(surface, rng)
    reach = min(1.0, 0.5 + 0.35 * intensity)
    ghost = displace(blur(surface.base, 0.5), *(np.full(surface.shape, np.float32(part * reach)) for part in run))
    patch = smoothstep(field, 0.0, max(2.0, 0.3 * size))[..., None]
    share = np.ones(surface.base.shape[2], np.float32)
    if share.size == 3 and rng.random() < 0.5 * surface.colour:
        share[:] = 0.15
        share[int(rng.integers(3))] = 1.0
    depth = np.float32(share_of_light(0.2 + 0.8 * surface.depth(intensity, 0.6), 0.95))
    # Ink only ever takes light away: of the ghost, what is darker than the surface counts.
    darker = np.minimum(ghost - surface.base, 0) * (patch * share * min(np.float32(0.9), depth))
    # A second impression lays a little ink everywhere.
    film = np.clip(0.6 + 0.35 * fractal(surface.shape, rng, cell=max(4.0, size), octaves=4), 0.3, 1) * patch[..., 0]
    return np.asarray(absorb(surface, film, 0.28 * float(depth), (1.0, 1.0, 1.0)) + darker, dtype=np.float32)


def _starved(surface: Surface, intensity: float, rng: np.random.Generator, field: FloatMap, size: float) -> FloatMap:
    """Leave ink out: the ground shows through in voids, drawn out along the print's run."""
    angle = float(rng.choice([0.0, np.pi / 2])) + rng.normal(0, 0.05)
    voids = streaks(surface.shape, rng, angle=angle, width=max(2.0, rng.uniform(0.12, 0.4) * size), length=3 * size)
    pits = fractal(surface.shape, rng, cell=max(2.0, 3.0 * surface.scale), octaves=3, persistence=0.7)
    patch = smoothstep(field, 0.0, max(2.0, 0.4 * size))
    gone = smoothstep(voids + 0.15 * pits + 1.3 * patch, 0.75, 1.35) * patch
    inside = field > 0
    # The unprinted ground is the brightest thing about.
    ground = np.percentile(surface.base[inside if inside.any() else surface.region], 92, axis=0).astype(np.float32)
    bare = ground * (1 + np.float32(0.03) * pits)[..., None] + foreign_grain(surface, rng)
    share = np.float32(share_of_light(0.1 + 0.75 * surface.depth(intensity, 0.85), 0.95))
    return np.asarray(surface.base + gone[..., None] * share * (bare - surface.base), dtype=np.float32)


def _streaked(surface: Surface, intensity: float, rng: np.random.Generator, ink: Absorbance) -> FloatMap:
    """Draw the lines a nicked blade leaves: straight, thin, parallel, fading in and out."""
    frame = surface.frame
    height, width = surface.shape
    upright = rng.random() < 0.5
    dx = np.arange(width, dtype=np.float32)[None, :] - np.float32(frame.x)
    dy = np.arange(height, dtype=np.float32)[:, None] - np.float32(frame.y)
    lean = np.float32(rng.normal(0, 0.03))
    across, run = (dx + lean * dy, dy - lean * dx) if upright else (dy + lean * dx, dx - lean * dy)
    half = 0.5 * (height if upright else width)
    density = np.zeros(surface.shape, np.float32)
    for index in range(int(rng.choice([1, 1, 2, 3, 5]))):
        girth = max(0.6, rng.uniform(0.4, 1.6) * max(1.0, surface.scale))
        place = np.float32(rng.uniform(-0.25, 0.25) * (width if upright else height)) * np.float32(min(1, 0.4 + index))
        t = np.clip(run / np.float32(2 * half) + 0.5, 0, 1).astype(np.float32)
        flow = np.clip(0.4 + 0.8 * along(t.ravel(), rng, knots=8).reshape(t.shape), 0, 1)
        density = np.maximum(density, smoothstep(np.float32(girth) - np.abs(across - place), -0.7, 0.7) * flow)
    density = density * smoothstep(surface.room, 0.5, max(2.0, 0.35 * surface.reach))
    return _inked(surface, density, surface.depth(intensity, 0.65), ink, lighter=lightens(surface, rng, 0.25))


def _smeared(
    surface: Surface, intensity: float, rng: np.random.Generator, field: FloatMap, *, ink: Absorbance
) -> FloatMap:
    """Smear wet ink along the squeegee's way, with a few splashes."""
    size = max(1.0, float(field.max()))
    angle = float(rng.uniform(0, np.pi))
    step = max(2.0, rng.uniform(2.0, 5.0) * max(1.0, surface.scale))
    lines = streaks(surface.shape, rng, angle=angle, width=step, length=max(10.0, 2.5 * size))
    patch = smoothstep(field, 0.0, max(2.0, 0.7 * size))
    film = smoothstep(lines + 1.5 * patch, 0.1, 1.9) * patch**0.5
    row, column = divmod(int(np.argmax(field)), surface.shape[1])
    spots = scattered(
        surface,
        rng,
        count=int(rng.integers(0, 14)),
        centre=(column, row),
        spread=0.6 * size,
        radius=(max(0.8, 0.8 * surface.scale), max(1.2, 0.1 * size)),
    )
    rough = fractal(surface.shape, rng, cell=max(2.0, 0.2 * size), octaves=3)
    density = np.maximum(
        film * np.clip(0.75 + 0.3 * lines, 0.2, 1.2), 0.9 * coverage(spots + np.float32(0.06 * size) * rough, 1.3)
    )
    return _inked(surface, density, surface.depth(intensity, 0.55), ink, lighter=lightens(surface, rng, 0.05))


def _inked(surface: Surface, density: FloatMap, depth: float, ink: Absorbance, *, lighter: bool) -> FloatMap:
    if lighter:
        return scatter(surface, density, depth, (1.0, 1.0, 1.0))
    return absorb(surface, density, share_of_light(depth), ink)
