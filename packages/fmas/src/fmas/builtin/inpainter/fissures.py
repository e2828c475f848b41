"""Lines along which a surface opened: how far they gape along their course, where they step, split and end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from fmas.builtin.inpainter.filters import smoothstep
from fmas.builtin.inpainter.noise import along
from fmas.builtin.inpainter.strokes import Points, bands_around, jagged, resample, smoothed
from fmas.builtin.inpainter.surface import Surface
from fmas.types import FloatMap

__all__ = ["Fissure", "fork", "ground_out", "opened", "profile", "rejoining", "root_pit", "stepped"]


@dataclass(frozen=True, slots=True, eq=False)
class Fissure:
    """One line of a crack.

    Attributes:
        points: Its course, as :func:`fmas.builtin.inpainter.strokes.resample` returns it, ``(N, 2)``.
        gape: How far it gapes at each point, ``(N,)`` float32; 1 is the crack's own width, 0 is closed.
    """

    points: Points
    gape: FloatMap


def opened(
    surface: Surface, lines: Sequence[Fissure], radius: float, rng: np.random.Generator
) -> tuple[FloatMap, FloatMap]:
    """Draw lines.

    Args:
        surface: Gives the light and the size of the picture.
        lines: What to draw.
        radius: Half the width of what gapes by 1, in pixels.
        rng: Varies their edges and how black they are.

    Returns:
        How open the surface is, 0..1, and how its edges are lit (positive) or shaded, both ``(h, w)`` float32.
    """
    gap, lip = np.zeros(surface.shape, np.float32), np.zeros(surface.shape, np.float32)
    widths = np.concatenate([line.gape for line in lines]) * np.float32(radius)
    band = bands_around([line.points for line in lines], surface.shape, 1.6 * float(widths.max(initial=0.1)) + 3)
    if not band.rows.size:
        return gap, lip
    # Both edges run for themselves, and the dirt and shade in the gap vary from place to place.
    sides = [_uneven(lines, rng, 9.0, 0.3) for _ in "lr"]
    tone = np.clip(_uneven(lines, rng, 22.0, 0.5), 0.5, 1.15)
    width = widths[band.nearest] * np.where(band.offset < 0, sides[0][band.nearest], sides[1][band.nearest])
    distance = np.abs(band.offset)
    # A gap narrower than a pixel darkens only a part of it.
    dark = np.exp(-((distance / (width + 0.3)) ** 2)) * np.minimum(1, 0.05 + 1.6 * width) * tone[band.nearest]
    gap[band.rows, band.columns] = np.clip(dark, 0, 1)
    # The edges are rounded: the one beyond the gap leans towards the light, the one before it away.
    facing = -np.sign(band.offset) * (band.normal_x * surface.light[0] + band.normal_y * surface.light[1])
    chipped = smoothstep(_uneven(lines, rng, 11.0, 0.6)[band.nearest], 0.6, 1.5)
    edge = np.exp(-(((distance - width - 0.9) / (0.7 + 0.3 * width)) ** 2)) * np.minimum(1, 1.6 * width) * chipped
    lip[band.rows, band.columns] = edge * np.where(facing > 0, facing, np.float32(0.5) * facing)
    return gap, lip


def _uneven(lines: Sequence[Fissure], rng: np.random.Generator, knot: float, share: float) -> FloatMap:
    """Return factors about 1 along all lines, one after the other, that change every ``knot`` pixels."""
    return np.concatenate(
        [1 + np.float32(2 * share) * (_noise(len(line.points), rng, knot) - np.float32(0.5)) for line in lines]
    )


def _noise(count: int, rng: np.random.Generator, knot: float) -> FloatMap:
    """Return smooth values, ``(count,)`` in 0..1, that change every ``knot`` pixels along a resampled line."""
    return along(np.linspace(0, 1, count, dtype=np.float32), rng, knots=max(2, int(0.5 * count / knot)))


def profile(line: Points, rng: np.random.Generator, *, peak: float | None = None) -> FloatMap:
    """Return how far a crack gapes along its course, ``(N,)`` float32.

    Widest somewhere, mostly near one end, thinning unequally to both sides; and uneven at two scales.

    Args:
        line: The course, resampled.
        rng: Where the randomness comes from.
        peak: Where it is widest, 0 at the start .. 1 at the end; drawn if left out.
    """
    t = np.linspace(0, 1, len(line), dtype=np.float32)
    drawn = float(rng.beta(0.5, 0.8)) * (0.0 if rng.random() < 0.35 else 1.0)
    peak = drawn if peak is None else peak
    before, after = rng.uniform(0.6, 1.5, 2)
    rise = np.clip(t / np.float32(max(peak, 1e-3)), 0, 1) ** np.float32(before) if peak > 0.02 else np.ones_like(t)
    fall = np.clip((1 - t) / np.float32(max(1 - peak, 1e-3)), 0, 1) ** np.float32(after)
    slow, fast = _noise(len(line), rng, 30.0), _noise(len(line), rng, 6.0)
    # Mostly a hairline, open here and there.
    return np.asarray(np.minimum(rise, fall) * (0.5 + 0.8 * slow + 0.2 * (fast - 0.5)), dtype=np.float32).clip(0)


def ground_out(line: Fissure, rng: np.random.Generator) -> Fissure:
    """Let a thin line break up: where it hardly gapes it closes for a while, so that its tip ends in dots."""
    fast = _noise(len(line.points), rng, 4.0)
    kept = smoothstep(line.gape - np.float32(0.12) * fast, -0.08, 0.1)
    return replace(line, gape=line.gape * kept)


def stepped(line: Fissure, rng: np.random.Generator, width: float) -> list[Fissure]:
    """Cut a line into pieces that overlap and lie a little beside one another, as in a sheared material.

    Args:
        line: The whole.
        rng: Where the randomness comes from.
        width: Typical offset, in pixels.
    """
    count = len(line.points)
    cuts = np.sort(rng.uniform(0.1, 0.95, int(rng.integers(1, 5))))
    bounds = [0, *(int(cut * count) for cut in cuts), count]
    lines, offset = [], 0.0
    lean = 1.0 if rng.random() < 0.5 else -1.0
    for first, last in pairwise(bounds):
        lap = int(rng.uniform(-0.02, 0.08) * count + rng.uniform(0, 4))
        piece = slice(max(0, first - max(lap, 0)), min(count, last + max(lap, 0)))
        points = line.points[piece]
        if len(points) < 6:
            continue
        direction = points[-1] - points[0]
        across = np.array([-direction[1], direction[0]]) / max(float(np.hypot(*direction)), 1e-9)
        t = np.linspace(0, 1, len(points), dtype=np.float32)
        soft = np.float32(min(0.4, 8.0 / len(points)))
        ends = np.ones_like(t)
        ends *= smoothstep(t, 0.0, float(soft)) if first > 0 else np.float32(1)
        ends *= smoothstep(1 - t, 0.0, float(soft)) if last < count else np.float32(1)
        turn = lean * rng.uniform(0, 1.2) * width * (t[:, None] - 0.5)
        lines.append(Fissure(points + across * (offset + turn), line.gape[piece] * ends))
        offset += lean * rng.uniform(0.6, 1.8) * width if rng.random() < 0.7 else -lean * width
    return lines or [line]


def rejoining(line: Fissure, rng: np.random.Generator, width: float) -> Fissure:
    """Return a finer line that leaves another, runs beside it and comes back, or gives up before it does."""
    count = len(line.points)
    first = int(rng.uniform(0.0, 0.6) * count)
    last = min(count - 1, first + max(6, int(rng.uniform(0.08, 0.35) * count)))
    part = line.points[first : last + 1]
    direction = part[-1] - part[0]
    across = np.array([-direction[1], direction[0]]) / max(float(np.hypot(*direction)), 1e-9)
    t = np.linspace(0, 1, len(part))
    bulge = np.sin(np.pi * t ** rng.uniform(0.6, 1.6))[:, None] * rng.uniform(1.2, 4.0) * width
    course = resample(part + across * bulge * (1 if rng.random() < 0.5 else -1))
    s = np.linspace(0, 1, len(course), dtype=np.float32)
    gape = np.float32(rng.uniform(0.2, 0.55)) * (0.4 + 0.8 * _noise(len(course), rng, 8.0))
    gape *= smoothstep(1 - s, 0.0, float(rng.uniform(0.05, 0.8)))
    return Fissure(course, np.asarray(gape, dtype=np.float32))


def fork(line: Fissure, rng: np.random.Generator, *, roughness: float, finest: float) -> Fissure:
    """Return a line that leaves another at an acute angle, the way it grows, and is finer than it is there."""
    count = len(line.points)
    root = int(rng.uniform(0.1, 0.8) * (count - 1))
    ahead = line.points[min(root + 12, count - 1)] - line.points[max(root - 12, 0)]
    heading = np.arctan2(ahead[1], ahead[0]) + rng.uniform(0.25, 1.0) * (1 if rng.random() < 0.5 else -1)
    length = max(3.0, rng.uniform(0.06, 0.4) ** 1.3 * count * 0.6)
    end = line.points[root] + length * np.array([np.cos(heading), np.sin(heading)])
    middle = (line.points[root] + end) / 2 + rng.normal(0, 0.1, 2) * length
    start = np.stack([line.points[root], middle, end])
    course = resample(jagged(smoothed(start, 1), rng, roughness=roughness, finest=finest))
    here = max(0.25, float(line.gape[max(0, root - 6) : root + 7].mean()))
    gape = profile(course, rng, peak=0.0) * np.float32(here * rng.uniform(0.35, 0.9))
    return Fissure(course, gape)


def root_pit(line: Fissure, rng: np.random.Generator) -> Fissure:
    """Return the pit or torn-out grain that a crack started at, as a short and wide line."""
    widest = int(np.argmax(line.gape)) if rng.random() < 0.5 else int(rng.integers(len(line.points)))
    place = line.points[widest]
    turn, length = rng.uniform(0, np.pi), rng.uniform(1.5, 5.0)
    course = resample(place + np.array([[-0.5], [0.1], [0.5]]) * length * np.array([np.cos(turn), np.sin(turn)]))
    bulk = np.sin(np.linspace(0.3, np.pi - 0.3, len(course))) * rng.uniform(1.2, 2.6)
    return Fissure(course + rng.normal(0, 0.3, 2), np.asarray(bulk, dtype=np.float32))
