"""A chip or a break: material is gone.

At the product's border the background shows beyond a rough fracture face; elsewhere a spall leaves a fresh, uneven
scar with a crisp edge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import cv2
import numpy as np

from fmas.builtin.inpainter.filters import blur, displace, gradient, smoothstep
from fmas.builtin.inpainter.noise import fractal
from fmas.builtin.inpainter.outlines import Outline, lens
from fmas.builtin.inpainter.paths import random_place, stays_inside
from fmas.builtin.inpainter.scar import Scar, facetted, flat, reveal, shelled
from fmas.builtin.inpainter.shapes import coverage, facets
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


_CHIP = _Bite(size=(0.25, 0.7), gone=(0.0, 0.7), pieces=(1, 1, 1, 2, 3))
_BREAK = _Bite(size=(0.45, 0.95), gone=(0.0, 0.75), pieces=(1,))


def render_chip(surface: Surface, defect: Defect, intensity: float, rng: np.random.Generator) -> FloatMap:
    """Knock a small piece off; see :mod:`fmas.builtin.inpainter.registry`."""
    return _render(surface, defect, intensity, rng, _CHIP)


def render_break(surface: Surface, defect: Defect, intensity: float, rng: np.random.Generator) -> FloatMap:
    """Break a large piece off; see :mod:`fmas.builtin.inpainter.registry`."""
    return _render(surface, defect, intensity, rng, _BREAK)


def _render(surface: Surface, defect: Defect, intensity: float, rng: np.random.Generator, bite: _Bite) -> FloatMap:
    inwards = _distance_from_border(surface)
    border = (np.abs(inwards) <= 1.0) & (surface.room > 0.35 * surface.reach)
    if border.any():
        return _bitten(surface, intensity, rng, bite, inwards, border)
    painted = surface.base.copy()
    manner = mentioned(defect, _WORDS)
    for index in range(int(rng.choice(bite.pieces))):
        _spall(painted, surface, intensity, rng, manner, size=bite.size, deep=0.6 if index == 0 else 0.2)
    return painted


def _distance_from_border(surface: Surface) -> FloatMap:
    """Return the signed distance to the product's border, positive on the product; large when there is none."""
    product = surface.foreground.astype(np.uint8)
    if product.all() or not product.any():
        return np.full(surface.shape, 1e6, np.float32)
    inside = np.asarray(cv2.distanceTransform(product, cv2.DIST_L2, 5), dtype=np.float32)
    outside = np.asarray(cv2.distanceTransform(1 - product, cv2.DIST_L2, 5), dtype=np.float32)
    return inside - outside


def _spall(
    painted: FloatMap,
    surface: Surface,
    intensity: float,
    rng: np.random.Generator,
    manner: str | None,
    *,
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
    part, window = surface.cut(x, y, 1.6 * half * (1.6 if manner == "sliver" else aspect) + 8)
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
        field = facets(part, rng, x=x, y=y, axes=axes, roughness=0.03 if manner == "flat" else 0.07)
    field = np.minimum(field, part.room - np.float32(0.4))
    scar = {"shell": shelled, "facets": facetted, "flat": flat, "sliver": facetted}[manner](part, rng, field)
    painted[window] = reveal(part, painted[window], rng, field, scar, intensity)


def _bitten(
    surface: Surface,
    intensity: float,
    rng: np.random.Generator,
    bite: _Bite,
    inwards: FloatMap,
    border: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
) -> FloatMap:
    """Show the background where the piece is gone and the fracture face between it and the surface."""
    rows, columns = np.nonzero(border)
    pick = int(rng.integers(rows.size))
    x, y = float(columns[pick]), float(rows[pick])
    dx, dy = gradient(blur(inwards, 2.0))
    slope = float(dx[rows[pick], columns[pick]]), float(dy[rows[pick], columns[pick]])
    length = max(float(np.hypot(*slope)), 1e-3)
    inner = (slope[0] / length, slope[1] / length)
    share = np.exp(rng.uniform(np.log(bite.size[0]), np.log(bite.size[1])))
    beside = min(_free(surface, (x, y), (-inner[1], inner[0])), _free(surface, (x, y), (inner[1], -inner[0])))
    along = max(2.0, float(share) * beside)
    into = max(1.5, min(float(share) * 0.9 * _free(surface, (x, y), inner), along * rng.uniform(0.35, 1.5)))
    part, window = surface.cut(x, y, 1.7 * max(along, into) + 8)
    painted = surface.base.copy()
    place = (x - window[1].start, y - window[0].start)
    painted[window] = _broken(part, intensity, rng, bite, inwards[window], place, inner, (along, into))
    return painted


def _broken(
    surface: Surface,
    intensity: float,
    rng: np.random.Generator,
    bite: _Bite,
    inwards: FloatMap,
    place: tuple[float, float],
    inner: tuple[float, float],
    axes: tuple[float, float],
) -> FloatMap:
    """Take a piece away at a place on the border; the arguments are those of :func:`_notch` and :func:`_bitten`."""
    field = _notch(surface, rng, place, inner, axes, inwards)
    size = max(1.0, float(np.where(surface.foreground, field, 0).max()))
    gone_share = bite.gone[0] + (bite.gone[1] - bite.gone[0]) * min(1.0, intensity) ** 0.8
    rough = fractal(surface.shape, rng, cell=max(3.0, 0.8 * size), octaves=4, persistence=0.6)
    # The face is the wider the less is gone; where it runs out varies.
    width = np.float32(size * (1.02 - gone_share)) * (1 + np.float32(0.35) * rough)
    beyond = field - width
    scar = _face(surface, rng, field, inner)
    painted = reveal(surface, surface.base, rng, np.minimum(field, inwards + 1), scar, intensity)
    on_product = smoothstep(inwards, -1.5, 0.5)[..., None]
    painted = surface.base + on_product * (painted - surface.base)
    gone = coverage(beyond, 1.2) * smoothstep(inwards, -4.0, -2.5)
    if not (gone > 0.02).any():
        return painted
    return np.asarray(painted + gone[..., None] * (_background(surface, inwards) - painted), dtype=np.float32)


def _free(surface: Surface, place: tuple[float, float], towards: tuple[float, float]) -> float:
    """Return how far one can go from a place in a direction without leaving the region, in pixels."""
    steps = np.arange(int(np.hypot(*surface.shape)) + 1)[:, None]
    blocked = np.flatnonzero(~stays_inside(surface, np.array(place) + steps * np.array(towards)))
    return float(blocked[0]) if blocked.size else float(len(steps))


def _notch(
    surface: Surface,
    rng: np.random.Generator,
    place: tuple[float, float],
    inner: tuple[float, float],
    axes: tuple[float, float],
    inwards: FloatMap,
) -> FloatMap:
    """Return the outline of a bite at the border as a signed distance, ``(h, w)`` float32, positive inside.

    Args:
        surface: Holds the region.
        rng: Where the randomness comes from.
        place: Its middle on the border, x and y.
        inner: Unit vector from there into the product.
        axes: How far it reaches along the border to either side, and into the product, in pixels.
        inwards: Signed distance from the border, ``(h, w)`` float32.
    """
    height, width = surface.shape
    dx = (np.arange(width, dtype=np.float32) - np.float32(place[0]))[None, :]
    dy = (np.arange(height, dtype=np.float32) - np.float32(place[1]))[:, None]
    along = dy * np.float32(inner[0]) - dx * np.float32(inner[1]) + 0 * inwards
    # How deep it goes along the border: a bow, a wedge or a shelf with corners, leaning to one side.
    lean, form = rng.uniform(-0.6, 0.6), rng.choice([1.0, 1.4, 2.0, 2.0, 4.0])
    t = along / np.float32(axes[0])
    t = t + np.float32(lean) * (1 - t * t) * np.float32(0.5)
    deep = np.float32(axes[1]) * (1 - np.abs(np.clip(t, -1.5, 1.5)) ** np.float32(form))
    bow = fractal(surface.shape, rng, cell=max(3.0, 0.7 * axes[0]), octaves=2) * np.float32(0.15 * axes[1])
    teeth = fractal(surface.shape, rng, cell=max(2.0, 0.35 * min(axes)), octaves=3, persistence=0.55)
    field = deep - np.maximum(inwards, -3) + bow + np.float32(rng.uniform(0.01, 0.08) * min(axes)) * teeth
    # On a narrow product the border on the other side stays whole.
    field = np.minimum(field, np.float32(1.6 * axes[1]) - dx * np.float32(inner[0]) - dy * np.float32(inner[1]))
    return np.asarray(np.minimum(field, surface.room - np.float32(0.4)), dtype=np.float32)


def _face(surface: Surface, rng: np.random.Generator, field: FloatMap, inner: tuple[float, float]) -> Scar:
    """Return the fracture face of a bite: it falls off outwards, in facets."""
    scar = facetted(surface, rng, field)
    height, width = surface.shape
    dx, dy = np.arange(width, dtype=np.float32)[None, :], np.arange(height, dtype=np.float32)[:, None]
    fall = np.float32(rng.uniform(0.3, 0.8))
    slope = fall * (dx * np.float32(inner[0]) + dy * np.float32(inner[1]))
    return Scar(scar.height + slope, rng.uniform(-0.9, 0.1), scar.rough)


def _background(surface: Surface, inwards: FloatMap) -> FloatMap:
    """Continue the background into the product: mirrored at the border, a little beyond its blurred edge."""
    dx, dy = gradient(blur(inwards, 1.5))
    length = np.maximum(np.hypot(dx, dy), np.float32(1e-3))
    # From the place `inwards` inside to the same distance outside; near the border to three pixels outside.
    step = np.maximum(inwards, 0) * 2 + 3 + np.clip(inwards, -3, 0)
    outside = inwards < -2.0
    mirrored = displace(surface.base, -dx / length * step, -dy / length * step)
    valid = displace(outside.astype(np.float32)[..., None], -dx / length * step, -dy / length * step)
    known = surface.base[outside if outside.any() else inwards < 0]
    plain = np.median(known[:: max(1, len(known) // 4096)], axis=0).astype(np.float32)
    return np.asarray(plain + valid * (mirrored - plain), dtype=np.float32)


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
