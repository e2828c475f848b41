"""From a painting to pixels: soft ends inside the region, the photograph's sharpness, a footprint with no haze."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from fmas.builtin.inpainter.filters import blur, dilate, extent, largest_channel, smoothstep
from fmas.builtin.inpainter.surface import Surface
from fmas.types import BoolMask, FloatMap, RGBImage

__all__ = ["finish"]

LEAST_CHANGE = 9.0
"""Grey levels; the core wants a change of at least 8 somewhere, and rounding may cost one half."""

LARGEST_BOOST = 18.0
"""Grey levels that no pixel may be strengthened to for the sake of its neighbours."""

LEAST_AREA = 10
"""Pixels that ought to reach ``LEAST_CHANGE`` in a region that has room for them: the core drops smaller specks."""

LEAST_PIECE = 9
"""Pixels that a piece of a defect must have; the core drops those under 8, and rounding may cost one."""

SENSOR_SOFTNESS = 0.5
"""Blur that every sampled picture has, sigma in pixels: renderings have it already."""


def finish(surface: Surface, painted: FloatMap) -> RGBImage:
    """Keep of a painting what makes a truthful footprint, and round it.

    Args:
        surface: The photograph.
        painted: The photograph with a defect, ``(h, w, C)`` float32, any range.

    Returns:
        ``(h, w, C)`` uint8: equal to the photograph outside the region and wherever the change would be a haze below
        the noise, different by at least 8 levels somewhere.
    """
    difference = np.clip(painted, 0, 255) - surface.base
    # What is only softened or strengthened stays near what was painted.
    box = extent(largest_channel(np.abs(difference)) > 0.25, pad=8)
    result = surface.base.astype(np.uint8)
    part = surface if box is None else surface.part(box)
    # Nothing ends at the picture's border, nor what is on the product at its outline; what stands over the background
    # ends within the region.
    room = np.where(part.foreground, part.free, part.room)
    change = difference[box or ...] * _window(surface, room)[..., None]
    change = blur(change, _missing_blur(surface.softness))
    change *= part.region[..., None]
    change = _visible(part, change)
    footprint = _footprint(largest_channel(_reached(part, change)))
    change *= footprint[..., None]
    rounded = np.clip(np.rint(part.base + change), 0, 255)
    _stir(rounded, part.base, change, (footprint >= 1) & part.region)
    result[box or ...] = rounded
    return result


def _missing_blur(softness: float) -> float:
    """Return the blur, sigma in pixels, that a rendering lacks beside the photograph."""
    # No lens is as sharp as a measured 0.3: there the camera's noise was measured. Its edges are those of other photos.
    lens = float(np.interp(softness, [0.3, 0.6], [0.7, 0.55]))
    return float(np.sqrt(max(0.0, max(softness, lens) ** 2 - SENSOR_SOFTNESS**2)))


def _stir(rounded: FloatMap, base: FloatMap, change: FloatMap, covered: BoolMask) -> None:
    """Move pixels of a defect that rounding left as they were, as on the line from a lit to a shaded flank, by a level.

    One grey level cannot be seen; but a mask must not claim what has not changed at all.
    """
    still = covered & (largest_channel(np.abs(rounded - base)) < 1)
    if still.any():
        step = np.where(change[still] > 0, np.float32(1), np.float32(-1))
        rounded[still] += np.where(base[still] + step < 0, 1, np.where(base[still] + step > 255, -1, step))


def _window(surface: Surface, room: FloatMap) -> FloatMap:
    """Fall to zero towards the region's border, over a tenth of its radius and at most a few pixels."""
    width = float(np.clip(0.12 * surface.reach, 0.6, 5.0 * max(1.0, surface.scale)))
    return smoothstep(room, 0.0, 0.5 + width)


def _visible(surface: Surface, change: FloatMap) -> FloatMap:
    """Strengthen a change that would be lost, e.g. darkening something black; leave any other as it is."""
    count = int(np.clip(np.count_nonzero(surface.region) // 4, 1, LEAST_AREA))
    if np.count_nonzero(largest_channel(_reached(surface, change)) >= LEAST_CHANGE) < count:
        if float(np.abs(change).max()) < 0.5:
            # Nothing was painted, as in a region of a few pixels: leave a speck.
            speck = _window(surface, surface.room) * smoothstep(surface.room, 0.0, surface.reach)
            change = -speck[..., None] * np.ones_like(change)
        size = np.abs(change)
        gain = min(LEAST_CHANGE / max(_strong(size, count), 1e-3), LARGEST_BOOST / float(size.max()))
        change = change * np.float32(max(gain, 1.0))
        # Black cannot get darker nor white brighter: there the damage scatters light, or blocks it.
        upright, mirrored = (_seen(_reached(surface, sign * change), count) for sign in (1, -1))
        change = change if upright >= mirrored else -change
    return _joined(surface, change, least=min(count, LEAST_PIECE))


def _joined(surface: Surface, change: FloatMap, *, least: int) -> FloatMap:
    """Strengthen a change of which only crumbs could be seen until one piece has ``least`` pixels."""
    limit = LARGEST_BOOST + surface.texture
    while True:
        strength = largest_channel(_reached(surface, change))
        _, area, strong = _pieces(strength)
        if area[strong].max(initial=0) >= least or float(np.abs(change).max()) >= limit:
            return change
        change = change * np.float32(1.25)


def _reached(surface: Surface, change: FloatMap) -> FloatMap:
    """Return how much of a change is left between black and white, in grey levels."""
    return np.asarray(np.abs(np.clip(surface.base + change, 0, 255) - surface.base), dtype=np.float32)


def _seen(size: FloatMap, count: int) -> tuple[bool, float]:
    """Say whether ``count`` pixels of a change reach eight levels, and the largest of all, at most 8: to compare by."""
    return _strong(size, count) >= 8.0, min(float(size.max()), 8.0)


def _strong(size: FloatMap, count: int) -> float:
    """Return the change that ``count`` pixels reach, in grey levels."""
    flat = largest_channel(size)
    flat = flat[flat > 0]  # most is 0, and partitioning equal numbers is slow
    rank = flat.size - min(count, flat.size)
    return float(np.partition(flat, rank)[rank]) if flat.size else 0.0


def _footprint(strength: FloatMap) -> FloatMap:
    """Return 1 on what can be seen, half on a rim of one pixel, 0 on haze; ``strength`` is ``(h, w)`` grey levels."""
    seen = _components(strength).astype(np.uint8)
    # What is enclosed belongs to it, even where a dark grain or a change of sign leaves it as it was.
    seen = np.asarray(cv2.morphologyEx(seen, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)), dtype=np.uint8)
    covered = seen.astype(np.float32)
    return np.asarray(0.5 * (covered + dilate(covered, 1)), dtype=np.float32)


def _components(strength: FloatMap) -> BoolMask:
    """Keep the pieces that reach eight levels and are neither dust beside the largest nor too small for the core."""
    labels, area, strong = _pieces(strength)
    largest = int(area[strong].max(initial=0))
    wanted = strong & (area >= max(0.004 * largest, min(LEAST_PIECE, largest)))
    return np.asarray(wanted[labels])


def _pieces(strength: FloatMap) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.bool_]]:
    """Label what can be seen; return the labels, each one's area, and whether it reaches eight levels (0 never)."""
    candidate = (strength >= 4.5).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(candidate, connectivity=8)
    strong = np.bincount(labels[strength >= 8.0], minlength=count) > 0
    strong[0] = False
    return np.asarray(labels, dtype=np.int32), np.asarray(stats[:, cv2.CC_STAT_AREA], dtype=np.int32), strong
