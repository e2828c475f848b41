"""From a painting to pixels: soft ends inside the region, the photograph's sharpness, a footprint with no haze."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from fmas.builtin.inpainter.filters import blur, dilate, largest_channel, smoothstep
from fmas.builtin.inpainter.surface import Surface
from fmas.types import BoolMask, FloatMap, RGBImage

__all__ = ["finish"]

LEAST_CHANGE = 9.0
"""Grey levels; the core wants a change of at least 8 somewhere, and rounding may cost one half."""

LARGEST_BOOST = 26.0
"""Grey levels that no pixel may be strengthened to for the sake of its neighbours."""

LEAST_AREA = 10
"""Pixels that ought to reach ``LEAST_CHANGE`` in a region that has room for them: the core drops smaller specks."""

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
    change = (np.clip(painted, 0, 255) - surface.base) * _window(surface)[..., None]
    change = blur(change, float(np.sqrt(max(0.0, surface.softness**2 - SENSOR_SOFTNESS**2))))
    change *= surface.region[..., None]
    change = _visible(surface, change)
    change *= _footprint(largest_channel(np.abs(change)))[..., None]
    return np.asarray(np.clip(np.rint(surface.base + change), 0, 255), dtype=np.uint8)


def _window(surface: Surface) -> FloatMap:
    """Fall to zero towards the region's border, over a tenth of its radius and at most a few pixels."""
    width = float(np.clip(0.12 * surface.reach, 0.6, 5.0 * max(1.0, surface.scale)))
    return smoothstep(surface.room, 0.0, 0.5 + width)


def _visible(surface: Surface, change: FloatMap) -> FloatMap:
    """Strengthen a change that would be lost, e.g. darkening something black; leave any other as it is."""
    count = int(np.clip(np.count_nonzero(surface.region) // 4, 1, LEAST_AREA))
    if _strong(_reached(surface, change), count) >= LEAST_CHANGE:
        return change
    if float(np.abs(change).max()) < 0.5:
        # Nothing was painted, as in a region of a few pixels: leave a speck.
        speck = _window(surface) * smoothstep(surface.room, 0.0, surface.reach)
        change = -speck[..., None] * np.ones_like(change)
    size = np.abs(change)
    gain = min(LEAST_CHANGE / max(_strong(size, count), 1e-3), LARGEST_BOOST / float(size.max()))
    change = change * np.float32(max(gain, 1.0))
    # Black cannot get darker nor white brighter: there the damage scatters light, or blocks it.
    upright, mirrored = (_strong(_reached(surface, sign * change), count) for sign in (1, -1))
    return change if upright >= min(mirrored, 8.0) else -change


def _reached(surface: Surface, change: FloatMap) -> FloatMap:
    """Return how much of a change is left between black and white, in grey levels."""
    return np.asarray(np.abs(np.clip(surface.base + change, 0, 255) - surface.base), dtype=np.float32)


def _strong(size: FloatMap, count: int) -> float:
    """Return the change that ``count`` pixels reach, in grey levels."""
    flat = largest_channel(size).ravel()
    return float(np.partition(flat, flat.size - count)[flat.size - count])


def _footprint(strength: FloatMap) -> FloatMap:
    """Return 1 on what can be seen, half on a rim of one pixel, 0 on haze; ``strength`` is ``(h, w)`` grey levels."""
    seen = _components((strength >= 4.5).astype(np.uint8), strength).astype(np.uint8)
    # What is enclosed belongs to it, even where a dark grain or a change of sign leaves it as it was.
    seen = np.asarray(cv2.morphologyEx(seen, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)), dtype=np.uint8)
    covered = seen.astype(np.float32)
    return np.asarray(0.5 * (covered + dilate(covered, 1)), dtype=np.float32)


def _components(candidate: NDArray[np.uint8], strength: FloatMap) -> BoolMask:
    """Keep the components that reach eight levels and are not dust beside the largest."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(candidate, connectivity=8)
    if count <= 1:
        return np.asarray(candidate > 0)
    strong = np.bincount(labels[strength >= 8.0], minlength=count) > 0
    area = stats[:, cv2.CC_STAT_AREA]
    wanted = strong & (area >= 0.004 * area[1:].max())
    wanted[0] = False
    return np.asarray(wanted[labels])
