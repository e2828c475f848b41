"""A stain: something dried, soaked in or grew on the surface; it absorbs, and the texture shows through.

How a substance spreads decides the outline (rings, soaked edges, colonies, splashes, runs, smears), what it is the
colour; both are named by the defect's words or drawn. Light residues (lime, salt) scatter instead.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

import numpy as np

from fmas.builtin.inpainter.filters import blur, smoothstep
from fmas.builtin.inpainter.lay import relief_of
from fmas.builtin.inpainter.layers import Absorbance, absorb, busy, scatter, share_of_light
from fmas.builtin.inpainter.noise import along, fractal, streaks
from fmas.builtin.inpainter.shapes import blob, coverage, fitted, scattered
from fmas.builtin.inpainter.strokes import band_around
from fmas.builtin.inpainter.surface import Surface
from fmas.builtin.inpainter.words import mentioned
from fmas.types import Defect, FloatMap

__all__ = ["ABSORBANCE", "render"]

ABSORBANCE = MappingProxyType(
    {
        "rust": (0.45, 1.0, 1.55),
        "corro": (0.5, 1.0, 1.5),
        "oil": (0.75, 0.95, 1.3),
        "grease": (0.8, 0.95, 1.25),
        "coffee": (0.6, 1.0, 1.4),
        "tea": (0.65, 1.0, 1.35),
        "wine": (0.6, 1.3, 1.1),
        "burn": (0.8, 1.0, 1.2),
        "ink": (1.25, 1.1, 0.65),
        "water": (1.0, 1.0, 1.0),
        "mold": (1.05, 0.85, 1.1),
        "mould": (1.05, 0.85, 1.1),
        "blood": (0.35, 1.3, 1.35),
        "soot": (1.0, 1.0, 1.0),
    }
)
"""How much of red, green and blue a substance absorbs, relative to its mean: beginnings of words."""

_UNNAMED: tuple[Absorbance, ...] = (
    (0.7, 0.95, 1.35),
    (1.0, 1.0, 1.0),
    (0.85, 1.0, 1.15),
    (1.15, 1.0, 0.85),
    (0.55, 1.0, 1.45),
)
_PALE = MappingProxyType(dict.fromkeys(("lime", "salt", "scale", "chalk", "white", "residue", "powder", "milk"), True))


def render(surface: Surface, defect: Defect, intensity: float, rng: np.random.Generator) -> FloatMap:
    """Stain the surface; see :mod:`fmas.builtin.inpainter.registry`."""
    surface = surface.opened()  # it runs out over the picture's border and the product's outline
    ways = (_dried, _dried, _dried, _soaked, _soaked, _corroded, _corroded, _splashed, _smeared, _run)
    chance = int(rng.integers(len(ways)))
    spread = mentioned(defect, _SPREADING) or ways[chance]
    colour, luck = _UNNAMED[int(rng.integers(len(_UNNAMED)))], rng.random()
    named = mentioned(defect, ABSORBANCE)
    # Dirt darkens; on something dark already, residue is what shows.
    pale = mentioned(defect, _PALE) or (
        named is None and luck < np.interp(surface.level, [30, 60, 90, 190], [1.0, 0.5, 0.2, 0])
    )
    density = spread(surface, rng)
    if pale:
        return scatter(surface, density, surface.depth(intensity, 0.75), (1.0, 1.0, 0.96))
    full = rng.uniform(0.45, 0.7) * busy(surface)
    wet = 0.5 * min(1.0, intensity) if spread is _soaked else 0.0
    return absorb(surface, density, share_of_light(surface.depth(intensity, full), 0.88), named or colour, wet=wet)


def _size(field: FloatMap) -> float:
    return max(1.0, float(field.max()))


def _creep(surface: Surface, field: FloatMap, rng: np.random.Generator, share: float) -> FloatMap:
    """Let an outline give way to the surface: liquid runs on in the joints and stops at what stands out."""
    size = _size(field)
    return fitted(surface, rng, field - np.float32(share * size) * relief_of(surface, 0.25 * size))


def _dried(surface: Surface, rng: np.random.Generator) -> FloatMap:
    """A puddle that dried from its edge: what it held was carried there, once or in several tides."""
    field = blob(surface, rng, fill=(0.5, 1.0), roughness=rng.uniform(0.1, 0.3), detail=rng.uniform(0.8, 1.4))
    field = _creep(surface, field, rng, rng.uniform(0.0, 0.12))
    size = _size(field)
    tide = float(np.clip(rng.uniform(0.03, 0.13) * size, 0.8, 6 * max(1.0, surface.scale)))
    uneven = fractal(surface.shape, rng, cell=max(4.0, 1.1 * size), octaves=2)
    cloud = fractal(surface.shape, rng, cell=max(4.0, 0.8 * size), octaves=4, persistence=0.55)
    ring = np.exp(-np.maximum(field, 0) / np.float32(tide)) * np.clip(0.8 + 0.5 * uneven, 0.2, 1.3)
    body = np.clip(rng.uniform(0.3, 0.6) + 0.22 * cloud, 0.18, 1)
    for _ in range(int(rng.choice([0, 0, 1, 2]))):
        line = field - np.float32(rng.uniform(0.2, 0.6) * size) - np.float32(0.12 * size) * uneven
        # Sharp outside, as every tide's mark is.
        ring = ring + np.float32(rng.uniform(0.2, 0.5)) * np.exp(-np.abs(line) / np.float32(0.7 * tide)) * (line > -1)
    return np.asarray(
        coverage(field, max(1.2, 0.5 * tide)) * (body + np.float32(rng.uniform(0.3, 0.7)) * ring), dtype=np.float32
    )


def _soaked(surface: Surface, rng: np.random.Generator) -> FloatMap:
    """Oil drawn into the surface: a dark heart, an edge that gives way to the texture, hardly any rim."""
    field = blob(surface, rng, fill=(0.6, 1.0), roughness=rng.uniform(0.15, 0.35), detail=1.2)
    field = _creep(surface, field, rng, rng.uniform(0.1, 0.3))
    size = _size(field)
    cloud = fractal(surface.shape, rng, cell=max(4.0, 1.3 * size), octaves=3)
    edge = rng.uniform(0.15, 0.5) * size
    return np.asarray(
        smoothstep(field, 0.0, max(1.5, edge)) * np.clip(0.75 + 0.18 * cloud, 0.4, 1.1)
        + 0.25 * smoothstep(field + 0.1 * np.float32(size) * cloud, 0.35 * size, 0.9 * size),
        dtype=np.float32,
    )


def _corroded(surface: Surface, rng: np.random.Generator) -> FloatMap:
    """Rust or mould: colonies that grew together, porous and uneven, in a stained halo."""
    field = blob(surface, rng, fill=(0.6, 1.0), roughness=rng.uniform(0.25, 0.45), detail=0.8)
    size = _size(field)
    colonies = fractal(surface.shape, rng, cell=max(3.0, rng.uniform(0.35, 0.7) * size), octaves=5, persistence=0.68)
    pores = fractal(surface.shape, rng, cell=max(2.0, 2.4 * surface.scale), octaves=2, persistence=0.6)
    inwards = np.clip(field / np.float32(0.7 * size), -1, 1)
    crust = smoothstep(colonies + np.float32(1.1) * inwards, 0.15, 0.75)
    halo = smoothstep(field + np.float32(0.15 * size) * colonies, 0.0, 0.45 * size)
    density = crust * (0.72 + 0.22 * pores + 0.15 * colonies) + 0.3 * halo
    return np.asarray(np.clip(density, 0, 1.3) * coverage(field, 2.0), dtype=np.float32)


def _splashed(surface: Surface, rng: np.random.Generator) -> FloatMap:
    """Ink, paint or blood: one mark or many, sharp, with droplets thrown around it."""
    field = blob(surface, rng, fill=(0.25, 0.75), roughness=rng.uniform(0.2, 0.4), detail=rng.uniform(0.6, 1.0))
    size = _size(field)
    row, column = divmod(int(np.argmax(field)), surface.shape[1])
    throw = rng.normal(0, 0.7 * size, 2)
    droplets = scattered(
        surface,
        rng,
        count=int(rng.integers(0, 22)),
        centre=(column + throw[0], row + throw[1]),
        spread=1.2 * size,
        radius=(max(0.9, 0.05 * size), max(1.0, 0.3 * size)),
    )
    field = np.maximum(field, droplets)
    cloud = fractal(surface.shape, rng, cell=max(3.0, size), octaves=3)
    edge = np.exp(-np.maximum(field, 0) / np.float32(max(1.0, 0.08 * size)))
    sharp = rng.uniform(1.1, 1.8)
    return np.asarray(coverage(field, sharp) * (0.8 + 0.14 * cloud + rng.uniform(0, 0.25) * edge), dtype=np.float32)


def _run(surface: Surface, rng: np.random.Generator) -> FloatMap:
    """A leak that ran down: narrow tracks, faint at the head, with a bead at the foot where the last of it dried."""
    rows, columns = np.flatnonzero(surface.region.any(axis=1)), np.flatnonzero(surface.region.any(axis=0))
    from_above = rng.random() < 0.6 and bool((surface.room[rows[0], columns] > 2.0).any())
    density = np.zeros(surface.shape, np.float32)
    tall, wide = float(rows.size), float(columns.size)
    middle = columns[0] + wide * rng.uniform(0.35, 0.65)
    for index in range(int(rng.choice([1, 1, 2, 3]))):
        half = max(0.9, float(min(rng.uniform(0.03, 0.1) * min(wide, tall), 7 * max(1.0, surface.scale))))
        half *= 1 if index == 0 else rng.uniform(0.4, 0.8)
        ends = rows[0] + tall * np.array([rng.uniform(0.08, 0.3), rng.uniform(0.5, 0.88)])
        if from_above:
            ends[0] = rows[0] - 0.4 * tall
        t = np.linspace(0, 1, 48, dtype=np.float32)
        sway = (along(t, rng, knots=3) - 0.5) * 2.2 * half + (along(t, rng, knots=11) - 0.5) * 0.8 * half
        x = middle + (0 if index == 0 else rng.uniform(-0.3, 0.3) * wide) + sway
        band = band_around(np.stack([x, ends[0] + t * (ends[1] - ends[0])], axis=1), surface.shape, 1.8 * half + 2)
        girth = half * (0.5 + 0.4 * along(band.t, rng, knots=7) + 0.55 * smoothstep(band.t, 0.82, 1.0))
        inner = np.asarray(girth - np.abs(band.offset), dtype=np.float32)
        ring = np.exp(-np.maximum(inner, 0) / max(0.8, 0.3 * half))
        pooled = 0.4 + 0.35 * along(band.t, rng, knots=5) + 0.35 * smoothstep(band.t, 0.8, 1.0)
        track = smoothstep(inner, -0.8, 0.8) * smoothstep(band.t, 0.0, 0.35) * (pooled + 0.3 * ring)
        place = (band.rows, band.columns)
        density[place] = np.maximum(density[place], track)
    cloud = fractal(surface.shape, rng, cell=max(4.0, 0.3 * tall), octaves=4)
    kept = smoothstep(surface.room, 0.0, 3.0)
    return np.asarray(density * kept * np.clip(1 + 0.25 * cloud, 0.4, 1.5), dtype=np.float32)


def _smeared(surface: Surface, rng: np.random.Generator) -> FloatMap:
    """Grease or dirt wiped over the surface: streaks that run out along the wipe."""
    field = blob(surface, rng, fill=(0.6, 1.0), roughness=rng.uniform(0.1, 0.25), detail=1.2)
    size = _size(field)
    frame = surface.frame
    angle = float(np.arctan2(frame.uy, frame.ux) + rng.normal(0, 0.35))
    lines = streaks(
        surface.shape, rng, angle=angle, width=max(2.0, rng.uniform(0.12, 0.3) * size), length=max(8.0, 4 * size)
    )
    # Thin at the ends of the wipe: where the outline is near, only the fullest streaks are left.
    fullness = smoothstep(field, 0.0, max(2.0, 0.8 * size))
    film = smoothstep(lines + 1.6 * fullness, 0.55, 1.7)
    return np.asarray(blur(film * fullness**0.5, 0.6) * np.clip(0.8 + 0.3 * lines, 0.2, 1.2), dtype=np.float32)


_SPREADING: MappingProxyType[str, Callable[[Surface, np.random.Generator], FloatMap]] = MappingProxyType(
    {
        "drip": _run,
        "leak": _run,
        "run": _run,
        "streak": _run,
        "smear": _smeared,
        "smudge": _smeared,
        "wip": _smeared,
        "finger": _smeared,
        "splash": _splashed,
        "splatter": _splashed,
        "spatter": _splashed,
        "ring": _dried,
        "rust": _corroded,
        "corro": _corroded,
        "mold": _corroded,
        "mould": _corroded,
        "oil": _soaked,
        "grease": _soaked,
        "fuel": _soaked,
        "burn": _soaked,
        "soot": _soaked,
        "water": _dried,
        "coffee": _dried,
        "tea": _dried,
        "wine": _dried,
        "lime": _dried,
        "salt": _dried,
        "ink": _splashed,
        "paint": _splashed,
        "blood": _splashed,
    }
)
