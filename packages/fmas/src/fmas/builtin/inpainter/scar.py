"""The fresh surface that is left where material came off: its relief, its tone, its own roughness."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fmas.builtin.inpainter.filters import blur, extent, mean_channel, smoothstep
from fmas.builtin.inpainter.grain import borrow_grain
from fmas.builtin.inpainter.light import slope_towards
from fmas.builtin.inpainter.noise import fractal
from fmas.builtin.inpainter.shapes import coverage
from fmas.builtin.inpainter.surface import Surface
from fmas.types import FloatMap

__all__ = ["Scar", "facetted", "flat", "reveal", "shelled"]


@dataclass(frozen=True, slots=True, eq=False)
class Scar:
    """What a scar looks like.

    Attributes:
        height: Its relief, ``(h, w)`` float32, in pixels; below 0 is below the surface.
        tone: How much darker (below 0) or lighter the fresh material is, relative to the strength of the defect.
        rough: How much of that strength its fine roughness takes, 0..1.
    """

    height: FloatMap
    tone: float
    rough: float


def _edge(rng: np.random.Generator, field: FloatMap) -> FloatMap:
    """Return the fall from the surface to the scar, ``(h, w)`` float32, in pixels: a crisp step of uneven height."""
    step = fractal(field.shape, rng, cell=max(4.0, 2.0 * float(field.max())), octaves=2) * np.float32(0.6) + 1
    fall = -np.float32(rng.uniform(0.25, 0.65)) * np.maximum(step, 0.15) * smoothstep(field, -0.8, 1.6)
    return np.asarray(fall, dtype=np.float32)


def facetted(surface: Surface, rng: np.random.Generator, field: FloatMap) -> Scar:
    """Return a scar of a few uneven faces that meet in ridges, as rock and ceramics break."""
    size = max(1.0, float(field.max()))
    height, width = surface.shape
    row, column = np.unravel_index(int(field.argmax()), field.shape)
    dx = (np.arange(width, dtype=np.float32) - np.float32(column))[None, :]
    dy = (np.arange(height, dtype=np.float32) - np.float32(row))[:, None]
    warp = fractal(surface.shape, rng, cell=max(3.0, 0.9 * size), octaves=3, persistence=0.55) * np.float32(0.25 * size)
    relief = np.full(surface.shape, np.float32(-1e6))
    for _ in range(int(rng.integers(2, 6))):
        turn, steep, shift = rng.uniform(0, 2 * np.pi), rng.uniform(0.05, 0.45), rng.uniform(-0.25, 0.25) * size
        plane = np.float32(steep * np.cos(turn)) * dx + np.float32(steep * np.sin(turn)) * dy + np.float32(shift)
        relief = np.maximum(relief, plane + np.float32(0.4 * steep) * warp)
    return Scar(relief + _edge(rng, field), rng.uniform(-0.95, -0.1), rng.uniform(0.1, 0.5))


def shelled(surface: Surface, rng: np.random.Generator, field: FloatMap) -> Scar:
    """Return a smooth hollow with faint shells round the point of the blow, as glass and flint break."""
    size = max(1.0, float(field.max()))
    height, width = surface.shape
    row, column = np.unravel_index(int(field.argmax()), field.shape)
    turn = rng.uniform(0, 2 * np.pi)
    blow = _beyond(field, (float(column), float(row)), (float(np.cos(turn)), float(np.sin(turn))), 0.25 * size)
    dx = (np.arange(width, dtype=np.float32) - np.float32(blow[0]))[None, :]
    dy = (np.arange(height, dtype=np.float32) - np.float32(blow[1]))[:, None]
    warp = fractal(surface.shape, rng, cell=max(4.0, 1.5 * size), octaves=2)
    distance = np.hypot(dx, dy) + np.float32(0.25 * size) * warp
    spacing = max(3.0, rng.uniform(0.3, 0.7) * size)
    # Shells are close together near the blow and run out away from it.
    shells = np.sin(np.sqrt(np.maximum(distance, 0) * np.float32(size)) * np.float32(2 * np.pi / spacing))
    ripple = np.float32(rng.uniform(0.0, 0.07) * spacing) * shells * smoothstep(2.2 * size - distance, 0.0, 2.0 * size)
    # Deep where the blow fell, running out on the other side.
    hollow = -smoothstep(field, 0.0, rng.uniform(0.5, 1.0) * size) * np.float32(rng.uniform(0.05, 0.22) * size)
    ramp = np.float32(rng.uniform(0.05, 0.3)) * distance
    return Scar(hollow + ramp + ripple + _edge(rng, field), rng.uniform(-0.8, 0.1), rng.uniform(0.1, 0.3))


def _beyond(
    field: FloatMap, place: tuple[float, float], towards: tuple[float, float], far: float
) -> tuple[float, float]:
    """Return where one is ``far`` pixels past the outline, going from a place inside it in a direction."""
    height, width = field.shape
    for step in range(int(np.hypot(height, width))):
        x, y = place[0] + step * towards[0], place[1] + step * towards[1]
        if not (0 <= x < width - 1 and 0 <= y < height - 1) or field[int(y), int(x)] < 0:
            return x + far * towards[0], y + far * towards[1]
    return place


def flat(surface: Surface, rng: np.random.Generator, field: FloatMap) -> Scar:
    """Return the even ground under a coat that came off, with one or two steps of it left at the edge."""
    size = max(1.0, float(field.max()))
    uneven = fractal(surface.shape, rng, cell=max(4.0, size), octaves=3)
    relief = np.float32(0.02 * size) * uneven + _edge(rng, field)
    if rng.random() < 0.5:
        inner = field - np.float32(size * rng.uniform(0.15, 0.4)) * (1 + uneven)
        relief += np.float32(0.6) * _edge(rng, inner)
    tone = rng.uniform(0.4, 1.0) * (1 if rng.random() < np.clip((210 - surface.level) / 160, 0.15, 0.8) else -1)
    return Scar(relief, tone, rng.uniform(0.08, 0.25))


def reveal(
    surface: Surface, under: FloatMap, rng: np.random.Generator, field: FloatMap, *, scar: Scar, intensity: float
) -> FloatMap:
    """Show a scar inside an outline.

    Args:
        surface: The photograph.
        under: What has been painted so far, ``(h, w, C)`` float32.
        rng: Where the randomness comes from.
        field: The outline as a signed distance, ``(h, w)`` float32, positive inside, in pixels.
        scar: What there is to see.
        intensity: Severity times the component's strength.

    Returns:
        The painted window, ``(h, w, C)`` float32.
    """
    box = extent(field > -3, pad=4)
    result = under.copy()
    if box is None:
        return result
    depth = surface.depth(intensity, 0.62)
    surface, under, field = surface.part(box), under[box], field[box]
    size = max(1.0, float(field.max()))
    inside = coverage(field, 1.4)
    bumps = fractal(surface.shape, rng, cell=max(2.5, min(0.45 * size, 9.0)), octaves=4, persistence=0.75)
    crumbs = fractal(surface.shape, rng, cell=float(rng.uniform(2.2, 4.5)), octaves=2, persistence=0.7)
    cloud = fractal(surface.shape, rng, cell=max(4.0, 1.1 * size), octaves=3, persistence=0.6)
    # Along parts of the rim crumbs stand up and gleam.
    lip = np.exp(-((field - np.float32(0.4)) ** 2) / np.float32(1.6)) * smoothstep(cloud + crumbs, 0.35, 1.2)
    # Dark and light come and go over a fresh face.
    own = scar.tone if surface.level > 45 else abs(scar.tone)
    if own > 0:  # nothing fresh is brighter than white
        own *= 2 * float(np.clip((245 - surface.level) / 90, 0, 1)) - 1
    tone = np.float32(own) * np.clip(1 + np.float32(0.7) * cloud, 0.1, 1.9)
    roughness = np.float32(0.2 * scar.rough * min(size, 6.0)) * bumps
    lean = slope_towards(scar.height[box] + roughness, surface.light)
    inner = lean[field > 1] if (field > 1).any() else lean[field > 0]
    lean = lean - np.float32(round(float(inner.mean()), 3) if inner.size else 0) * np.float32(0.5)
    # On something dark, gleams are all there is to see.
    gleam = np.float32(np.interp(surface.level, [45, 90], [1.0, 0.4]))
    shading = (
        tone
        + np.float32(0.3 + 0.45 * gleam) * np.tanh(lean)
        + np.float32(0.1 + 0.3 * scar.rough) * (0.6 * bumps + 0.8 * crumbs)
        + np.float32(0.9) * gleam * smoothstep(crumbs, 0.9, 1.7)
        + np.float32(0.7) * gleam * lip
    )
    smooth = blur(surface.base, max(1.5, 0.5 * size))
    if surface.base.shape[2] == 3:
        # Under its skin a thing has less colour.
        pale = np.float32(0.35 * surface.colour * rng.random())
        smooth = smooth * (1 - pale) + pale * mean_channel(smooth)[..., None]
    keep = np.float32(np.clip(0.75 - 1.8 * intensity, 0.0, 0.75))
    fine = (surface.base - smooth) * keep + borrow_grain(surface.whole, rng, surface.shape) * (1 - keep)
    # What is bright already has little left to gain.
    headroom = np.float32(np.clip((245 - surface.level) / max(1.0, surface.level * depth), 0.15, 1.0))
    shading = np.clip(shading, -1.2, 1.3)
    shade = np.maximum(1 + np.float32(depth) * np.where(shading > 0, headroom * shading, shading), np.float32(0.06))
    # On black, what is rough and fresh is lighter: it scatters what the skin swallowed or mirrored away.
    ground = (
        smooth + (shade - 1)[..., None] * (smooth + np.float32(surface.sheen)) + fine * np.minimum(1, shade)[..., None]
    )
    result[box] = under + inside[..., None] * (ground - under)
    return result
