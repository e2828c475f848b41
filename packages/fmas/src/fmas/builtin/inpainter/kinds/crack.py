"""A crack: it starts somewhere, wanders, thins out and breaks up; dark where no light gets in, with a lit lip."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

import numpy as np

from fmas.builtin.inpainter.crazing import net
from fmas.builtin.inpainter.filters import blur, extent
from fmas.builtin.inpainter.fissures import Fissure, fork, ground_out, opened, profile, rejoining, root_pit, stepped
from fmas.builtin.inpainter.lay import lay_of
from fmas.builtin.inpainter.layers import share_of_light, within_light
from fmas.builtin.inpainter.paths import backbone, random_place
from fmas.builtin.inpainter.strokes import jagged, resample, smoothed
from fmas.builtin.inpainter.surface import Surface
from fmas.builtin.inpainter.words import mentioned
from fmas.types import Defect, FloatMap

__all__ = ["render"]


def render(surface: Surface, defect: Defect, intensity: float, rng: np.random.Generator) -> FloatMap:
    """Open a crack in one of a few manners; see :mod:`fmas.builtin.inpainter.registry`."""
    # A crack may come from the product's outline or from beyond the picture.
    surface = surface.opened()
    drawn = float(rng.random())
    chance = next(draw for most, draw in _CHANCES if drawn < most)
    radius = np.exp(rng.uniform(np.log(0.55), np.log(1.0))) * max(0.9, surface.scale) ** rng.uniform(0.2, 0.9)
    radius = float(min(radius, max(0.4, 0.2 * surface.reach)))
    full = float(rng.uniform(0.4, 0.68))
    manner = mentioned(defect, _WORDS) or chance
    if manner is _net:
        # Shrinking opens a surface by little.
        radius, full = min(radius, 0.9, max(0.45, 0.025 * surface.reach)), 0.75 * full
    lines = manner(surface, rng)
    gap, lip = opened(surface, lines, radius, rng)
    dark = np.float32(share_of_light(surface.depth(intensity, full), 0.92))
    # On black only the lips can be seen.
    shine = np.float32(min(0.6, rng.uniform(0.0, 0.12) + max(0.0, 70 - surface.level) / 120))
    painted = surface.base.copy()
    box = extent(gap > 0.01, pad=6)
    if box is None:  # no room for a line: the finish leaves a speck
        return painted
    change = -dark * gap[box] + shine * dark * lip[box] * (1 - gap[box])
    # Down in the gap there is nothing of the surface's texture.
    smooth = blur(surface.base[box], 2.0)
    under = smooth + (0.55 - 0.4 * gap[box])[..., None] * (surface.base[box] - smooth)
    painted[box] += change[..., None] * (under + np.float32(surface.sheen))
    painted[box] = within_light(surface.part(box), painted[box], intensity)
    return painted


def _heading(surface: Surface, rng: np.random.Generator) -> float | None:
    """Return the way the material is inclined to part: wood and rolled metal split along their grain."""
    follows = rng.random() < 0.8
    if not follows:
        return None
    lay = lay_of(surface.cut(surface.frame.x, surface.frame.y, 64)[0])
    return lay.angle if lay.strength > 0.2 else None


def _span(rng: np.random.Generator) -> tuple[float, float]:
    """Draw how much of the room there is a crack takes: some are short, some run through it all."""
    return ((0.15, 0.45), (0.4, 0.9), (1.0, 1.0))[int(rng.choice(3, p=[0.3, 0.45, 0.25]))]


def _wandering(surface: Surface, rng: np.random.Generator) -> list[Fissure]:
    """One long smooth crack that thins into a hairline and at last into dots."""
    course = backbone(surface, rng, bow=0.18, span=_span(rng), heading=_heading(surface, rng), hold=0.6)
    rough, finest = rng.uniform(0.02, 0.07), rng.uniform(5.0, 11.0) * max(1.0, surface.scale)
    trunk = resample(smoothed(jagged(course[:: max(1, len(course) // 5)], rng, roughness=rough, finest=finest), 2))
    return _dressed(surface, rng, trunk, finest=finest, rough=0.08, forks=(0, 0, 0, 0, 0, 0, 1))


def _torn(surface: Surface, rng: np.random.Generator) -> list[Fissure]:
    """A jagged crack, now and then with an unequal fork."""
    finest = 4.0 * max(1.0, surface.scale)
    roughness = rng.uniform(0.05, 0.11)
    course = backbone(surface, rng, bow=0.15, span=_span(rng), heading=_heading(surface, rng), hold=0.6)
    trunk = resample(smoothed(jagged(course[:: max(1, len(course) // 6)], rng, roughness=roughness, finest=finest), 1))
    return _dressed(surface, rng, trunk, finest=finest, rough=roughness, forks=(0, 0, 0, 0, 0, 1))


def _branched(surface: Surface, rng: np.random.Generator) -> list[Fissure]:
    """A jagged crack with branches that branch again, each finer than what it leaves."""
    finest = 4.0 * max(1.0, surface.scale)
    roughness = rng.uniform(0.05, 0.11)
    course = backbone(surface, rng, bow=0.15, span=(0.4, 1.0), heading=_heading(surface, rng), hold=0.6)
    trunk = resample(jagged(course[:: max(1, len(course) // 6)], rng, roughness=roughness, finest=finest))
    return _dressed(surface, rng, trunk, finest=finest, rough=roughness, forks=(2, 3, 4, 5))


def _dressed(
    surface: Surface,
    rng: np.random.Generator,
    trunk: np.ndarray[tuple[int, int], np.dtype[np.float64]],
    *,
    finest: float,
    rough: float,
    forks: tuple[int, ...],
) -> list[Fissure]:
    """Give a course its width, and what real ones have besides: offsets, a side strand, a fork, a pit they start at."""
    gape = profile(trunk, rng)
    sidewards = max(1.0, surface.scale**0.7)
    whole = Fissure(trunk, gape)
    lines = stepped(whole, rng, sidewards) if rng.random() < 0.1 else [whole]
    for _ in range(int(rng.choice((0, 0, 0, 0, 0, 1)))):
        lines.append(rejoining(whole, rng, sidewards))
    for _ in range(int(rng.choice(forks))):
        branch = fork(whole, rng, roughness=rough, finest=finest)
        lines.append(branch)
        if rng.random() < 0.25 and len(branch.points) > 40:
            lines.append(fork(branch, rng, roughness=rough, finest=finest))
    if rng.random() < 0.06:
        lines.append(root_pit(whole, rng))
    return [ground_out(line, rng) for line in lines]


def _star(surface: Surface, rng: np.random.Generator) -> list[Fissure]:
    """Cracks that run out from where something struck, very unequal, some of them joined by a piece of a ring."""
    centre = random_place(surface, rng, deep=0.7)
    reach = float(surface.room[int(centre[1]), int(centre[0])])
    rays = int(rng.integers(3, 9))
    finest = 3.0 * max(1.0, surface.scale)
    lines, turns = [], (np.arange(rays) + rng.uniform(-0.4, 0.4, rays)) * 2 * np.pi / rays + rng.uniform(0, np.pi)
    for turn in turns:
        towards = np.array([np.cos(turn), np.sin(turn)])
        straight = np.stack([centre + rng.normal(0, 0.03, 2) * reach, centre + towards * reach * rng.beta(1.2, 1.2)])
        line = resample(jagged(straight, rng, roughness=0.14, finest=finest))
        lines.append(ground_out(Fissure(line, profile(line, rng, peak=0.0) * np.float32(rng.uniform(0.4, 1.0))), rng))
    for _ in range(int(rng.integers(0, 3))):
        index = int(rng.integers(rays))
        first, last = turns[index], turns[(index + 1) % rays] + (2 * np.pi if index == rays - 1 else 0)
        angle = np.linspace(first, last, 6)
        arc = centre + reach * rng.uniform(0.15, 0.4) * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        line = resample(jagged(arc, rng, roughness=0.12, finest=finest))
        lines.append(Fissure(line, profile(line, rng) * np.float32(0.5)))
    return lines


def _net(surface: Surface, rng: np.random.Generator) -> list[Fissure]:
    """Crazing, as a glaze, a coat of paint or mud gets when it shrinks."""
    return net(surface, rng) or _torn(surface, rng)


_Draw = Callable[[Surface, np.random.Generator], list[Fissure]]

_CHANCES: tuple[tuple[float, _Draw], ...] = (
    (0.7, _wandering),
    (0.92, _torn),
    (0.95, _branched),
    (0.97, _star),
    (1.0, _net),
)
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
        "branch": _branched,
        "jagged": _torn,
        "hairline": _wandering,
    }
)
