"""Crazing: a few long cracks first, then finer ones that grow from them until they meet another."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from fmas.builtin.inpainter.filters import smoothstep
from fmas.builtin.inpainter.fissures import Fissure
from fmas.builtin.inpainter.noise import along, fractal
from fmas.builtin.inpainter.paths import random_place
from fmas.builtin.inpainter.strokes import Points, jagged, resample
from fmas.builtin.inpainter.surface import Surface
from fmas.types import FloatMap

__all__ = ["net"]

_STEPS = 160
"""Steps that one crack grows for, at most."""


@dataclass(slots=True)
class _Growth:
    """What has grown so far.

    Attributes:
        damage: How damaged the surface is, ``(h, w)`` float32, 0 sound .. 1.
        step: Length of a step, in pixels.
        taken: Cells of ``step`` pixels that a crack runs through, ``(rows, columns)`` int32: its number, 0 for none.
        courses: The cracks, each ``(N, 2)``.
        ranks: 0 for those that came first, then one more than what they grew from.
        met: Whether each ended at another.
    """

    damage: FloatMap
    step: float
    taken: np.ndarray[tuple[int, int], np.dtype[np.int32]]
    courses: list[Points] = field(default_factory=list)
    ranks: list[int] = field(default_factory=list)
    met: list[bool] = field(default_factory=list)

    def depth(self, place: Points) -> float:
        """Return how damaged the surface is at a place; 0 outside the picture."""
        x, y = round(float(place[0])), round(float(place[1]))
        height, width = self.damage.shape
        return float(self.damage[y, x]) if 0 <= x < width and 0 <= y < height else 0.0

    def cell(self, place: Points) -> tuple[int, int]:
        """Return row and column of the cell of a place in the picture."""
        rows, columns = self.taken.shape
        return min(rows - 1, max(0, int(place[1] / self.step))), min(columns - 1, max(0, int(place[0] / self.step)))


def net(surface: Surface, rng: np.random.Generator) -> list[Fissure]:
    """Craze a patch of the region.

    Args:
        surface: Holds the region.
        rng: Where the randomness comes from.

    Returns:
        The cracks, none where the region has no room for any. They fade out towards the border of the patch.
    """
    height, width = surface.shape
    mesh = max(8.0, float(np.exp(rng.uniform(np.log(0.2), np.log(0.6)))) * surface.reach)
    ragged = fractal(surface.shape, rng, cell=max(4.0, 1.2 * surface.reach), octaves=3)
    damage = smoothstep(surface.room + np.float32(0.3 * surface.reach) * ragged, 0.0, 0.6 * surface.reach)
    damage *= smoothstep(surface.room, 0.0, 0.25 * surface.reach)
    # Round, whatever the region is, and patchy.
    frame = surface.frame
    dx = (np.arange(width, dtype=np.float32) - np.float32(frame.x))[None, :]
    dy = (np.arange(height, dtype=np.float32) - np.float32(frame.y))[:, None]
    far = np.hypot(
        (dx * np.float32(frame.ux) + dy * np.float32(frame.uy)) / np.float32(frame.long),
        (dy * np.float32(frame.ux) - dx * np.float32(frame.uy)) / np.float32(frame.short),
    )
    damage *= smoothstep(np.float32(1.1) - far + np.float32(0.3) * ragged, 0.0, 0.8)
    step = max(1.2, mesh / 9)
    growth = _Growth(damage, step, np.zeros((int(height / step) + 2, int(width / step) + 2), np.int32))
    along_frame = float(np.arctan2(surface.frame.uy, surface.frame.ux))
    for _ in range(int(rng.integers(1, 4))):
        start = random_place(surface, rng, deep=0.35)
        heading = along_frame + rng.normal(0, 0.7)
        # Both ways from where it began.
        ways = [_grow(growth, rng, start, heading + turn, number=len(growth.courses) + 1) for turn in (0.0, np.pi)]
        course = np.concatenate([ways[1][0][:0:-1], ways[0][0]])
        _keep(growth, course, 0, met=False)
    if not growth.courses:
        return []
    # A free area of a mesh each, more or less: some cells stay large.
    wanted = int(np.clip(1.6 * float((damage > 0.2).sum()) / mesh**2, 4, 70))
    for _ in range(3 * wanted):
        if len(growth.courses) >= wanted:
            break
        _sprout(growth, rng, mesh)
    return _widths(growth, rng, surface)


def _sprout(growth: _Growth, rng: np.random.Generator, mesh: float) -> None:
    """Let a crack grow out of another, across it; one that comes to nothing is forgotten."""
    lengths = np.array([len(course) for course in growth.courses], dtype=np.float64)
    parent = int(rng.choice(len(lengths), p=lengths / lengths.sum()))
    course = growth.courses[parent]
    if len(course) < 6:
        return
    at = int(rng.integers(2, len(course) - 2))
    ahead = course[at + 2] - course[at - 2]
    side = 1 if rng.random() < 0.5 else -1
    heading = float(np.arctan2(ahead[1], ahead[0])) + side * (np.pi / 2 + rng.normal(0, 0.25))
    towards = np.array([np.cos(heading), np.sin(heading)])
    # Where another one runs close by, stress is gone and nothing opens.
    near = float(np.exp(rng.normal(np.log(0.4), 0.5))) * mesh
    across = np.array([-towards[1], towards[0]])
    probes = [course[at] + near * (0.6 * towards + lean * across) for lean in (-0.6, 0.0, 0.6)]
    if any(growth.taken[growth.cell(probe)] not in (0, parent + 1) for probe in probes):
        return
    grown, met = _grow(growth, rng, course[at], heading, number=len(growth.courses) + 1, parent=parent + 1)
    if len(grown) * growth.step > 0.35 * mesh:
        _keep(growth, grown, growth.ranks[parent] + 1, met=met)


def _grow(
    growth: _Growth, rng: np.random.Generator, start: Points, heading: float, *, number: int, parent: int = 0
) -> tuple[Points, bool]:
    """Return a course from a place on, and whether it met another."""
    places, drift = [np.asarray(start, dtype=np.float64)], 0.0
    turns, luck = rng.normal(0, 0.1, _STEPS), rng.random(_STEPS)
    for index in range(_STEPS):
        drift = 0.8 * drift + float(turns[index])
        # It keeps to its way on the whole.
        angle = heading + 1.6 * drift
        place = places[-1] + growth.step * np.array([np.cos(angle), np.sin(angle)])
        depth = growth.depth(place)
        if depth <= 0.02 or luck[index] > 0.95 + 0.3 * depth:
            break
        places.append(place)
        other = int(growth.taken[growth.cell(place)])
        if other not in (0, number) and (other != parent or index > 5):
            # It ends on the other one, not beside it.
            course = growth.courses[other - 1]
            nearest = course[int(np.argmin(((course - place) ** 2).sum(axis=1)))]
            return np.stack([*places[:-1], nearest]), True
    return np.stack(places), False


def _keep(growth: _Growth, course: Points, rank: int, *, met: bool) -> None:
    if len(course) < 3:
        return
    growth.courses.append(course)
    growth.ranks.append(rank)
    growth.met.append(met)
    for place in course:
        row, column = growth.cell(place)
        # With its neighbours: nothing slips through between two cells that touch at a corner.
        growth.taken[max(0, row - 1) : row + 2, column] = len(growth.courses)
        growth.taken[row, max(0, column - 1) : column + 2] = len(growth.courses)


def _widths(growth: _Growth, rng: np.random.Generator, surface: Surface) -> list[Fissure]:
    """Give every crack a width: the later it came, the finer; hardly there towards the border of the patch."""
    lines = []
    for course, rank, met in zip(growth.courses, growth.ranks, growth.met, strict=True):
        finest = 2.5 * max(1.0, surface.scale)
        line = resample(jagged(course[:: 2 if len(course) > 6 else 1], rng, roughness=0.09, finest=finest))
        t = np.linspace(0, 1, len(line), dtype=np.float32)
        own = 1.0 * 0.68**rank * float(np.exp(rng.normal(0, 0.3)))
        uneven = (
            0.45
            + 0.8 * along(t, rng, knots=max(3, len(line) // 30))
            + 0.3 * along(t, rng, knots=max(4, len(line) // 8))
        )
        gape = np.float32(own) * uneven
        if not met and rank > 0:
            gape *= smoothstep(1 - t, 0.0, 0.8)
        x = np.clip(np.round(line[:, 0]).astype(int), 0, surface.shape[1] - 1)
        y = np.clip(np.round(line[:, 1]).astype(int), 0, surface.shape[0] - 1)
        lines.append(Fissure(line, np.asarray(gape * smoothstep(growth.damage[y, x], 0.0, 0.7), dtype=np.float32)))
    return lines
