"""Pieces broken off at the product's border: where, of what form, and what is seen where they were."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from fmas.builtin.inpainter.filters import blur, displace, gradient, smoothstep
from fmas.builtin.inpainter.noise import fractal
from fmas.builtin.inpainter.rims import crumbled, weathered
from fmas.builtin.inpainter.scar import Scar, facetted, reveal
from fmas.builtin.inpainter.shapes import coverage
from fmas.builtin.inpainter.surface import Surface
from fmas.types import BoolMask, FloatMap

__all__ = ["Site", "bite_off", "distance_from_border", "find_site"]


@dataclass(frozen=True, slots=True)
class Site:
    """Where a piece breaks off the border.

    Attributes:
        x: Its middle on the border, in pixels from the left.
        y: The same, in pixels from the top.
        inner: Unit vector from there into the product.
        along: How far it reaches along the border to either side, in pixels.
        into: How far it reaches into the product, in pixels.
        thick: How thick the product is there, in pixels.
    """

    x: float
    y: float
    inner: tuple[float, float]
    along: float
    into: float
    thick: float


def distance_from_border(surface: Surface) -> FloatMap:
    """Return the signed distance to the product's border, positive on the product; large when there is none."""
    product = surface.foreground.astype(np.uint8)
    if product.all() or not product.any():
        return np.full(surface.shape, 1e6, np.float32)
    inside = np.asarray(cv2.distanceTransform(product, cv2.DIST_L2, 5), dtype=np.float32)
    outside = np.asarray(cv2.distanceTransform(1 - product, cv2.DIST_L2, 5), dtype=np.float32)
    return inside - outside


def find_site(surface: Surface, rng: np.random.Generator, inwards: FloatMap, size: tuple[float, float]) -> Site | None:
    """Choose a place on the border and how much may go there.

    Args:
        surface: Holds the region.
        rng: Where the randomness comes from.
        inwards: What :func:`distance_from_border` returns.
        size: Least and most share of the free room that is taken.

    Returns:
        The place, or ``None`` where the region does not touch the border.
    """
    border = (np.abs(inwards) <= 1.0) & (surface.room > 0.35 * surface.reach)
    rows, columns = np.nonzero(border)
    if not rows.size:
        return None
    pick = int(rng.integers(rows.size))
    place = (float(columns[pick]), float(rows[pick]))
    dx, dy = gradient(blur(inwards, 2.0))
    slope = float(dx[rows[pick], columns[pick]]), float(dy[rows[pick], columns[pick]])
    length = max(float(np.hypot(*slope)), 1e-3)
    inner = (slope[0] / length, slope[1] / length)
    share = float(np.exp(rng.uniform(np.log(size[0]), np.log(size[1]))))
    beside = min(_free(surface.region, place, (sign * inner[1], -sign * inner[0])) for sign in (1, -1))
    along = max(3.0, share * beside)
    into = max(2.5, min(share * 0.95 * _free(surface.region, place, inner), along * rng.uniform(0.4, 1.6)))
    # From a little inside: the border's own pixels may lie on either side of it.
    thick = _free(surface.foreground, (place[0] + 2 * inner[0], place[1] + 2 * inner[1]), inner) + 2
    return Site(*place, inner, along, min(into, 0.75 * thick), thick)


def bite_off(
    surface: Surface, rng: np.random.Generator, inwards: FloatMap, site: Site, *, gone: float, intensity: float
) -> FloatMap:
    """Show the background where a piece is gone, and the fracture face between it and the surface.

    Args:
        surface: The photograph.
        rng: Where the randomness comes from.
        inwards: What :func:`distance_from_border` returns.
        site: Where, and how large.
        gone: Share of the depth of the bite through which the background shows, 0..1; the rest is fracture face.
        intensity: Severity times the component's strength.

    Returns:
        The painted window, ``(h, w, C)`` float32.
    """
    part, window = surface.cut(site.x, site.y, 1.7 * max(site.along, site.into) + 8)
    here = replace(site, x=site.x - window[1].start, y=site.y - window[0].start)
    result = surface.base.copy()
    inwards = inwards[window]
    field = _notch(part, rng, here, inwards)
    size = max(1.0, float(np.where(part.foreground, field, 0).max()))
    rough = fractal(part.shape, rng, cell=max(3.0, 0.8 * size), octaves=4, persistence=0.6)
    # The face is the wider the less is gone; where it runs out varies.
    width = np.float32(size * (1.02 - gone)) * (1 + np.float32(0.25) * rough)
    width = np.maximum(width, np.float32(0.12 * size))  # some of it is always seen
    scar = _face(part, rng, field, here)
    painted = reveal(part, part.base, rng, np.minimum(field, inwards + 1), scar=scar, intensity=intensity)
    painted = part.base + smoothstep(inwards, -1.5, 0.5)[..., None] * (painted - part.base)
    nibble = np.float32(0.4) * fractal(part.shape, rng, cell=2.5, octaves=1)
    through = coverage(field - width + nibble, 1.2) * smoothstep(inwards, -4.0, -2.5)
    if (through > 0.02).any():
        painted += through[..., None] * (_background(part, inwards) - painted)
    outline = np.minimum(field, inwards + 1)
    depth = surface.depth(intensity, 0.45)
    result[window] = weathered(part, painted, outline, rng, depth=depth) if rng.random() < 0.7 else painted
    return result


def _free(where: BoolMask, place: tuple[float, float], towards: tuple[float, float]) -> float:
    """Return how far one can go from a place in a direction without leaving ``where``, ``(h, w)``, in pixels."""
    height, width = where.shape
    steps = np.arange(int(np.hypot(height, width)) + 1)
    x = np.round(place[0] + steps * towards[0]).astype(int)
    y = np.round(place[1] + steps * towards[1]).astype(int)
    free = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    free &= where[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)]
    return float(steps.size if free.all() else np.flatnonzero(~free)[0])


def _notch(surface: Surface, rng: np.random.Generator, site: Site, inwards: FloatMap) -> FloatMap:
    """Return the outline of a bite at the border as a signed distance, ``(h, w)`` float32, positive inside."""
    height, width = surface.shape
    least = min(site.along, site.into)
    dx = (np.arange(width, dtype=np.float32) - np.float32(site.x))[None, :]
    dy = (np.arange(height, dtype=np.float32) - np.float32(site.y))[:, None]
    beside = dy * np.float32(site.inner[0]) - dx * np.float32(site.inner[1])
    into = dx * np.float32(site.inner[0]) + dy * np.float32(site.inner[1])
    t = np.asarray(beside / np.float32(site.along), dtype=np.float32)
    deep = np.float32(site.into) * _course(t, rng)
    size = max(2.0, least)
    bow = fractal(surface.shape, rng, cell=max(3.0, 0.7 * site.along), octaves=3) * np.float32(0.07 * site.into)
    # On a narrow product the border on the other side stays whole: past the middle, depth counts from this side.
    depth = np.where(into > 0.5 * site.thick, np.maximum(inwards, into), inwards)
    field = np.asarray(deep - np.maximum(depth, -3) + bow, dtype=np.float32)
    rough = float(rng.uniform(0.02, 0.09)) * min(
        1.0, size / max(1.0, float(np.where(surface.foreground, field, 0).max()))
    )
    # Rather smaller than cut off where the region ends; and where it must be, not along a straight line.
    ends = surface.foreground & (surface.free <= 1.5)
    worst = float(field[ends].max()) if ends.any() else 0.0
    largest = float(np.where(surface.foreground, field, 0).max())
    field = crumbled(surface, field - np.float32(np.clip(worst, 0.0, 0.7 * largest)), rng, share=rough)
    wave = np.abs(fractal(surface.shape, rng, cell=max(4.0, 0.5 * size), octaves=4, persistence=0.6))
    room = np.where(surface.foreground, surface.free, surface.room)
    kept = room - np.float32(0.4) - np.float32(min(0.35 * surface.reach, 0.5 * size)) * wave
    return np.asarray(np.minimum(field, kept), dtype=np.float32)


def _course(t: FloatMap, rng: np.random.Generator) -> FloatMap:
    """Return how deep a bite goes along the border, ``(h, w)`` float32 about 0..1: faces that meet in corners, steps.

    Args:
        t: Place along the border, -1..1 within the bite.
        rng: Where the randomness comes from.
    """
    corners = int(rng.integers(2, 5))
    places = np.sort(rng.uniform(-0.95, 0.95, corners))
    # Deepest somewhere, not in the middle; each face has its own slope.
    top, sides = rng.uniform(-0.7, 0.7), rng.uniform(0.5, 2.0)
    depths = np.clip(1 - np.abs(places - top) ** sides / 1.2, 0.1, 1) * rng.uniform(0.45, 1.1, corners)
    depths /= max(float(depths.max()), 1e-3)
    if corners > 3 and rng.random() < 0.6:
        # A step: the material parted along a plane that lies straight across.
        step = int(rng.integers(1, corners))
        places[step] = places[step - 1] + 0.02
    knots = np.concatenate([[-1.6, -1.0], np.maximum.accumulate(places), [1.0, 1.6]])
    values = np.concatenate([[-0.8, rng.uniform(-0.05, 0.3)], depths, [rng.uniform(-0.05, 0.3), -0.8]])
    return np.asarray(np.interp(t, knots, values), dtype=np.float32)


def _face(surface: Surface, rng: np.random.Generator, field: FloatMap, site: Site) -> Scar:
    """Return the fracture face of a bite: it falls off outwards, in facets."""
    scar = facetted(surface, rng, field)
    height, width = surface.shape
    dx, dy = np.arange(width, dtype=np.float32)[None, :], np.arange(height, dtype=np.float32)[:, None]
    fall = np.float32(rng.uniform(0.3, 0.8))
    slope = fall * (dx * np.float32(site.inner[0]) + dy * np.float32(site.inner[1]))
    return Scar(scar.height + slope, rng.uniform(-0.8, -0.1), rng.uniform(0.3, 0.7))


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
