"""A chip or a break: material is gone.

At the product's border the background shows behind a rough fracture face; elsewhere a flake leaves a shallow,
shell-like scar.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from fmas.builtin.inpainter.cavity import carve
from fmas.builtin.inpainter.filters import blur, displace, gradient, smoothstep
from fmas.builtin.inpainter.light import slope_towards
from fmas.builtin.inpainter.noise import fractal
from fmas.builtin.inpainter.paths import random_place
from fmas.builtin.inpainter.shapes import coverage, facets, spot_for
from fmas.builtin.inpainter.surface import Surface
from fmas.types import Defect, FloatMap

__all__ = ["render_break", "render_chip"]


@dataclass(frozen=True, slots=True)
class _Bite:
    """How much is taken away.

    Attributes:
        size: Half extents of the bite, as a share of the room there is, least and most.
        face: Width of the fracture face, as a share of the bite's size.
    """

    size: tuple[float, float]
    face: float


_CHIP = _Bite(size=(0.4, 0.7), face=0.55)
_BREAK = _Bite(size=(0.65, 0.9), face=0.35)


def render_chip(surface: Surface, defect: Defect, intensity: float, rng: np.random.Generator) -> FloatMap:
    """Knock a small piece off; see :mod:`fmas.builtin.inpainter.registry`."""
    return _render(surface, intensity, rng, _CHIP)


def render_break(surface: Surface, defect: Defect, intensity: float, rng: np.random.Generator) -> FloatMap:
    """Break a large piece off; see :mod:`fmas.builtin.inpainter.registry`."""
    return _render(surface, intensity, rng, _BREAK)


def _render(surface: Surface, intensity: float, rng: np.random.Generator, bite: _Bite) -> FloatMap:
    inwards = _distance_from_border(surface)
    border = (np.abs(inwards) <= 1.0) & (surface.room > 0.45 * surface.reach)
    share = rng.uniform(*bite.size, 2)
    if border.any():
        share *= 0.35 + 0.65 * min(intensity, 1.0)
        rows, columns = np.nonzero(border)
        pick = int(rng.integers(rows.size))
        x, y = float(columns[pick]), float(rows[pick])
        room = float(surface.room[rows[pick], columns[pick]])
        axes = (max(1.0, 1.3 * room * share[0]), max(1.0, room * share[1]))
        field = facets(surface, rng, x=x, y=y, axes=axes, roughness=0.07)
        return _bitten(surface, intensity, rng, field, inwards, face=bite.face)
    short = max(1.0, surface.frame.short * share[1])
    axes = (min(max(1.0, surface.frame.long * share[0]), 3.0 * short), short)
    x, y = spot_for(surface, rng, axes)
    if not surface.region[int(np.clip(y, 0, surface.shape[0] - 1)), int(np.clip(x, 0, surface.shape[1] - 1))]:
        x, y = random_place(surface, rng, deep=0.8)
    field = facets(surface, rng, x=x, y=y, axes=axes, roughness=0.05)
    return _flaked(surface, intensity, rng, field)


def _distance_from_border(surface: Surface) -> FloatMap:
    """Return the signed distance to the product's border, positive on the product; large when there is none."""
    product = surface.foreground.astype(np.uint8)
    if product.all() or not product.any():
        return np.full(surface.shape, 1e6, np.float32)
    inside = np.asarray(cv2.distanceTransform(product, cv2.DIST_L2, 5), dtype=np.float32)
    outside = np.asarray(cv2.distanceTransform(1 - product, cv2.DIST_L2, 5), dtype=np.float32)
    return inside - outside


def _bitten(
    surface: Surface, intensity: float, rng: np.random.Generator, field: FloatMap, inwards: FloatMap, *, face: float
) -> FloatMap:
    """Show the background where the piece is gone and the fracture face between it and the surface."""
    size = max(1.0, float(field.max()))
    rough = fractal(surface.shape, rng, cell=max(3.0, 0.6 * size), octaves=4, persistence=0.6)
    width = max(1.2, face * size)
    fracture = _flaked(surface, intensity, rng, field)
    gone = coverage(field - np.float32(width) + np.float32(0.3 * width) * rough, 1.2)
    gone *= smoothstep(inwards, -4.0, -2.5) * np.float32(min(1.0, 0.6 + 0.6 * intensity))
    on_product = smoothstep(inwards, -1.5, 0.5)[..., None]
    painted = surface.base + on_product * (fracture - surface.base)
    return painted + gone[..., None] * (_background(surface, inwards) - painted)


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
    flat = np.median(known, axis=0).astype(np.float32)
    return np.asarray(flat + valid * (mirrored - flat), dtype=np.float32)


def _flaked(surface: Surface, intensity: float, rng: np.random.Generator, field: FloatMap) -> FloatMap:
    """Leave a shallow scar with shell lines where a flake came off."""
    size = max(1.0, float(field.max()))
    depth = min(0.85, surface.depth(intensity, 0.52))
    painted = carve(
        surface,
        rng,
        field,
        dark=0.75 * depth,
        wall=max(1.3, min(0.22 * size, 3.5 * max(1.0, surface.scale))),
        relief=0.5 * depth,
        keep_texture=float(np.clip(0.9 - 1.5 * intensity, 0.1, 0.9)),
        mottle=0.25 * depth,
    )
    # Shells run round the point where the blow fell, and the scar slopes towards it.
    blow = random_place(surface, rng, deep=0.1)
    height, width = surface.shape
    dx, dy = np.arange(width)[None, :] - blow[0], np.arange(height)[:, None] - blow[1]
    warp = fractal(surface.shape, rng, cell=max(4.0, 1.5 * size), octaves=3)
    distance = np.hypot(dx, dy).astype(np.float32) + np.float32(0.35 * size) * warp
    spacing = max(3.0, rng.uniform(0.45, 0.9) * size)
    shells = np.sin(distance * np.float32(2 * np.pi / spacing)) * np.float32(0.25 * spacing / np.pi)
    slope = np.float32(rng.uniform(0.2, 0.5)) * distance
    lit = np.clip(slope_towards(shells + slope, surface.light), -1, 1) * coverage(field - 1, 2.0)
    # A dark seam all around, where the scar undercuts.
    seam = np.exp(-((field - np.float32(0.7)) ** 2))
    shading = 1 + np.float32(0.35 * depth) * lit - np.float32(0.4 * depth) * seam
    return np.asarray(painted * shading[..., None], dtype=np.float32)
