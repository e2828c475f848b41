"""Contamination: fibres, dust, drops, turnings or flakes that lie on the surface, each with its texture and shadow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from fmas.builtin.inpainter.filters import blur, displace, smoothstep
from fmas.builtin.inpainter.lay import foreign_grain
from fmas.builtin.inpainter.noise import fractal
from fmas.builtin.inpainter.paths import random_place
from fmas.builtin.inpainter.shapes import coverage, disc, facets, fitted, scattered
from fmas.builtin.inpainter.strands import brush, lay_strand, loose_course
from fmas.builtin.inpainter.strokes import smoothed
from fmas.builtin.inpainter.surface import Surface
from fmas.builtin.inpainter.words import mentioned
from fmas.types import Defect, FloatMap

__all__ = ["render"]


def render(surface: Surface, defect: Defect, intensity: float, rng: np.random.Generator) -> FloatMap:
    """Drop something on the surface: what the words name, else any; see :mod:`fmas.builtin.inpainter.registry`."""
    things = (_fibre, _fibre, _lint, _dust, _dust, _drop, _swarf, _flake)
    chance = int(rng.integers(len(things)))
    paint = mentioned(defect, _WORDS) or things[chance]
    return paint(surface, intensity, rng)


def _thickness(surface: Surface, rng: np.random.Generator, least: float, most: float) -> float:
    return float(min(rng.uniform(least, most) * max(0.9, surface.scale**0.8), max(0.5, 0.35 * surface.reach)))


def _opacity(surface: Surface, matter: FloatMap, intensity: float) -> float:
    """Return how much a thing hides: at severity 0 it hardly stands out, even where the surface is busy."""
    away = float(np.abs(matter.reshape(-1, matter.shape[-1]).mean(axis=0) - surface.base[::3, ::3]).mean())
    wanted = 1.5 * surface.depth(intensity, 0.6) * max(surface.level, 25.0)
    # What differs by far from its ground must hide less of it to look as strong.
    return float(min(0.96, 0.3 + 0.6 * intensity, max(0.08, wanted / max(away, 1.0)) + 0.6 * intensity**1.5))


def _matter(surface: Surface, intensity: float, rng: np.random.Generator, full: float) -> FloatMap:
    """Return the colour of the thing, ``(C,)`` float32: lighter or darker than the surface, where there is room."""
    lighter = rng.random() < np.clip((200 - surface.level) / 140, 0.1, 0.8)
    depth = surface.depth(intensity, full)
    grey = min(250.0, surface.level * (1 + 1.3 * depth)) if lighter else surface.level * (1 - min(0.9, depth))
    channels = surface.base.shape[2]
    if channels == 1:
        return np.full(1, grey, np.float32)
    # Now and then something that is plainly not of this place: blue lint, green swarf, a red thread.
    vivid = 0.5 if rng.random() < 0.35 else 0.15
    tint = 1 + rng.uniform(-vivid, vivid, channels) * surface.colour * min(1.0, 0.3 + intensity)
    return np.asarray(np.clip(grey * tint, 0, 250), dtype=np.float32)


def _fibre(surface: Surface, intensity: float, rng: np.random.Generator) -> FloatMap:
    """Let a fibre fall, sometimes two or three of the same kind."""
    painted = surface.base.copy()
    tint = _matter(surface, intensity, rng, 0.6)
    opacity = _opacity(surface, tint, intensity)
    radius = _thickness(surface, rng, 0.25, 0.85)
    for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
        lay_strand(
            painted,
            surface,
            loose_course(surface, rng),
            rng,
            radius=radius,
            tint=tint,
            opacity=opacity,
            shadow=min(0.45, 0.05 + 0.45 * intensity),
            gloss=0.2 * min(intensity, 1.0),
            lift=(0.8 + radius) * min(1.0, 0.4 + intensity),
            end_taper=0.06,
        )
    return painted


def _lint(surface: Surface, intensity: float, rng: np.random.Generator) -> FloatMap:
    """Leave a tuft: many fine curled hairs round a knot, half transparent, with a soft shadow."""
    place = random_place(surface, rng, deep=0.6)
    reach = float(surface.room[int(place[1]), int(place[0])])
    reach = max(1.5, min(0.8 * reach, rng.uniform(10, 30) * max(1.0, surface.scale)))
    courses = []
    for _ in range(int(rng.integers(8, 30))):
        turn = np.cumsum(rng.normal(0, 0.5, 12)) + np.arange(12) * rng.normal(0, 0.35) + rng.uniform(0, 6.3)
        step = reach * rng.uniform(0.05, 0.16)
        course = np.cumsum(np.stack([np.cos(turn), np.sin(turn)], axis=1) * step, axis=0)
        courses.append(smoothed(place + rng.normal(0, 0.25 * reach, 2) + course - course[int(rng.integers(12))], 1))
    radius = _thickness(surface, rng, 0.16, 0.34)
    cover, tone = brush(surface.shape, courses, rng.uniform(0, 1, len(courses)).tolist(), radius=radius, tip=0.7)
    cover *= smoothstep(surface.room, 0.3, 2.0)
    matter = _matter(surface, intensity, rng, 0.6) * (0.8 + 0.4 * tone)[..., None]
    dx, dy = (np.full(surface.shape, np.float32(part * (1.5 + radius))) for part in surface.light)
    cast = blur(displace(cover[..., None], dx, dy), 1.0 + 0.05 * reach)
    painted = surface.base * (1 - np.float32(min(0.5, 0.04 + 0.46 * intensity)) * cast)
    opaque = np.float32(_opacity(surface, matter, intensity)) * cover[..., None]
    return np.asarray(painted + opaque * (matter - painted), dtype=np.float32)


def _swarf(surface: Surface, intensity: float, rng: np.random.Generator) -> FloatMap:
    """Lay down a curled turning: up to a turn and a half of a bright, ridged ribbon."""
    place = random_place(surface, rng, deep=0.7)
    curl = float(surface.room[int(place[1]), int(place[0])]) * rng.uniform(0.45, 0.75)
    curl = max(1.0, min(curl, rng.uniform(8, 22) * max(1.0, surface.scale)))
    turn = np.linspace(0, rng.uniform(1.2, 8.0), 40) + rng.uniform(0, 2 * np.pi)
    spiral = curl * np.linspace(1.0, rng.uniform(0.35, 0.8), 40)
    # Seen from the side a helix advances as it turns.
    advance = np.linspace(-0.4, 0.4, 40)[:, None] * curl * rng.normal(0, 0.8, 2)
    course = place + np.stack([np.cos(turn), rng.uniform(0.4, 1.0) * np.sin(turn)], axis=1) * spiral[:, None] + advance
    depth = surface.depth(intensity, 0.6)
    metal = np.full(1, min(245.0, surface.level * (1 + depth) + 4), np.float32)
    painted = surface.base.copy()
    radius = min(_thickness(surface, rng, 0.8, 3.0), 0.3 * curl + 0.3)
    lay_strand(
        painted,
        surface,
        smoothed(course, 1),
        rng,
        radius=radius,
        tint=metal,
        opacity=_opacity(surface, metal, intensity),
        shadow=min(0.5, 0.05 + 0.5 * intensity),
        gloss=min(0.75, 0.9 * depth),
        lift=(0.6 * radius + 0.8) * min(1.0, 0.4 + intensity),
        end_taper=0.3,
        ridges=float(np.ptp(turn) * curl / (rng.uniform(1.0, 1.8) * radius + 1)) if radius > 1.2 else 0.0,
    )
    return painted


def _dust(surface: Surface, intensity: float, rng: np.random.Generator) -> FloatMap:
    """Scatter crumbs round one place: a few, or very many fine ones."""
    x, y = random_place(surface, rng, deep=0.5)
    fine = rng.random() < 0.5
    largest = max(0.9, min(0.25 * surface.reach, rng.uniform(1.5, 6.0) * max(1.0, surface.scale)))
    field = scattered(
        surface,
        rng,
        count=int(rng.integers(30, 110) if fine else rng.integers(2, 12)),
        centre=(float(x), float(y)),
        spread=max(0.5, rng.uniform(0.3, 0.6) * surface.reach),
        radius=(max(0.7, (0.25 if fine else 0.5) * largest), largest),
        squeeze=0.5,
    )
    field = np.maximum(field, disc(surface, rng, x=x, y=y, radius=largest, aspect=1.3, roughness=0.2))
    bumps = fractal(surface.shape, rng, cell=max(2.0, largest), octaves=3, persistence=0.6)
    field = np.minimum(field + np.float32(0.3 * largest) * bumps, surface.room - 0.5)
    crumb = 1 + np.float32(min(0.3, 0.4 * surface.depth(intensity, 0.5))) * bumps
    matter = _matter(surface, intensity, rng, 0.55) * crumb[..., None]
    return _placed(surface, field, matter, intensity, rng, height=0.5 * largest)


def _flake(surface: Surface, intensity: float, rng: np.random.Generator) -> FloatMap:
    """Drop an angular flake: a tilted facet with its own sheen, a bright edge towards the light and a shadow."""
    place = random_place(surface, rng, deep=0.65)
    long = float(surface.room[int(place[1]), int(place[0])]) * rng.uniform(0.35, 0.75)
    long = max(1.2, min(long, rng.uniform(6, 20) * max(1.0, surface.scale)))
    field = facets(surface, rng, x=place[0], y=place[1], axes=(long, long * rng.uniform(0.4, 0.95)), roughness=0.06)
    field = fitted(surface, rng, field)
    depth = surface.depth(intensity, 0.6)
    height, width = surface.shape
    tilt = rng.normal(0, 1, 2) + np.array(surface.light)
    dx = (np.arange(width, dtype=np.float32) - np.float32(place[0]))[None, :] * np.float32(tilt[0] / long)
    dy = (np.arange(height, dtype=np.float32) - np.float32(place[1]))[:, None] * np.float32(tilt[1] / long)
    veins = fractal(surface.shape, rng, cell=max(2.5, 0.7 * long), octaves=4, persistence=0.65)
    sheen = np.clip(0.3 * (dx + dy) + 0.3 * veins, -0.6, 0.8)
    towards = blur(coverage(field, 1.5), 0.6)
    lit = displace(towards[..., None], *(np.full(surface.shape, np.float32(1.4 * part)) for part in surface.light))
    edge = np.clip(towards - lit[..., 0], 0, 1)
    shine = 1 + np.float32(min(0.8, depth)) * (sheen + 1.1 * edge)
    matter = _matter(_here(surface, field), intensity, rng, 0.6) * shine[..., None]
    return _placed(surface, field, matter, intensity, rng, height=max(0.8, 0.16 * long))


def _here(surface: Surface, field: FloatMap) -> Surface:
    """Return the surface as bright as it is where the thing lies: in a scene of light and dark the median misleads."""
    beneath = field > 0
    level = float(surface.base[beneath].mean()) if beneath.any() else surface.level
    return replace(surface, level=round(level, 2))


def _placed(
    surface: Surface,
    field: FloatMap,
    matter: FloatMap,
    intensity: float,
    rng: np.random.Generator,
    *,
    height: float,
) -> FloatMap:
    """Put an opaque thing with outline ``field`` on the surface, with the shadow at its foot."""
    cover = coverage(field, 1.2)
    dx, dy = (np.full(surface.shape, np.float32(part * (height + 0.6))) for part in surface.light)
    cast = blur(displace(cover[..., None], dx, dy), 0.6 + 0.3 * height)
    painted = surface.base * (1 - np.float32(min(0.5, 0.1 + 0.45 * intensity)) * cast)
    opaque = np.float32(_opacity(surface, matter, intensity)) * cover[..., None]
    return np.asarray(painted + opaque * (matter + foreign_grain(surface, rng) - painted), dtype=np.float32)


def _drop(surface: Surface, intensity: float, rng: np.random.Generator) -> FloatMap:
    """Let clear drops stand: one, or a large one with small ones beside it."""
    place = random_place(surface, rng, deep=0.7)
    radius = float(surface.room[int(place[1]), int(place[0])]) * rng.uniform(0.4, 0.85)
    radius = max(1.0, min(radius, rng.uniform(8, 30) * max(1.0, surface.scale)))
    painted = _stand(surface, surface.base, intensity, rng, place=(float(place[0]), float(place[1])), radius=radius)
    for _ in range(int(rng.choice([0, 0, 1, 2, 4]))):
        spot = random_place(surface, rng, deep=0.15)
        small = min(radius * rng.uniform(0.15, 0.5), 0.8 * float(surface.room[int(spot[1]), int(spot[0])]))
        if small >= 1.2 and np.hypot(*(spot - place)) > 1.25 * (radius + small):
            painted = _stand(surface, painted, intensity, rng, place=(float(spot[0]), float(spot[1])), radius=small)
    return painted


def _stand(
    surface: Surface,
    under: FloatMap,
    intensity: float,
    rng: np.random.Generator,
    *,
    place: tuple[float, float],
    radius: float,
) -> FloatMap:
    """Put one drop on a picture: it magnifies, is dark towards the light and gathers it on the far side."""
    field = disc(surface, rng, x=place[0], y=place[1], radius=radius, aspect=rng.uniform(1.0, 1.4), roughness=0.08)
    height, width = surface.shape
    dx = np.broadcast_to((np.arange(width) - place[0])[None, :], surface.shape).astype(np.float32)
    dy = np.broadcast_to((np.arange(height) - place[1])[:, None], surface.shape).astype(np.float32)
    dome = smoothstep(field, 0.0, radius)
    lens = np.float32(0.45 * min(1.0, intensity)) * dome
    inside = displace(under, -dx * lens, -dy * lens)
    depth = np.float32(surface.depth(intensity, 0.6))
    towards = (dx * np.float32(surface.light[0]) + dy * np.float32(surface.light[1])) / np.float32(radius)
    rim = np.exp(-((field / np.float32(max(1.0, 0.16 * radius))) ** 2))
    shade = -depth * (0.55 * towards * (1 - 0.4 * dome) + 0.3 * rim)
    spot = np.exp(
        -((dx - 0.42 * radius * surface.light[0]) ** 2 + (dy - 0.42 * radius * surface.light[1]) ** 2)
        / np.float32(2 * max(0.6, 0.1 * radius) ** 2)
    ).astype(np.float32)
    lit = inside * (1 + shade)[..., None] + (depth * spot)[..., None] * np.float32(max(0.0, 250 - surface.level))
    cover = coverage(field, 1.4)[..., None]
    offset = 0.2 * radius + 0.6
    moved = displace(cover, *(np.full(surface.shape, np.float32(part * offset)) for part in surface.light))
    ground = under * (1 - np.float32(min(0.5, 0.4 * float(depth))) * blur(moved, 0.6 + 0.06 * radius))
    return np.asarray(ground + cover * (lit - ground), dtype=np.float32)


_WORDS: MappingProxyType[str, Callable[[Surface, float, np.random.Generator], FloatMap]] = MappingProxyType(
    {
        "fib": _fibre,
        "hair": _fibre,
        "thread": _fibre,
        "lint": _lint,
        "fluff": _lint,
        "fuzz": _lint,
        "swarf": _swarf,
        "shaving": _swarf,
        "turning": _swarf,
        "burr": _swarf,
        "drop": _drop,
        "ball": _drop,
        "blob": _drop,
        "glue": _drop,
        "bubble": _drop,
        "dust": _dust,
        "speck": _dust,
        "particle": _dust,
        "dirt": _dust,
        "debris": _dust,
        "crumb": _dust,
        "sand": _dust,
        "powder": _dust,
        "flake": _flake,
        "fragment": _flake,
        "splinter": _flake,
        "stone": _flake,
        "chip": _flake,
        # What things are made of says least, and may be the product's own.
        "liquid": _drop,
        "water": _drop,
        "oil": _drop,
        "metal": _swarf,
        "plastic": _flake,
        "glass": _flake,
        "foreign": _flake,
    }
)
