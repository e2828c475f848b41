"""Contamination: a fibre, dust, a drop or a turning that lies on the surface and throws a shadow."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from fmas.builtin.inpainter.filters import blur, displace, smoothstep
from fmas.builtin.inpainter.noise import fractal
from fmas.builtin.inpainter.paths import random_place
from fmas.builtin.inpainter.shapes import coverage, disc
from fmas.builtin.inpainter.strands import lay_strand, loose_course
from fmas.builtin.inpainter.strokes import smoothed
from fmas.builtin.inpainter.surface import Surface
from fmas.builtin.inpainter.words import mentioned
from fmas.types import Defect, FloatMap

__all__ = ["render"]


def render(surface: Surface, defect: Defect, intensity: float, rng: np.random.Generator) -> FloatMap:
    """Drop something on the surface: what the words name, else any; see :mod:`fmas.builtin.inpainter.registry`."""
    chance = int(rng.integers(4))
    paint = mentioned(defect, _WORDS) or (_fibre, _dust, _drop, _swarf)[chance]
    return paint(surface, intensity, rng)


def _thickness(surface: Surface, rng: np.random.Generator, least: float, most: float) -> float:
    return float(min(rng.uniform(least, most) * max(0.9, surface.scale**0.8), max(0.5, 0.35 * surface.reach)))


def _matter(surface: Surface, intensity: float, rng: np.random.Generator, full: float) -> FloatMap:
    """Return the colour of the thing, ``(C,)`` float32: lighter or darker than the surface, where there is room."""
    lighter = rng.random() < np.clip((200 - surface.level) / 140, 0.1, 0.8)
    depth = surface.depth(intensity, full)
    grey = min(250.0, surface.level * (1 + 1.3 * depth)) if lighter else surface.level * (1 - min(0.9, depth))
    channels = surface.base.shape[2]
    if channels == 1:
        return np.full(1, grey, np.float32)
    tint = 1 + rng.uniform(-0.18, 0.18, channels) * surface.colour
    return np.asarray((grey * tint), dtype=np.float32)


def _fibre(surface: Surface, intensity: float, rng: np.random.Generator) -> FloatMap:
    course = loose_course(surface, rng)
    painted = surface.base.copy()
    radius = _thickness(surface, rng, 0.55, 1.0)
    lay_strand(
        painted,
        surface,
        course,
        rng,
        radius=radius,
        tint=_matter(surface, intensity, rng, 0.6),
        opacity=min(0.95, 0.5 + 0.7 * intensity),
        shadow=min(0.45, 0.1 + 0.45 * intensity),
        gloss=0.2 * min(intensity, 1.0),
        lift=(0.8 + radius) * min(1.0, 0.4 + intensity),
        end_taper=0.06,
    )
    return painted


def _swarf(surface: Surface, intensity: float, rng: np.random.Generator) -> FloatMap:
    """Lay down a curled turning: half a turn or so of a bright, sharp-edged ribbon."""
    place = random_place(surface, rng, deep=0.7)
    curl = float(surface.room[int(place[1]), int(place[0])]) * rng.uniform(0.45, 0.75)
    curl = max(1.0, min(curl, rng.uniform(10, 22) * max(1.0, surface.scale)))
    turn = np.linspace(0, rng.uniform(2.2, 5.0), 24) + rng.uniform(0, 2 * np.pi)
    spiral = curl * np.linspace(1.0, rng.uniform(0.45, 0.8), 24)
    course = place + np.stack([np.cos(turn), rng.uniform(0.5, 1.0) * np.sin(turn)], axis=1) * spiral[:, None]
    depth = surface.depth(intensity, 0.6)
    metal = np.full(1, min(245.0, surface.level * (1 + depth)), np.float32)
    painted = surface.base.copy()
    radius = min(_thickness(surface, rng, 1.0, 2.2), 0.45 * curl + 0.3)
    lay_strand(
        painted,
        surface,
        smoothed(course, 1),
        rng,
        radius=radius,
        tint=metal,
        opacity=min(0.95, 0.5 + 0.7 * intensity),
        shadow=min(0.45, 0.1 + 0.45 * intensity),
        gloss=min(0.7, 0.8 * depth),
        lift=(0.6 * radius + 0.8) * min(1.0, 0.4 + intensity),
        end_taper=0.3,
    )
    return painted


def _dust(surface: Surface, intensity: float, rng: np.random.Generator) -> FloatMap:
    """Scatter a few crumbs round one place."""
    centre = random_place(surface, rng, deep=0.6)
    largest = max(0.9, min(0.3 * surface.reach, rng.uniform(2.5, 6.0) * max(1.0, surface.scale)))
    spread = max(0.5, 0.55 * surface.reach)
    field = np.full(surface.shape, -1e3, np.float32)
    for index in range(int(rng.integers(3, 9))):
        offset = rng.normal(0, 0.5, 2).clip(-1, 1) * spread * (index > 0)
        radius = max(0.8, largest * (1.0 if index == 0 else rng.uniform(0.25, 0.8)))
        _heap(field, centre + offset, radius, rng)
    bumps = fractal(surface.shape, rng, cell=max(2.0, largest), octaves=3, persistence=0.6)
    field = np.minimum(field + np.float32(0.35 * largest) * bumps, surface.room - 0.5)
    crumb = 1 + np.float32(min(0.25, 0.3 * surface.depth(intensity, 0.5))) * bumps
    matter = _matter(surface, intensity, rng, 0.55) * crumb[..., None]
    return _placed(surface, field, matter, height=0.5 * largest, shadow=0.35 * min(1.0, 0.3 + intensity))


def _heap(
    field: FloatMap, centre: np.ndarray[tuple[int, ...], np.dtype[np.float64]], radius: float, rng: np.random.Generator
) -> None:
    """Raise a signed distance field, ``(h, w)`` float32, by one elliptic crumb; only its surroundings are touched."""
    squeeze, reach = rng.uniform(0.6, 1.0), int(2 * radius) + 3
    x, y = int(centre[0]), int(centre[1])
    window = (slice(max(0, y - reach), max(0, y + reach + 1)), slice(max(0, x - reach), max(0, x + reach + 1)))
    height, width = field[window].shape
    dx = np.arange(width)[None, :] + (window[1].start - centre[0])
    dy = np.arange(height)[:, None] + (window[0].start - centre[1])
    local = radius - np.hypot(dx, dy / squeeze)
    field[window] = np.maximum(field[window], local)


def _placed(surface: Surface, field: FloatMap, matter: FloatMap, *, height: float, shadow: float) -> FloatMap:
    """Put an opaque thing with outline ``field`` on the surface, with the shadow at its foot."""
    cover = coverage(field, 1.2)
    dx, dy = (np.full(surface.shape, np.float32(part * (height + 0.6))) for part in surface.light)
    cast = blur(displace(cover[..., None], dx, dy), 0.6 + 0.3 * height)
    painted = surface.base * (1 - np.float32(shadow) * cast)
    return np.asarray(painted + cover[..., None] * (matter - painted), dtype=np.float32)


def _drop(surface: Surface, intensity: float, rng: np.random.Generator) -> FloatMap:
    """Let a clear drop stand: it magnifies, is dark towards the light and gathers it on the far side."""
    place = random_place(surface, rng, deep=0.75)
    radius = float(surface.room[int(place[1]), int(place[0])]) * rng.uniform(0.5, 0.85)
    radius = max(1.0, min(radius, rng.uniform(12, 30) * max(1.0, surface.scale)))
    field = disc(surface, rng, x=place[0], y=place[1], radius=radius, aspect=rng.uniform(1.0, 1.25), roughness=0.07)
    height, width = surface.shape
    dx = np.broadcast_to((np.arange(width) - place[0])[None, :], surface.shape).astype(np.float32)
    dy = np.broadcast_to((np.arange(height) - place[1])[:, None], surface.shape).astype(np.float32)
    dome = smoothstep(field, 0.0, radius)
    cover = coverage(field, 1.4)
    lens = np.float32(0.45 * min(1.0, intensity)) * dome
    inside = displace(surface.base, -dx * lens, -dy * lens)
    depth = np.float32(surface.depth(intensity, 0.6))
    towards = (dx * np.float32(surface.light[0]) + dy * np.float32(surface.light[1])) / np.float32(radius)
    rim = np.exp(-((field / np.float32(max(1.0, 0.16 * radius))) ** 2))
    shade = -depth * (0.55 * towards * (1 - 0.4 * dome) + 0.3 * rim)
    spot = np.exp(
        -((dx - 0.42 * radius * surface.light[0]) ** 2 + (dy - 0.42 * radius * surface.light[1]) ** 2)
        / np.float32(2 * max(0.6, 0.1 * radius) ** 2)
    ).astype(np.float32)
    lit = inside * (1 + shade)[..., None]
    lit += (depth * spot)[..., None] * np.float32(max(0.0, 250 - surface.level))
    return _placed(
        surface,
        field,
        lit * cover[..., None] + surface.base * (1 - cover[..., None]),
        height=0.2 * radius,
        shadow=float(0.4 * depth),
    )


_WORDS = MappingProxyType(
    {
        "fib": _fibre,
        "hair": _fibre,
        "thread": _fibre,
        "lint": _fibre,
        "swarf": _swarf,
        "shaving": _swarf,
        "turning": _swarf,
        "metal": _swarf,
        "drop": _drop,
        "liquid": _drop,
        "water": _drop,
        "oil": _drop,
        "dust": _dust,
        "particle": _dust,
        "dirt": _dust,
        "debris": _dust,
        "crumb": _dust,
    }
)
