"""A hole, pit or blowhole: shaded by its rim towards the light, lit on its far wall, dark and plain on its floor."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

import numpy as np

from fmas.builtin.inpainter.cavity import carve
from fmas.builtin.inpainter.layers import share_of_light, within_light
from fmas.builtin.inpainter.outlines import Outline
from fmas.builtin.inpainter.paths import random_place
from fmas.builtin.inpainter.rims import chopped, crumbled, weathered
from fmas.builtin.inpainter.strokes import Points
from fmas.builtin.inpainter.surface import Surface
from fmas.builtin.inpainter.words import mentioned
from fmas.types import Defect, FloatMap

__all__ = ["render"]


def render(surface: Surface, defect: Defect, intensity: float, rng: np.random.Generator) -> FloatMap:
    """Sink one pit or a cluster of them; see :mod:`fmas.builtin.inpainter.registry`."""
    drawn = float(rng.random())
    chance = next(draw for most, draw in _CHANCES if drawn < most)
    manner = mentioned(defect, _WORDS) or chance
    pits = manner(surface, rng)
    # One plain outline: corners are what breaks has, and few pits are broken.
    cuts = (0, 0, 1) if manner is _ragged else (0,)
    main = pits[0]
    reach = max(np.hypot(pit.x - main.x, pit.y - main.y) + 2 * pit.radius * np.sqrt(pit.aspect) for pit in pits)
    reach += 8 + min(main.radius, 24.0)  # what lies around it
    part, window = surface.cut(main.x, main.y, float(reach))
    left, top = window[1].start, window[0].start
    field = np.full(part.shape, np.float32(-1e3))
    for pit in pits:
        pit.moved(-left, -top).raise_in(field, rng)
    field = chopped(field, rng, int(rng.choice(cuts)) if len(pits) < 3 else 0)
    field = crumbled(part, field, rng, share=0.5 * main.ragged * rng.uniform(0.4, 1.0), nibble=0.35)
    field = np.minimum(field, part.room - np.float32(0.5))
    dark = share_of_light(surface.depth(intensity, float(rng.uniform(0.35, 0.6))), 0.92)
    short = main.radius / np.sqrt(main.aspect)
    painted = surface.base.copy()
    sunk = carve(
        part,
        rng,
        field,
        dark=dark * rng.uniform(0.75, 1.0),
        wall=max(1.2, rng.uniform(0.25, 0.7) * short),
        relief=dark * rng.uniform(0.3, 0.85),
        keep_texture=float(np.clip(0.8 - 2.0 * intensity, 0.0, 0.8)),
        mottle=min(0.3, rng.uniform(0.1, 0.4) * dark),
        shadow=max(0.6, rng.uniform(0.3, 1.0) * short),
    )
    sunk = within_light(part, sunk, intensity)
    painted[window] = weathered(part, sunk, field, rng, depth=dark)
    return painted


def _place(surface: Surface, rng: np.random.Generator, *, deep: float) -> tuple[Points, float]:
    """Return a place, ``(2,)``, and how far from it the region's border is, in pixels."""
    place = random_place(surface, rng, deep=deep)
    return place, float(surface.room[int(place[1]), int(place[0])])


def _size(surface: Surface, rng: np.random.Generator, room: float, *, least: float, most: float) -> float:
    """Draw a radius in pixels, small ones as often as large ones, between shares of the room."""
    low = max(min(2.2, 0.9 * room), 1.2, least * room)
    return float(np.exp(rng.uniform(np.log(low), np.log(max(low * 1.05, most * room)))))


def _blowhole(surface: Surface, rng: np.random.Generator) -> list[Outline]:
    """One smooth bubble, round or drawn out."""
    place, room = _place(surface, rng, deep=0.6)
    aspect = 1 + rng.gamma(1.2, 0.5)
    radius = _size(surface, rng, room, least=0.15, most=0.9) / np.sqrt(aspect)
    return [Outline(place[0], place[1], max(1.8, radius), aspect, rng.uniform(0.03, 0.22), 0.04)]


def _ragged(surface: Surface, rng: np.random.Generator) -> list[Outline]:
    """One pit that was torn or eaten out, hardly ever with a satellite."""
    place, room = _place(surface, rng, deep=0.6)
    aspect = rng.uniform(1.0, 2.2)
    radius = max(1.8, _size(surface, rng, room, least=0.2, most=0.85) / np.sqrt(aspect))
    pits = [Outline(place[0], place[1], radius, aspect, rng.uniform(0.08, 0.22), rng.uniform(0.05, 0.14))]
    for _ in range(int(rng.choice([0, 0, 0, 0, 0, 1]))):
        turn, far = rng.uniform(0, 2 * np.pi), radius * rng.uniform(1.2, 2.2)
        x, y = place[0] + far * np.cos(turn), place[1] + far * np.sin(turn)
        pits.append(Outline(x, y, max(1.5, radius * rng.uniform(0.15, 0.3)), 1.3, 0.1, 0.05))
    return pits


def _slot(surface: Surface, rng: np.random.Generator) -> list[Outline]:
    """One long narrow cavity."""
    place, room = _place(surface, rng, deep=0.7)
    aspect = rng.uniform(2.5, 6.0)
    long = max(3.0, room * rng.uniform(0.4, 0.95))
    return [Outline(place[0], place[1], max(1.8, long / np.sqrt(aspect)), aspect, rng.uniform(0.05, 0.2), 0.06)]


def _pinholes(surface: Surface, rng: np.random.Generator) -> list[Outline]:
    """A cluster of pores: many small, few large."""
    place, room = _place(surface, rng, deep=0.7)
    largest = min(rng.uniform(2.2, 4.6) * max(0.9, surface.scale) ** rng.uniform(0.4, 1.0), 0.4 * room + 0.8)
    spread = rng.uniform(0.35, 0.9) * np.array([1.0, rng.uniform(0.3, 1.0)]) * room
    turn = rng.uniform(0, np.pi)
    pits = []
    for index in range(int(np.exp(rng.uniform(np.log(1.5), np.log(6))))):
        u, v = rng.normal(0, 0.5, 2).clip(-1, 1) * spread * (index > 0)
        x, y = place[0] + u * np.cos(turn) - v * np.sin(turn), place[1] + u * np.sin(turn) + v * np.cos(turn)
        radius = largest if index == 0 else largest * rng.uniform(0.35, 0.7)
        pits.append(Outline(float(x), float(y), max(1.3, radius), rng.uniform(1.0, 1.8), 0.12, 0.05))
    return pits


def _drilled(surface: Surface, rng: np.random.Generator) -> list[Outline]:
    """One clean round hole, as tools make and needles punch."""
    place, room = _place(surface, rng, deep=0.7)
    return [Outline(place[0], place[1], max(1.0, _size(surface, rng, room, least=0.2, most=0.85)), 1.0, 0.015, 0.0)]


_Draw = Callable[[Surface, np.random.Generator], list[Outline]]

_CHANCES: tuple[tuple[float, _Draw], ...] = (
    (0.6, _blowhole),
    (0.8, _ragged),
    (0.88, _slot),
    (0.96, _pinholes),
    (1.0, _drilled),
)
"""How often each manner is drawn, summed up."""

_WORDS = MappingProxyType(
    {
        "blow": _blowhole,
        "bubble": _blowhole,
        "gas": _blowhole,
        "pinhole": _pinholes,
        "poro": _pinholes,
        "pore": _pinholes,
        "pitting": _pinholes,
        "cluster": _pinholes,
        "corro": _ragged,
        "void": _ragged,
        "drill": _drilled,
        "punch": _drilled,
        "puncture": _drilled,
        "slot": _slot,
    }
)
