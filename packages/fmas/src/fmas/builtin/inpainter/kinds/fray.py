"""Fray: fibres stand out of the product's edge; inside it, a worn patch, a fuzzy one or pulled threads.

Worn means that what gave the surface its texture is gone: its lines are missing, it is matt and uneven, and the patch
has a rim where the untouched surface stands a little higher.
"""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from fmas.builtin.inpainter.filters import blur, displace, gradient, smoothstep
from fmas.builtin.inpainter.grain import borrow_grain
from fmas.builtin.inpainter.lay import lay_of
from fmas.builtin.inpainter.layers import busy, lightens, share_of_light, within_light
from fmas.builtin.inpainter.light import slope_towards
from fmas.builtin.inpainter.noise import fractal
from fmas.builtin.inpainter.paths import random_place
from fmas.builtin.inpainter.shapes import blob, coverage, scattered
from fmas.builtin.inpainter.strands import brush
from fmas.builtin.inpainter.strokes import Points, smoothed
from fmas.builtin.inpainter.surface import Surface
from fmas.builtin.inpainter.words import mentioned
from fmas.types import Defect, FloatMap

__all__ = ["render"]

_WOVEN = MappingProxyType(
    dict.fromkeys(("thread", "fib", "yarn", "fabric", "cloth", "textile", "carpet", "rope", "fuzz", "pull"), True)
)


def render(surface: Surface, defect: Defect, intensity: float, rng: np.random.Generator) -> FloatMap:
    """Fray an edge where the region has one, else wear the surface; see :mod:`fmas.builtin.inpainter.registry`."""
    product = surface.foreground.astype(np.float32)
    soft = blur(product, 2.0)
    border = (soft > 0.25) & (soft < 0.75) & (surface.room > 0.3 * surface.reach)
    chance, woven = rng.random(), mentioned(defect, _WOVEN)
    if border.any() and (woven or chance > 0.35):
        return _edge(surface, intensity, rng, border)
    if woven:
        return _fuzzy(_matted(surface, intensity, rng), surface, intensity, rng)
    if chance < 0.55:
        return _worn(surface.opened(), intensity, rng)
    if chance < 0.8:
        return _matted(surface.opened(), intensity, rng)
    return _fuzzy(_matted(surface.opened(), 0.7 * intensity, rng), surface, intensity, rng)


def _worn(surface: Surface, intensity: float, rng: np.random.Generator) -> FloatMap:
    """Rub the texture off a patch."""
    ragged = rng.random() < 0.15
    field = blob(surface, rng, fill=(0.6, 1.0), roughness=rng.uniform(0.18, 0.3) if ragged else rng.uniform(0.04, 0.18))
    size = max(1.0, float(field.max()))
    # Where the region reaches over the product's border the patch is open towards it.
    inside = smoothstep(field, -0.7, max(1.6, rng.uniform(0.1, 0.5) * size)) * blur(
        surface.foreground.astype(np.float32), 0.7
    )
    most = surface.depth(intensity, rng.uniform(0.28, 0.45) * busy(surface))
    level = max(surface.level, 25.0)
    darker = not lightens(surface, rng, 0.05)
    depth = np.float32(share_of_light(most, 0.58) if darker else most)
    cloud = fractal(surface.shape, rng, cell=max(4.0, 0.8 * size), octaves=4, persistence=0.6)
    matt = fractal(surface.shape, rng, cell=max(2.0, 2.2 * max(1.0, surface.scale)), octaves=2, persistence=0.7)
    flat = blur(surface.base, max(1.5, 2.5 * surface.scale))
    rough = np.float32(0.12 * depth * level) * matt[..., None] + borrow_grain(surface.whole, rng, surface.shape)
    bare = flat + np.float32(0.8) * rough
    gone = np.float32(min(0.6, 0.2 + 0.45 * intensity)) * inside[..., None]
    painted = surface.base + gone * (bare - surface.base)
    sign = np.float32(-1 if darker else 1)
    headroom = 1.0 if darker else float(np.clip((250 - surface.level) / 120, 0.1, 1))
    painted += np.float32(level * headroom) * (sign * depth * inside * np.clip(0.85 + 0.2 * cloud, 0.5, 1.3))[..., None]
    # The rim: untouched surface stands higher, and what was torn there catches light.
    step = slope_towards(-smoothstep(field, -1.5, 1.5) * np.float32(2.0), surface.light)
    painted *= 1 + (np.float32(0.2) * depth * np.clip(step, -1, 1) * (0.6 + 0.5 * cloud))[..., None]
    if rng.random() < 0.08:
        row, column = divmod(int(rng.choice(np.flatnonzero(inside.ravel() > 0.5 * inside.max()))), surface.shape[1])
        torn = scattered(
            surface,
            rng,
            count=int(rng.integers(3, 16)),
            centre=(column, row),
            spread=0.35 * size,
            radius=(0.6 * max(1.0, surface.scale), 2.0 * max(1.0, surface.scale)),
            squeeze=0.3,
        )
        glint = coverage(torn, 1.2) * np.float32(1.3 * depth * headroom * level)
        painted += glint[..., None]
    return within_light(surface, np.asarray(painted, dtype=np.float32), 0.6 * intensity)


def _matted(surface: Surface, intensity: float, rng: np.random.Generator) -> FloatMap:
    """Ruffle and dull a patch of the product: its own texture, moved about."""
    field = blob(surface, rng, fill=(0.6, 0.95), roughness=rng.uniform(0.12, 0.28), detail=1.0)
    size = max(1.0, float(field.max()))
    ragged = fractal(surface.shape, rng, cell=max(2.5, 0.25 * size), octaves=4, persistence=0.7)
    product = blur(surface.foreground.astype(np.float32), 0.7)
    patch = smoothstep(field + np.float32(0.12 * size) * ragged, 0.0, max(1.5, 0.35 * size)) * product
    reach = np.float32(min(6.0, 0.12 * size + 0.5) * min(1.0, intensity))
    cell = 3.5 * max(1.0, surface.scale)
    moved = displace(surface.base, *(reach * patch * fractal(surface.shape, rng, cell=cell, octaves=2) for _ in "xy"))
    depth = np.float32(share_of_light(surface.depth(intensity, 0.38 * busy(surface)), 0.58))
    tone = 1 if lightens(surface, rng, 0.05) else -1
    dull = moved + np.float32(0.5 * min(1.0, intensity)) * patch[..., None] * (blur(moved, 1.5) - moved)
    dull += np.float32(0.6 * min(1.0, intensity)) * patch[..., None] * borrow_grain(surface.whole, rng, surface.shape)
    shade = np.float32(tone) * depth * patch * np.clip(0.85 + 0.25 * ragged, 0.3, 1.3)
    # Of a black surface there is nothing to multiply: what is roughened scatters a little light of its own.
    lift = np.float32(max(0.0, 25.0 - surface.level)) * np.maximum(shade, 0)
    matted = np.asarray(dull * (1 + shade)[..., None] + lift[..., None], dtype=np.float32)
    return within_light(surface, matted, 0.6 * intensity)


def _fuzzy(painted: FloatMap, surface: Surface, intensity: float, rng: np.random.Generator) -> FloatMap:
    """Pull hairs out of the surface round one place: combed, curled, each lit by itself."""
    frame = surface.frame
    place = random_place(surface, rng, deep=0.5)
    count = int(rng.integers(12, 60))
    spread = 0.35 * surface.reach
    combed = lay_of(surface).angle + rng.normal(0, 0.4) + (np.pi if rng.random() < 0.5 else 0)
    loose = rng.uniform(0.3, 1.2)
    courses = []
    for _ in range(count):
        root = place + rng.normal(0, spread, 2).clip(-1.8 * spread, 1.8 * spread) * (1 + 0.5 * abs(frame.ux))
        heading = combed + rng.normal(0, loose)
        towards = np.array([np.cos(heading), np.sin(heading)])
        courses.append(_hair(root, towards, max(2.5, surface.reach * rng.uniform(0.15, 0.6)), rng))
    return _laid(painted, surface, courses, intensity, rng, tone=float(surface.level))


def _edge(
    surface: Surface,
    intensity: float,
    rng: np.random.Generator,
    border: np.ndarray[tuple[int, int], np.dtype[np.bool_]],
) -> FloatMap:
    """Let the product's outline get ragged, and hairs stand out of it over the background."""
    product = surface.foreground.astype(np.float32)
    dx, dy = gradient(blur(product, 3.0))
    steep = np.maximum(np.hypot(dx, dy), 1e-4)
    rows, columns = np.nonzero(border)
    longest = max(3.0, 0.75 * surface.reach)
    middle = int(rng.integers(rows.size))
    away = np.hypot(
        np.arange(surface.shape[1])[None, :] - columns[middle], np.arange(surface.shape[0])[:, None] - rows[middle]
    )
    spread = longest * rng.uniform(0.6, 1.1)
    near = np.exp(-((away / spread) ** 2)).astype(np.float32) * smoothstep(surface.room, 0.0, 0.3 * surface.reach)
    ragged = fractal(surface.shape, rng, cell=max(3.0, 5.0 * surface.scale), octaves=3, persistence=0.7)
    at_border = np.exp(-(((blur(product, 2.0) - 0.5) / 0.45) ** 2))
    pull = np.float32(min(4.0, 0.12 * longest + 0.8) * max(1.0, surface.scale) * min(1.0, intensity)) * near * at_border
    painted = displace(surface.base, dx / steep * pull * ragged, dy / steep * pull * ragged)
    inner = blur(product, 0.15 * surface.reach + 1)
    worn = near * smoothstep(1 - inner, 0.0, 0.3) * blur(product, 0.7)
    depth = np.float32(share_of_light(surface.depth(intensity, 0.35), 0.8))
    painted = painted * (1 - depth * worn * np.clip(0.7 + 0.4 * ragged, 0.1, 1.3))[..., None]
    combed, count = rng.normal(0, 0.4), int(rng.integers(14, 50))
    order = np.argsort(away[rows, columns] * rng.uniform(0.5, 1.5, rows.size), kind="stable")
    courses, level = [], []
    for index in order[np.linspace(0, min(rows.size, int(3.5 * spread)) - 1, count).astype(int)]:
        row, column = int(rows[index]), int(columns[index])
        outward = -np.array([dx[row, column], dy[row, column]]) / steep[row, column]
        root = np.array([column, row], float) - 2 * outward
        courses.append(_hair(root, outward, longest * (0.12 + 0.88 * rng.random() ** 2.5), rng, combed))
        level.append(_root_level(surface, row, column, outward))
    return _laid(painted, surface, courses, intensity, rng, tone=float(np.median(level)))


def _hair(root: Points, towards: Points, length: float, rng: np.random.Generator, combed: float = 0.0) -> Points:
    """Return a course that leaves ``root`` and curls away; ``combed`` leans all hairs the same way."""
    across = np.array([-towards[1], towards[0]])
    lean, curl, wave = combed + rng.normal(0, 0.3), rng.normal(0, 0.6), rng.normal(0, 0.15)
    phase, turns = rng.uniform(0, 6.3), rng.uniform(3, 9)
    places = [
        root + length * (s * towards + (lean * s + curl * s * s + wave * np.sin(turns * s + phase) * s) * across)
        for s in np.linspace(0, 1, 7)
    ]
    return smoothed(np.stack(places), 2)


def _root_level(surface: Surface, row: int, column: int, outward: Points) -> float:
    """Return the product's brightness just inside its border, in grey levels."""
    x = int(np.clip(column - 4 * outward[0], 0, surface.shape[1] - 1))
    y = int(np.clip(row - 4 * outward[1], 0, surface.shape[0] - 1))
    window = surface.base[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2]
    return float(window.mean())


def _laid(
    painted: FloatMap,
    surface: Surface,
    courses: list[Points],
    intensity: float,
    rng: np.random.Generator,
    *,
    tone: float,
) -> FloatMap:
    """Lay hairs of the product's own colour over a painting, most of them lit, with a faint shadow beside each."""
    radius = min(rng.uniform(0.25, 0.55) * max(0.9, surface.scale**0.6), max(0.4, 0.3 * surface.reach))
    cover, value = brush(surface.shape, courses, rng.uniform(0, 1, len(courses)).tolist(), radius=radius)
    cover *= smoothstep(surface.room, 0.3, 1.5 + radius)
    depth = surface.depth(intensity, 0.6)
    lift = 0.8 * max(1.0, surface.scale)
    shadow = displace(cover[..., None], *(np.full(surface.shape, np.float32(part * lift)) for part in surface.light))
    painted = painted * (1 - np.float32(min(0.45, 0.5 * depth)) * blur(shadow, 0.8))
    product = blur(surface.base, 2.0).mean(axis=(0, 1), dtype=np.float32)
    colour = product / max(float(product.mean()), 1.0)
    # From a shaded hair to a gleaming one.
    grey = np.clip(tone * (1 + np.float32(depth) * (1.7 * value - 0.55)) + 6, 0, 250)
    opacity = np.float32(min(0.95, 0.3 + 0.7 * intensity)) * cover[..., None]
    return np.asarray(painted + opacity * (grey[..., None] * colour - painted), dtype=np.float32)
