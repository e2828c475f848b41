"""Outlines that no ruler drew: blobs that fit into a region of any shape."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fmas.builtin.inpainter.filters import smoothstep
from fmas.builtin.inpainter.noise import fractal
from fmas.builtin.inpainter.surface import Surface
from fmas.types import FloatMap

__all__ = ["blob", "coverage", "disc", "facets", "fitted", "margin", "scattered", "spot_for"]


def coverage(field: FloatMap, width: float = 1.0) -> FloatMap:
    """Turn a signed distance (positive inside, in pixels) into how much is covered, 0..1, over ``width`` pixels."""
    return smoothstep(field, -width / 2, width / 2)


def margin(surface: Surface) -> float:
    """Return how many pixels a shape keeps from the region's border: 8 % of its radius, at least half a pixel."""
    return min(max(0.5, 0.08 * surface.reach), 6.0 * max(1.0, surface.scale))


def disc(
    surface: Surface, rng: np.random.Generator, *, x: float, y: float, radius: float, aspect: float, roughness: float
) -> FloatMap:
    """Return a roughened ellipse, turned at random, as a signed distance, kept inside the region.

    Args:
        surface: Holds the region.
        rng: Where the randomness comes from.
        x: Centre, in pixels from the left.
        y: Centre, in pixels from the top.
        radius: Geometric mean of the half axes, in pixels.
        aspect: Long over short axis, at least 1.
        roughness: Height of the bumps, as a share of the short half axis.

    Returns:
        ``(h, w)`` float32, positive inside, roughly in pixels.
    """
    angle = rng.uniform(0, np.pi)
    axes = (radius * np.sqrt(aspect), radius / np.sqrt(aspect))
    field = _ellipse(surface, (x, y), (float(np.cos(angle)), float(np.sin(angle))), axes)
    bumps = fractal(surface.shape, rng, cell=max(2.0, 0.9 * axes[1]), octaves=3, persistence=0.45)
    return fitted(surface, rng, field + np.float32(roughness * axes[1]) * bumps)


def blob(
    surface: Surface,
    rng: np.random.Generator,
    *,
    fill: tuple[float, float],
    roughness: float,
    detail: float = 0.9,
    longest: float = 8.0,
) -> FloatMap:
    """Return a blob that takes up much of the region, as a signed distance.

    Args:
        surface: Holds the region.
        rng: Where the randomness comes from.
        fill: Least and most share of the region's length and width that the blob spans.
        roughness: Height of the bumps, as a share of the blob's short half axis; above 0.5 it falls into islands.
        detail: Size of the largest bumps, as a share of the short half axis.
        longest: Largest ratio of the axes.

    Returns:
        ``(h, w)`` float32, positive inside, roughly in pixels.
    """
    frame = surface.frame
    share = rng.uniform(*fill, 2)
    # Bumps must not reach the region's border; a shape that does is shrunk below, so take off a part beforehand.
    share /= 1 + 0.8 * roughness
    b = float(max(0.8, frame.short * float(share[1])))
    a = float(min(max(0.8, frame.long * float(share[0])), longest * b))
    centre = spot_for(surface, rng, (a, b))
    tilt = float(rng.uniform(-0.35, 0.35)) * b / a
    axis = (frame.ux - tilt * frame.uy, frame.uy + tilt * frame.ux)
    bumps = np.float32(roughness * b) * fractal(
        surface.shape, rng, cell=max(2.0, detail * b), octaves=4, persistence=0.5
    )
    # Nothing that spread by itself is an ellipse: bend the plane it is drawn on.
    sway = np.float32(0.22 * b)
    warp = [sway * fractal(surface.shape, rng, cell=max(2.0, 1.4 * b), octaves=1) for _ in "xy"]
    smooth = _ellipse(surface, centre, axis, (a, b), warp)
    inside = smooth > 0
    if int((inside & surface.region).sum()) >= 0.6 * max(1, int(inside.sum())):
        return fitted(surface, rng, smooth + bumps)
    # A bent or ragged region lets no ellipse in: follow its own shape.
    own = surface.room - np.float32(0.3 * surface.reach) + bumps * np.float32(0.5)
    return np.minimum(own, _wavy_room(surface, rng))


def fitted(surface: Surface, rng: np.random.Generator, field: FloatMap, *, most: float = 0.55) -> FloatMap:
    """Shrink an outline until it keeps clear of the region's border, rather than cut it off along a straight line.

    Args:
        surface: Holds the region.
        rng: Varies how much room is left where shrinking alone would leave too little.
        field: Signed distance, ``(h, w)`` float32, positive inside, in pixels.
        most: How much of its radius may be taken off before it is cut off all the same.

    Returns:
        ``(h, w)`` float32, not positive within a margin of the border.
    """
    edge = surface.room <= margin(surface)
    worst = float(field[edge].max()) if edge.any() else 0.0
    largest = float(np.where(edge, -1e6, field).max())
    shrunk = field - np.float32(max(0.0, min(worst, most * largest)))
    return np.asarray(np.minimum(shrunk, _wavy_room(surface, rng)), dtype=np.float32)


def scattered(
    surface: Surface,
    rng: np.random.Generator,
    *,
    count: int,
    centre: tuple[float, float],
    spread: float,
    radius: tuple[float, float],
    squeeze: float = 0.6,
) -> FloatMap:
    """Return many small ellipses round a place, the small ones by far the most frequent, as a signed distance.

    Args:
        surface: Holds the region.
        rng: Where the randomness comes from.
        count: How many.
        centre: x and y, in pixels.
        spread: Standard deviation of their distance from it along each axis, in pixels.
        radius: Least and largest, in pixels.
        squeeze: Least ratio of short to long axis.

    Returns:
        ``(h, w)`` float32, positive inside, in pixels; only near them more than -1000.
    """
    field = np.full(surface.shape, -1e3, np.float32)
    height, width = surface.shape
    for _ in range(count):
        x, y = rng.normal(0, spread, 2) + centre
        # A power law, cut off at both ends.
        size = min(radius[1], radius[0] * (1 - rng.random()) ** -0.7)
        ratio, angle = rng.uniform(squeeze, 1.0), rng.uniform(0, np.pi)
        row, column = round(y), round(x)
        if not (0 <= row < height and 0 <= column < width) or surface.room[row, column] < size + margin(surface):
            continue
        reach = int(1.6 * size) + 3
        window = (slice(max(0, row - reach), row + reach + 1), slice(max(0, column - reach), column + reach + 1))
        cut = field[window]
        dx = np.arange(cut.shape[1])[None, :] + (window[1].start - x)
        dy = np.arange(cut.shape[0])[:, None] + (window[0].start - y)
        long, short = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
        np.maximum(cut, size - np.hypot(long, short / ratio), out=cut)
    return field


def spot_for(surface: Surface, rng: np.random.Generator, axes: tuple[float, float]) -> tuple[float, float]:
    """Return a centre (x, y) from which a shape with these half axes, along and across, stays in the region's box."""
    frame = surface.frame
    along = max(0.0, frame.long - axes[0]) * rng.uniform(-0.8, 0.8)
    across = max(0.0, frame.short - axes[1]) * rng.uniform(-0.8, 0.8)
    return frame.x + along * frame.ux - across * frame.uy, frame.y + along * frame.uy + across * frame.ux


def facets(
    surface: Surface, rng: np.random.Generator, *, x: float, y: float, axes: tuple[float, float], roughness: float
) -> FloatMap:
    """Return an angular outline, as brittle things break, as a signed distance kept inside the region.

    Args:
        surface: Holds the region.
        rng: Where the randomness comes from.
        x: Centre, in pixels from the left.
        y: Centre, in pixels from the top.
        axes: Half extents along and across the region's long axis, in pixels.
        roughness: Height of the fine teeth, as a share of the shorter half extent.

    Returns:
        ``(h, w)`` float32, positive inside, in pixels.
    """
    height, width = surface.shape
    frame, short = surface.frame, min(axes)
    dx = (np.arange(width, dtype=np.float32) - np.float32(x))[None, :]
    dy = (np.arange(height, dtype=np.float32) - np.float32(y))[:, None]
    count = int(rng.integers(5, 9))
    turns = (np.arange(count) + rng.uniform(-0.35, 0.35, count)) * 2 * np.pi / count
    field = np.full(surface.shape, 1e6, np.float32)
    for turn in turns:
        along, across = np.cos(turn), np.sin(turn)
        far = rng.uniform(0.7, 1.0) * float(np.hypot(axes[0] * along, axes[1] * across))
        nx, ny = along * frame.ux - across * frame.uy, along * frame.uy + across * frame.ux
        field = np.minimum(field, np.float32(far) - np.float32(nx) * dx - np.float32(ny) * dy)
    # Sides of a fracture are bowed, and finely toothed.
    bow = fractal(surface.shape, rng, cell=max(2.0, 1.2 * short), octaves=2) * np.float32(0.16 * short)
    teeth = fractal(surface.shape, rng, cell=max(2.0, 0.3 * short), octaves=3, persistence=0.6)
    return np.asarray(
        np.minimum(field + bow + np.float32(roughness * short) * teeth, _wavy_room(surface, rng)), dtype=np.float32
    )


def _wavy_room(surface: Surface, rng: np.random.Generator) -> FloatMap:
    """Return the distance to the region's border less a margin that varies, so that no outline runs along it."""
    keep = margin(surface)
    wave = fractal(surface.shape, rng, cell=max(3.0, 0.5 * surface.reach), octaves=3)
    return surface.room - np.float32(keep) * (1 + np.float32(min(1.0, 0.3 * surface.reach / keep) * 1.2) * np.abs(wave))


def _ellipse(
    surface: Surface,
    centre: tuple[float, float],
    axis: tuple[float, float],
    axes: tuple[float, float],
    warp: Sequence[FloatMap] = (),
) -> FloatMap:
    height, width = surface.shape
    dx = (np.arange(width, dtype=np.float32) - np.float32(centre[0]))[None, :]
    dy = (np.arange(height, dtype=np.float32) - np.float32(centre[1]))[:, None]
    if warp:
        dx, dy = dx + warp[0], dy + warp[1]
    along = (dx * np.float32(axis[0]) + dy * np.float32(axis[1])) / np.float32(axes[0])
    across = (dy * np.float32(axis[0]) - dx * np.float32(axis[1])) / np.float32(axes[1])
    return np.asarray((1 - np.sqrt(along * along + across * across)) * np.float32(min(axes)), dtype=np.float32)
