"""A bend: the part is out of line, its outline and texture with it, and creases catch the light."""

from __future__ import annotations

import numpy as np

from fmas.builtin.inpainter.filters import blur, displace, gradient, smoothstep
from fmas.builtin.inpainter.layers import busy, share_of_light
from fmas.builtin.inpainter.noise import fractal
from fmas.builtin.inpainter.shapes import blob
from fmas.builtin.inpainter.surface import Surface
from fmas.types import Defect, FloatMap

__all__ = ["render"]


def render(surface: Surface, defect: Defect, intensity: float, rng: np.random.Generator) -> FloatMap:
    """Push the part out of line along a crease or a few; see :mod:`fmas.builtin.inpainter.registry`."""
    field = blob(surface, rng, fill=(0.85, 1.0), roughness=0.12)
    room = smoothstep(field, 0.0, max(1.0, 0.8 * float(field.max())))
    row, column, angle = _crease_line(surface, room, rng)
    normal = (float(np.sin(angle)), float(-np.cos(angle)))
    height, width = surface.shape
    dx = (np.arange(width, dtype=np.float32) - np.float32(column))[None, :]
    dy = (np.arange(height, dtype=np.float32) - np.float32(row))[:, None]
    waver = fractal(surface.shape, rng, cell=max(4.0, surface.reach), octaves=2)
    across = dx * np.float32(normal[0]) + dy * np.float32(normal[1])
    beside = dy * np.float32(normal[0]) - dx * np.float32(normal[1])
    bow = np.float32(rng.normal(0, 0.25) / surface.reach)
    distance = across + bow * beside * beside + np.float32(0.12 * surface.reach) * waver
    push = np.float32(rng.uniform(0.17, 0.36) * surface.reach * min(1.0, 0.65 * intensity)) * room
    towards = 1.0 if rng.random() < 0.5 else -1.0
    # At the crease sideways, and on both sides a little towards it, as what stands up covers less of the ground.
    drawn = np.float32(0.35) * np.tanh(distance / np.float32(max(2.0, 0.4 * surface.reach)))
    shift = [
        push * (np.float32(towards * side) + drawn * np.float32(part))
        for side, part in ((-normal[1], normal[0]), (normal[0], normal[1]))
    ]
    moved = displace(surface.base, shift[0], shift[1])
    product = displace(surface.foreground.astype(np.float32)[..., None], shift[0], shift[1])[..., 0]
    shading = _creases(surface, distance, normal, intensity, rng) * room
    # A gloss shows on black as well.
    sheen = np.float32(0.4 * max(surface.level, 25.0) + max(0.0, 45.0 - surface.level))
    # Black has nothing to lose and white nothing to gain: there the other slope shows.
    losing, gaining = np.clip([surface.level / 60, (250 - surface.level) / 60], 0.15, 1).astype(np.float32)
    shading = np.where(shading < 0, losing, gaining) * shading
    # Half on what is there, half on the sheen of the whole: fine texture does not hide a fold.
    return np.asarray(moved + (shading * product)[..., None] * (0.6 * moved + sheen), dtype=np.float32)


def _crease_line(surface: Surface, room: FloatMap, rng: np.random.Generator) -> tuple[int, int, float]:
    """Return a row, a column and an angle: where the crease runs, and its direction."""
    frame = surface.frame
    product = blur(surface.foreground.astype(np.float32), 2.0)
    at_border = (np.abs(product - 0.5) < 0.3) & (room >= 0.5 * room.max())
    # The crease runs where there is room for it to be seen, best of all through the part's outline.
    spots = np.flatnonzero(at_border if at_border.any() else room >= 0.7 * room.max())
    row, column = divmod(int(spots[rng.integers(spots.size)]), surface.shape[1])
    tilt = float(rng.normal(0, 0.35))
    if at_border.any():
        dx, dy = gradient(blur(product, 2.0))
        return row, column, float(np.arctan2(dy[row, column], dx[row, column])) + tilt
    # Things bend across their long axis.
    return row, column, float(np.arctan2(frame.ux, -frame.uy)) + tilt


def _creases(
    surface: Surface, distance: FloatMap, normal: tuple[float, float], intensity: float, rng: np.random.Generator
) -> FloatMap:
    """Return the relative brightness of folds side by side: of each, one slope is lit and the other shaded."""
    facing = normal[0] * surface.light[0] + normal[1] * surface.light[1]
    # Even along the light a fold shows, by what it reflects.
    facing = float(np.copysign(max(0.45, abs(facing)), facing))
    up = 1.0 if rng.random() < 0.6 else -1.0
    total = np.zeros(surface.shape, np.float32)
    for index in range(int(rng.choice([1, 1, 1, 2, 3]))):
        offset = 0.0 if index == 0 else float(rng.uniform(0.3, 0.9) * surface.reach * rng.choice([-1, 1]))
        sharp = max(0.8, rng.uniform(0.05, 0.18) * surface.reach)
        wide = max(2.0, rng.uniform(0.25, 0.6) * surface.reach)
        here = distance - np.float32(offset)
        roof = np.tanh(here / np.float32(sharp)) * np.exp(-((here / np.float32(wide)) ** 2))
        ridge = np.exp(-((here / np.float32(0.7 * sharp)) ** 2))
        height = 1.0 if index == 0 else rng.uniform(0.35, 0.8)
        total += np.float32(height) * (np.float32(1.3 * up * facing) * roof + np.float32(0.4 * up) * ridge)
    along = np.clip(1 + 0.35 * fractal(surface.shape, rng, cell=max(4.0, 0.8 * surface.reach), octaves=2), 0.5, 1.5)
    depth = np.float32(share_of_light(surface.depth(intensity, 0.42 * busy(surface)), 1.6))
    return np.asarray(depth * total * along, dtype=np.float32)
