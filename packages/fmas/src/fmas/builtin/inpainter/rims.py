"""At the rim of a damage and around it: outlines that crumbled, and surroundings that took some of the damage."""

from __future__ import annotations

import cv2
import numpy as np

from fmas.builtin.inpainter.filters import blur, mean_channel, smoothstep
from fmas.builtin.inpainter.lay import lay_of
from fmas.builtin.inpainter.noise import fractal
from fmas.builtin.inpainter.shapes import coverage
from fmas.builtin.inpainter.surface import Surface
from fmas.types import FloatMap

__all__ = ["chopped", "crumbled", "weathered"]


def chopped(field: FloatMap, rng: np.random.Generator, count: int) -> FloatMap:
    """Cut an outline straight in a few places: what breaks has corners.

    Args:
        field: Signed distance, ``(h, w)`` float32, positive inside, in pixels.
        rng: Where the randomness comes from.
        count: How many straight cuts.

    Returns:
        ``(h, w)`` float32, nowhere more than ``field``.
    """
    size = float(field.max())
    if size <= 1 or count == 0:
        return field
    height, width = field.shape
    inside = np.flatnonzero(field > 0)
    for _ in range(count):
        # A line through a place near the outline; what lies beyond it, seen from the middle, stays.
        row, column = divmod(int(inside[rng.integers(inside.size)]), width)
        middle = divmod(int(np.argmax(field)), width)
        away = np.array([column - middle[1], row - middle[0]], dtype=np.float64)
        length = float(np.hypot(*away))
        if length < 0.35 * size:
            continue
        turn = float(np.arctan2(away[1], away[0])) + rng.normal(0, 0.35)
        nx, ny = float(np.cos(turn)), float(np.sin(turn))
        dx = (np.arange(width, dtype=np.float32) - np.float32(column))[None, :]
        dy = (np.arange(height, dtype=np.float32) - np.float32(row))[:, None]
        field = np.minimum(field, -(dx * np.float32(nx) + dy * np.float32(ny)))
    return field


def crumbled(
    surface: Surface, field: FloatMap, rng: np.random.Generator, *, share: float, nibble: float = 0.55
) -> FloatMap:
    """Roughen an outline at every scale down to a pixel, and let it give way where the surface is streaked.

    Args:
        surface: The photograph; ``field`` belongs to all of its window.
        field: Signed distance, ``(h, w)`` float32, positive inside, in pixels.
        rng: Where the randomness comes from.
        share: How rough the coarse scales are, about 0.02 (clean) to 0.3 (torn), as a share of the size.
        nibble: How far single grains break out at the outline, at most, in pixels.

    Returns:
        ``(h, w)`` float32; changed near the outline only.
    """
    size = float(np.clip(field.max(), 1.0, 60.0))
    rough = fractal(surface.shape, rng, cell=max(2.5, 0.9 * size), octaves=4, persistence=0.5)
    fine = fractal(surface.shape, rng, cell=2.0, octaves=1)
    luminance = mean_channel(surface.base)
    detail = blur(luminance, 0.7) - blur(luminance, 2.5)
    spread = float(np.abs(detail[::2, ::2]).mean()) * 2 + 1.0
    # A bright line is a ridge: it breaks out a little further than the groove beside it.
    give = np.clip(detail / np.float32(spread), -1, 1)
    bite = np.float32(min(nibble, 0.2 + 0.08 * size))
    near = smoothstep(np.abs(field), 2.0 * share * size + 4.0, 0.0)
    change = np.float32(1.3 * share * size) * rough + bite * (np.float32(0.9) * fine + np.float32(0.6) * give)
    return np.asarray(field + near * change, dtype=np.float32)


def weathered(
    surface: Surface, painted: FloatMap, field: FloatMap, rng: np.random.Generator, *, depth: float
) -> FloatMap:
    """Let the surroundings of a damage show that something happened: now and then a tail, a halo, some specks.

    Args:
        surface: The photograph.
        painted: With the damage, ``(h, w, C)`` float32; not written to.
        field: The damage's outline as a signed distance, ``(h, w)`` float32, positive inside, in pixels.
        rng: Where the randomness comes from.
        depth: The strength of the damage, as a fraction of the surface's brightness.

    Returns:
        The painted window, ``(h, w, C)`` float32.
    """
    luck = rng.random(3)
    size = float(np.clip(field.max(), 1.0, 40.0))
    outside = (1 - coverage(field, 1.4)) * surface.foreground
    tone = np.zeros(surface.shape, np.float32)
    cloud = fractal(surface.shape, rng, cell=max(3.0, 1.2 * size), octaves=4, persistence=0.65)
    if luck[0] < 0.12:
        tone += _tail(surface, field, rng, size) * np.clip(0.6 + 0.8 * cloud, 0, 1.4)
    if luck[1] < 0.65:
        wide = float(rng.uniform(0.35, 1.2)) * size + 1.0
        dirt = np.float32(rng.uniform(0.12, 0.32) * (-1 if rng.random() < 0.85 else 0.5))
        tone += dirt * np.exp(np.minimum(field, 0) / np.float32(wide)) * np.clip(0.4 + 1.1 * cloud, 0, 1.5)
    if luck[2] < 0.1:
        tone += _specks(surface, field, rng, size)
    if not tone.any():
        return painted
    change = np.clip(tone * outside, -1, 0.8) * np.float32(depth)
    return np.asarray(painted + change[..., None] * (blur(surface.base, 1.0) + np.float32(surface.sheen)), np.float32)


def _tail(surface: Surface, field: FloatMap, rng: np.random.Generator, size: float) -> FloatMap:
    """Return how a damage was dragged out along the surface's lay, to one side, ``(h, w)`` float32."""
    lay = lay_of(surface)
    angle = lay.angle if lay.strength > 0.15 else float(rng.uniform(0, np.pi))
    length = int(np.clip(rng.uniform(0.8, 3.0) * size, 3, 40))
    sign = 1 if rng.random() < 0.5 else -1
    kernel = np.zeros((2 * length + 1, 2 * length + 1), np.float32)
    for step in range(1, length + 1):
        x = round(length - sign * step * float(np.cos(angle)))
        y = round(length - sign * step * float(np.sin(angle)))
        kernel[y, x] += (1 - step / (length + 1)) ** 1.5
    # Only parts of the rim drag something along: the tail is made of streaks.
    grains = smoothstep(fractal(surface.shape, rng, cell=2.5, octaves=2), 0.1, 0.7)
    source = coverage(field, 1.2) * smoothstep(field, 3.0, 0.0) * grains
    drawn = cv2.filter2D(source, cv2.CV_32F, kernel / max(1.0, 0.35 * float(kernel.sum())))
    return np.asarray(drawn, np.float32) * np.float32(-0.6 if rng.random() < 0.9 else 0.4)


def _specks(surface: Surface, field: FloatMap, rng: np.random.Generator, size: float) -> FloatMap:
    """Return a few crumbs or tiny pits near a damage, ``(h, w)`` float32: below 0 darker, above lighter."""
    tone = np.zeros(surface.shape, np.float32)
    around = np.flatnonzero((field < -1.5) & (field > -1.3 * size - 5) & (surface.room > 1.5))
    if not around.size:
        return tone
    height, width = surface.shape
    for spot in rng.choice(around, int(rng.integers(1, 4))):
        row, column = divmod(int(spot), width)
        radius = min(2.2, 0.6 + float(rng.exponential(0.35))) * max(1.0, surface.scale**0.6)
        reach = int(3 * radius) + 1
        rows = slice(max(0, row - reach), min(height, row + reach + 1))
        columns = slice(max(0, column - reach), min(width, column + reach + 1))
        dx = np.arange(columns.start, columns.stop)[None, :] - column - rng.uniform(-0.5, 0.5)
        dy = np.arange(rows.start, rows.stop)[:, None] - row - rng.uniform(-0.5, 0.5)
        squeeze = rng.uniform(0.6, 1.6)
        speck = np.exp(-(dx * dx * squeeze + dy * dy / squeeze) / (2 * radius * radius * 0.5))
        tone[rows, columns] += (speck * (-rng.uniform(0.4, 1.0) if rng.random() < 0.93 else 0.4)).astype(np.float32)
    return tone
