"""Fray: fibres stand out of the product's edge; inside it, a matted patch with a ragged outline and loose ends."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from fmas.builtin.inpainter.filters import blur, displace, gradient, smoothstep
from fmas.builtin.inpainter.noise import fractal
from fmas.builtin.inpainter.paths import random_place
from fmas.builtin.inpainter.shapes import blob
from fmas.builtin.inpainter.strands import lay_strand
from fmas.builtin.inpainter.strokes import Points, smoothed
from fmas.builtin.inpainter.surface import Surface
from fmas.builtin.inpainter.words import mentioned
from fmas.types import Defect, FloatMap

__all__ = ["render"]

_WOVEN = MappingProxyType(
    dict.fromkeys(("thread", "fib", "yarn", "fabric", "cloth", "textile", "carpet", "rope"), True)
)


def render(surface: Surface, defect: Defect, intensity: float, rng: np.random.Generator) -> FloatMap:
    """Fray an edge where the region has one, else roughen the surface; see :mod:`fmas.builtin.inpainter.registry`."""
    product = surface.foreground.astype(np.float32)
    soft = blur(product, 2.0)
    border = (soft > 0.25) & (soft < 0.75) & (surface.room > 0.3 * surface.reach)
    painted = _matted(surface, intensity, rng)
    if not border.any():
        return _loose_ends(painted, surface, intensity, rng) if mentioned(defect, _WOVEN) else painted
    rows, columns = np.nonzero(border)
    dx, dy = gradient(blur(product, 3.0))
    count = int(rng.integers(14, 36))
    longest = max(3.0, 0.75 * surface.reach)
    combed = rng.normal(0, 0.35)
    middle = int(rng.integers(rows.size))
    near = np.argsort(np.hypot(rows - rows[middle], columns - columns[middle]) * rng.uniform(0.5, 1.5, rows.size))
    for index in near[np.linspace(0, min(rows.size, int(4 * longest)) - 1, count).astype(int)]:
        row, column = int(rows[index]), int(columns[index])
        outward = -np.array([dx[row, column], dy[row, column]])
        outward /= max(float(np.hypot(*outward)), 1e-6)
        course = _hair(
            np.array([column, row], float) - 2 * outward,
            outward,
            longest * (0.2 + 0.8 * rng.random() ** 2),
            rng,
            combed,
        )
        _thread(painted, surface, course, intensity, rng, level=_root_level(surface, row, column, outward))
    return painted


def _matted(surface: Surface, intensity: float, rng: np.random.Generator) -> FloatMap:
    """Ruffle and darken a patch of the product: its own texture, moved about and dulled."""
    field = blob(surface, rng, fill=(0.6, 0.9), roughness=rng.uniform(0.35, 0.5), detail=0.7)
    size = max(1.0, float(field.max()))
    ragged = fractal(surface.shape, rng, cell=max(2.5, 0.22 * size), octaves=4, persistence=0.8)
    product = blur(surface.foreground.astype(np.float32), 0.7)
    patch = smoothstep(field + np.float32(0.22 * size) * ragged, 0.0, max(1.5, 0.1 * size)) * product
    if not surface.foreground.all():
        # Where the product ends, it is its edge that is matted.
        inner = blur(surface.foreground.astype(np.float32), 0.2 * surface.reach)
        patch = patch * smoothstep(1 - inner, 0.0, 0.25)
    reach = np.float32(min(5.0, 0.12 * size + 0.5) * min(1.0, intensity))
    moved = displace(
        surface.base,
        *(reach * patch * fractal(surface.shape, rng, cell=3.0 * max(1.0, surface.scale), octaves=2) for _ in "xy"),
    )
    depth = surface.depth(intensity, 0.38)
    dull = moved + np.float32(0.5 * min(1.0, intensity)) * patch[..., None] * (blur(moved, 1.5) - moved)
    return np.asarray(
        dull * (1 - np.float32(min(0.8, depth)) * patch * (0.85 + 0.25 * ragged))[..., None], dtype=np.float32
    )


def _loose_ends(painted: FloatMap, surface: Surface, intensity: float, rng: np.random.Generator) -> FloatMap:
    for _ in range(int(rng.integers(3, 9))):
        root = random_place(surface, rng, deep=0.35)
        heading = rng.uniform(0, 2 * np.pi)
        towards = np.array([np.cos(heading), np.sin(heading)])
        course = _hair(root, towards, max(2.0, 0.5 * surface.reach * rng.uniform(0.5, 1.0)), rng)
        _thread(painted, surface, course, intensity, rng, level=surface.level)
    return painted


def _hair(root: Points, towards: Points, length: float, rng: np.random.Generator, combed: float = 0.0) -> Points:
    """Return a course that leaves ``root`` and curls away; ``combed`` leans all hairs the same way."""
    across = np.array([-towards[1], towards[0]])
    lean, curl, wave = combed + rng.normal(0, 0.3), rng.normal(0, 0.5), rng.normal(0, 0.12)
    places = [
        root + length * (s * towards + (lean * s + curl * s * s + wave * np.sin(7 * s)) * across)
        for s in np.linspace(0, 1, 7)
    ]
    return smoothed(np.stack(places), 2)


def _root_level(surface: Surface, row: int, column: int, outward: Points) -> float:
    """Return the product's brightness just inside its border, in grey levels."""
    x = int(np.clip(column - 4 * outward[0], 0, surface.shape[1] - 1))
    y = int(np.clip(row - 4 * outward[1], 0, surface.shape[0] - 1))
    window = surface.base[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2]
    return float(window.mean())


def _thread(
    painted: FloatMap, surface: Surface, course: Points, intensity: float, rng: np.random.Generator, *, level: float
) -> None:
    depth = surface.depth(intensity, 0.45)
    grey = float(np.clip(level * (1 + depth * rng.uniform(0.3, 1.0)), 0, 250))
    lay_strand(
        painted,
        surface,
        course,
        rng,
        radius=min(rng.uniform(0.3, 0.55) * max(0.9, surface.scale**0.8), max(0.4, 0.3 * surface.reach)),
        tint=np.full(1, grey, np.float32),
        opacity=min(0.95, 0.25 + 0.7 * intensity),
        shadow=min(0.4, 0.4 * intensity),
        gloss=0.2,
        lift=0.5 * max(1.0, surface.scale),
        end_taper=0.25,
    )
