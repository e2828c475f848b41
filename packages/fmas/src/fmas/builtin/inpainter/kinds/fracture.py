"""A chip or a break: material is gone.

At the product's border the background shows beyond a rough fracture face; elsewhere a spall leaves a fresh, uneven
scar with a crisp edge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from fmas.builtin.inpainter.bites import bite_off, distance_from_border, find_site
from fmas.builtin.inpainter.noise import fractal
from fmas.builtin.inpainter.outlines import Outline, lens
from fmas.builtin.inpainter.paths import random_place
from fmas.builtin.inpainter.rims import chopped, crumbled, weathered
from fmas.builtin.inpainter.scar import facetted, flat, reveal, shelled
from fmas.builtin.inpainter.shapes import facets
from fmas.builtin.inpainter.surface import Surface
from fmas.builtin.inpainter.words import mentioned
from fmas.types import Defect, FloatMap

__all__ = ["render_break", "render_chip"]


@dataclass(frozen=True, slots=True)
class _Bite:
    """How much is taken away.

    Attributes:
        size: Half extent, as a share of the room there is, least and most.
        gone: Share of a bite at the border through which the background shows, at intensity 0 and 1.
        pieces: How many scars there may be beside one another, away from the border.
    """

    size: tuple[float, float]
    gone: tuple[float, float]
    pieces: tuple[int, ...]


_CHIP = _Bite(size=(0.22, 0.8), gone=(0.0, 0.7), pieces=(1, 1, 1, 1, 2))
_BREAK = _Bite(size=(0.33, 1.1), gone=(0.0, 0.75), pieces=(1,))


def render_chip(surface: Surface, defect: Defect, intensity: float, rng: np.random.Generator) -> FloatMap:
    """Knock a small piece off; see :mod:`fmas.builtin.inpainter.registry`."""
    return _render(surface, defect, intensity, rng, _CHIP)


def render_break(surface: Surface, defect: Defect, intensity: float, rng: np.random.Generator) -> FloatMap:
    """Break a large piece off; see :mod:`fmas.builtin.inpainter.registry`."""
    return _render(surface, defect, intensity, rng, _BREAK)


def _render(surface: Surface, defect: Defect, intensity: float, rng: np.random.Generator, bite: _Bite) -> FloatMap:
    inwards = distance_from_border(surface)
    site = find_site(surface, rng, inwards, bite.size)
    if site is not None:
        # Through some bites one sees past the product, others are all fracture face.
        most = bite.gone[1] * float(rng.uniform(0.75, 1.0))
        gone = bite.gone[0] + (most - bite.gone[0]) * min(1.0, 0.65 * intensity) ** 0.8
        return bite_off(surface, rng, inwards, site, gone=gone, intensity=intensity)
    painted = surface.base.copy()
    manner = mentioned(defect, _WORDS)
    for index in range(int(rng.choice(bite.pieces))):
        deep = 0.6 if index == 0 else 0.2
        _spall(painted, surface, rng, manner, intensity=intensity, size=bite.size, deep=deep)
    return painted


def _spall(
    painted: FloatMap,
    surface: Surface,
    rng: np.random.Generator,
    manner: str | None,
    *,
    intensity: float,
    size: tuple[float, float],
    deep: float,
) -> None:
    """Leave one scar in ``painted``, ``(h, w, C)`` float32, where a piece came off the middle of a surface."""
    manners = ("shell", "facets", "flat", "sliver")
    drawn = manners[int(rng.choice(4, p=[0.3, 0.3, 0.2, 0.2]))]
    manner = manner or drawn
    x, y = random_place(surface, rng, deep=deep)
    room = float(surface.room[int(y), int(x)])
    half = max(min(3.0, room), 1.5, room * float(np.exp(rng.uniform(np.log(size[0]), np.log(size[1])))))
    aspect = rng.uniform(1.0, 2.0)
    part, window = surface.cut(x, y, 1.6 * half * (1.6 if manner == "sliver" else aspect) + 8 + min(half, 20.0))
    x, y = x - window[1].start, y - window[0].start
    if manner == "sliver":
        long = min(1.5 * half, max(half, 0.95 * room))
        field = lens(part.shape, (x, y), (long, long / rng.uniform(2.2, 6.0)), rng.uniform(0, np.pi))
        field += np.float32(0.06 * half) * fractal(part.shape, rng, cell=max(2.5, 0.5 * half), octaves=3)
    elif manner == "shell":
        field = np.full(part.shape, np.float32(-1e3))
        Outline(x, y, half / np.sqrt(aspect), aspect, rng.uniform(0.08, 0.25), 0.04).raise_in(field, rng)
    else:
        axes = (half, half / aspect)
        field = facets(part, rng, x=x, y=y, axes=axes, roughness=0.03 if manner == "flat" else 0.05)
    clean = manner in ("shell", "flat")
    field = chopped(field, rng, int(rng.choice((0, 0, 1, 2))) if manner != "sliver" else 0)
    field = crumbled(part, field, rng, share=float(rng.uniform(0.02, 0.07) if clean else rng.uniform(0.04, 0.12)))
    field = np.minimum(field, part.room - np.float32(0.4))
    scar = {"shell": shelled, "facets": facetted, "flat": flat, "sliver": facetted}[manner](part, rng, field)
    shown = reveal(part, painted[window], rng, field, scar=scar, intensity=intensity)
    painted[window] = weathered(part, shown, field, rng, depth=surface.depth(intensity, 0.5))


_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "paint": "flat",
        "coat": "flat",
        "peel": "flat",
        "delamin": "flat",
        "flak": "flat",
        "enamel": "flat",
        "glass": "shell",
        "conch": "shell",
        "spall": "shell",
        "sliver": "sliver",
        "splinter": "sliver",
    }
)
