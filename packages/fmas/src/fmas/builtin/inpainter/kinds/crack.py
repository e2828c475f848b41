"""A crack: it wanders, branches or nets, dark where no light gets in, with one lip that faces the light."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

import numpy as np
from scipy.spatial import Voronoi

from fmas.builtin.inpainter.filters import blur, extent, smoothstep
from fmas.builtin.inpainter.lay import lay_of
from fmas.builtin.inpainter.noise import along
from fmas.builtin.inpainter.paths import backbone, random_place, stays_inside
from fmas.builtin.inpainter.strokes import Points, bands_around, jagged, resample, smoothed
from fmas.builtin.inpainter.surface import Surface
from fmas.builtin.inpainter.words import mentioned
from fmas.types import Defect, FloatMap

__all__ = ["render"]

_Line = tuple[Points, FloatMap]
"""A resampled line, and how far it gapes at each of its points: 1 is the crack's own width."""


def render(surface: Surface, defect: Defect, intensity: float, rng: np.random.Generator) -> FloatMap:
    """Open a crack in one of a few manners; see :mod:`fmas.builtin.inpainter.registry`."""
    drawn = float(rng.random())
    chance = next(draw for most, draw in _CHANCES if drawn < most)
    radius = np.exp(rng.uniform(np.log(0.45), np.log(1.3))) * max(0.9, surface.scale) ** rng.uniform(0.2, 1.0)
    radius = float(min(radius, max(0.4, 0.2 * surface.reach)))
    lines = (mentioned(defect, _WORDS) or chance)(surface, rng)
    gap, lip = _opened(surface, lines, radius)
    dark = np.float32(min(0.95, surface.depth(intensity, 0.85)))
    # On black only the lips can be seen.
    shine = np.float32(min(0.6, 0.22 + max(0.0, 70 - surface.level) / 120))
    painted = surface.base.copy()
    box = extent(gap > 0.01, pad=6)
    if box is None:  # no room for a line: the finish leaves a speck
        return painted
    change = -dark * gap[box] + shine * dark * lip[box] * (1 - gap[box])
    painted[box] += change[..., None] * (
        0.5 * surface.base[box] + 0.5 * blur(surface.base[box], 2.0) + np.float32(surface.sheen)
    )
    return painted


def _opened(surface: Surface, lines: list[_Line], radius: float) -> tuple[FloatMap, FloatMap]:
    """Return how open the surface is, 0..1, and how its edges are lit (positive) or shaded, both ``(h, w)``."""
    gap, lip = np.zeros(surface.shape, np.float32), np.zeros(surface.shape, np.float32)
    widths = np.concatenate([gape for _, gape in lines]) * np.float32(radius)
    band = bands_around([line for line, _ in lines], surface.shape, 1.5 * float(widths.max()) + 3)
    width, distance = widths[band.nearest], np.abs(band.offset)
    # A gap narrower than a pixel darkens only a part of it.
    gap[band.rows, band.columns] = np.exp(-((distance / (width + 0.3)) ** 2)) * np.minimum(1, 0.15 + 1.3 * width)
    # The edges are rounded: the one beyond the gap leans towards the light, the one before it away.
    facing = -np.sign(band.offset) * (band.normal_x * surface.light[0] + band.normal_y * surface.light[1])
    edge = np.exp(-(((distance - width - 0.9) / (0.7 + 0.3 * width)) ** 2)) * np.minimum(1, 1.6 * width)
    lip[band.rows, band.columns] = edge * np.where(facing > 0, facing, np.float32(0.5) * facing)
    return gap, lip


def _gape(line: Points, rng: np.random.Generator, *, start: float, stop: float, uneven: float = 0.55) -> FloatMap:
    """Return how far a line gapes along its course: tapered over a share of it at its ends, and uneven."""
    t = np.linspace(0, 1, len(line), dtype=np.float32)
    ends = np.ones_like(t)
    if start > 0:
        ends *= smoothstep(t, -0.15 * start, start)
    if stop > 0:
        ends *= smoothstep(1 - t, -0.15 * stop, stop)
    slow, fast = along(t, rng, knots=4), along(t, rng, knots=max(5, len(line) // 24))
    return np.asarray(ends * (1 - uneven + uneven * (0.9 * slow + 0.7 * fast)), dtype=np.float32)


def _heading(surface: Surface, rng: np.random.Generator) -> float | None:
    """Return the way the material is inclined to part: wood and rolled metal split along their grain."""
    follows = rng.random() < 0.5
    if not follows:
        return None
    lay = lay_of(surface.cut(surface.frame.x, surface.frame.y, 64)[0])
    return lay.angle if lay.strength > 0.35 else None


def _wandering(surface: Surface, rng: np.random.Generator) -> list[_Line]:
    """One long smooth crack, now and then with a short one beside it."""
    course = backbone(surface, rng, bow=0.22, span=(0.3, 1.0), heading=_heading(surface, rng))
    rough, finest = rng.uniform(0.04, 0.12), rng.uniform(4.0, 9.0) * max(1.0, surface.scale)
    trunk = resample(smoothed(jagged(course[:: max(1, len(course) // 5)], rng, roughness=rough, finest=finest), 2))
    blunt = rng.random() < 0.4
    lines = [(trunk, _gape(trunk, rng, start=0.0 if blunt else 0.2, stop=rng.uniform(0.15, 0.5)))]
    if rng.random() < 0.35:
        lines.append(_strand(trunk, rng, surface))
    if rng.random() < 0.35:
        lines.append(_branch(trunk, rng, roughness=0.1, finest=finest, size=rng.uniform(0.4, 0.8)))
    return lines


def _strand(trunk: Points, rng: np.random.Generator, surface: Surface) -> _Line:
    """Return a finer line that leaves the trunk, runs beside it and comes back."""
    first = int(rng.uniform(0.05, 0.5) * len(trunk))
    last = min(len(trunk) - 1, first + max(6, int(rng.uniform(0.15, 0.4) * len(trunk))))
    part = trunk[first : last + 1]
    direction = part[-1] - part[0]
    across = np.array([-direction[1], direction[0]]) / max(float(np.hypot(*direction)), 1e-9)
    bulge = np.sin(np.linspace(0, np.pi, len(part)))[:, None] * rng.uniform(1.5, 3.5) * max(1.0, surface.scale**0.7)
    line = resample(part + across * bulge * (1 if rng.random() < 0.5 else -1))
    return line, _gape(line, rng, start=0.0, stop=0.0) * np.float32(rng.uniform(0.35, 0.7))


def _torn(surface: Surface, rng: np.random.Generator) -> list[_Line]:
    """A jagged crack with branches that branch again."""
    finest = 2.5 * max(1.0, surface.scale)
    roughness = rng.uniform(0.13, 0.26)
    course = backbone(surface, rng, bow=0.15, span=(0.3, 1.0), heading=_heading(surface, rng))
    trunk = resample(jagged(course[:: max(1, len(course) // 6)], rng, roughness=roughness, finest=finest))
    lines = [(trunk, _gape(trunk, rng, start=0.25 if rng.random() < 0.6 else 0.0, stop=0.35))]
    for _ in range(int(rng.choice([0, 1, 2, 3, 5]))):
        branch = _branch(trunk, rng, roughness=roughness, finest=finest, size=rng.uniform(0.4, 0.8))
        lines.append(branch)
        if rng.random() < 0.4 and len(branch[0]) > 30:
            lines.append(_branch(branch[0], rng, roughness=roughness, finest=finest, size=0.35))
    return lines


def _branch(trunk: Points, rng: np.random.Generator, *, roughness: float, finest: float, size: float) -> _Line:
    """Return a line that leaves the trunk at an acute angle, the way it grows."""
    root = int(rng.uniform(0.12, 0.85) * (len(trunk) - 1))
    ahead = trunk[min(root + 12, len(trunk) - 1)] - trunk[max(root - 12, 0)]
    heading = np.arctan2(ahead[1], ahead[0]) + rng.uniform(0.3, 0.9) * (1 if rng.random() < 0.5 else -1)
    length = max(3.0, rng.uniform(0.12, 0.42) * len(trunk) * 0.5)
    end = trunk[root] + length * np.array([np.cos(heading), np.sin(heading)])
    middle = (trunk[root] + end) / 2 + rng.normal(0, 0.08, 2) * length
    start = np.stack([trunk[root], middle, end])
    line = resample(jagged(smoothed(start, 1), rng, roughness=roughness, finest=finest))
    return line, _gape(line, rng, start=0.0, stop=0.7) * np.float32(size)


def _star(surface: Surface, rng: np.random.Generator) -> list[_Line]:
    """Cracks that run out from where something struck, some of them joined by a piece of a ring."""
    centre = random_place(surface, rng, deep=0.7)
    reach = float(surface.room[int(centre[1]), int(centre[0])])
    rays = int(rng.integers(4, 9))
    finest = 3.0 * max(1.0, surface.scale)
    lines, turns = [], (np.arange(rays) + rng.uniform(-0.35, 0.35, rays)) * 2 * np.pi / rays + rng.uniform(0, np.pi)
    for turn in turns:
        towards = np.array([np.cos(turn), np.sin(turn)])
        straight = np.stack([centre, centre + towards * reach * rng.uniform(0.4, 0.98)])
        line = resample(jagged(straight, rng, roughness=0.14, finest=finest))
        lines.append((line, _gape(line, rng, start=0.0, stop=0.8)))
    for _ in range(int(rng.integers(0, 3))):
        index = int(rng.integers(rays))
        first, last = turns[index], turns[(index + 1) % rays] + (2 * np.pi if index == rays - 1 else 0)
        angle = np.linspace(first, last, 6)
        arc = centre + reach * rng.uniform(0.2, 0.5) * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        line = resample(jagged(arc, rng, roughness=0.1, finest=finest))
        lines.append((line, _gape(line, rng, start=0.1, stop=0.1) * np.float32(0.6)))
    return lines


def _net(surface: Surface, rng: np.random.Generator) -> list[_Line]:
    """Crazing: a mesh of fine cracks, as a glaze, a coat of paint or mud gets when it shrinks."""
    frame = surface.frame
    cells = float(np.exp(rng.uniform(np.log(20), np.log(110))))
    mesh = max(5.0, float(np.sqrt(4 * frame.long * frame.short / cells)))
    columns, rows = (max(3, int(side / mesh) + 4) for side in surface.shape[::-1])
    seeds = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1).reshape(-1, 2) - 1.5
    seeds = (seeds + rng.uniform(-0.42, 0.42, seeds.shape)) * mesh
    diagram = Voronoi(seeds)
    # Half of the mesh is wider than the rest: the parts shrank one after the other.
    importance = rng.uniform(0.4, 1.0, len(diagram.ridge_vertices)) ** 1.3 * rng.uniform(0.55, 0.9)
    lost = rng.random(len(diagram.ridge_vertices)) < rng.uniform(0.0, 0.25)
    finest = 2.5 * max(1.0, surface.scale)
    lines = []
    limits = rng.normal(0.85, 0.15, len(lost))
    for (first, last), part, gone, limit in zip(diagram.ridge_vertices, importance, lost, limits, strict=True):
        if gone or first < 0:
            continue
        edge = np.stack([diagram.vertices[first], diagram.vertices[last]])
        line = resample(jagged(edge, rng, roughness=0.13, finest=finest))
        inside = stays_inside(surface, line, 0.08 * surface.reach + 0.5)
        # The damaged patch has no outline: it thins out.
        u, v = (line[len(line) // 2] - (frame.x, frame.y)) @ np.array([[frame.ux, -frame.uy], [frame.uy, frame.ux]])
        if inside.sum() < 4 or np.hypot(u / frame.long, v / frame.short) > limit:
            continue
        # Cracks that leave the damaged patch end on the way.
        line = line[inside]
        start, stop = 0.0 if inside[0] else 0.5, 0.0 if inside[-1] else 0.5
        lines.append((line, _gape(line, rng, start=start, stop=stop, uneven=0.4) * np.float32(part)))
    return lines or _torn(surface, rng)


_Draw = Callable[[Surface, np.random.Generator], list[_Line]]

_CHANCES: tuple[tuple[float, _Draw], ...] = ((0.42, _wandering), (0.82, _torn), (0.9, _star), (1.0, _net))
"""How often each manner is drawn, summed up."""

_WORDS = MappingProxyType(
    {
        "craz": _net,
        "alligator": _net,
        "mud": _net,
        "mesh": _net,
        "network": _net,
        "check": _net,
        "map crack": _net,
        "star": _star,
        "impact": _star,
        "spider": _star,
        "branch": _torn,
        "jagged": _torn,
        "hairline": _wandering,
    }
)
