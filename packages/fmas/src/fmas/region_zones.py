"""A zone: all of the product beyond a line, from side to side.

A rectangle somewhere on the product is where a drop lands. A grindstone that was worn, a bath that was not deep enough
or a lamp that failed leaves its trace on a whole end of the product instead.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from fmas.config import RegionConfig
from fmas.placement import Ground, Pixels
from fmas.samples import Region

__all__ = ["ZONE", "draw_zone"]

ZONE = "zone"

_LEAST_SHARE = 0.04
"""Of the product; less is a strip along its edge, which rectangles may be as well."""

_TILT = 6.0  # degrees; standard deviation
_MOST_TILT = 15.0
_SAMPLED = 2**16


def draw_zone(ground: Ground, *, config: RegionConfig, generator: np.random.Generator) -> Region | None:
    """Draw the part of the place beyond a nearly upright or level line.

    Args:
        ground: The places of the photograph.
        config: ``spread_area`` says how much of the product a zone may be, at least a 25th of it.
        generator: The only source of chance.

    Returns:
        A region of ``config.min_pixels`` to ``config.max_pixels``; ``None`` where the product is too large or too small
        for that.
    """
    target = ground.anywhere
    most = min(config.spread_area[1], config.max_pixels / max(1, ground.product_area))
    least = max(config.spread_area[0], _LEAST_SHARE)
    if most <= least or not target.count:
        return None
    wanted = ground.product_area * math.exp(generator.uniform(math.log(least), math.log(most)))
    side = int(generator.integers(4)) * 90.0
    angle = math.radians(side + float(np.clip(generator.normal(0.0, _TILT), -_MOST_TILT, _MOST_TILT)))
    height, width = target.mask.shape
    across = np.arange(width, dtype=np.float32) * np.float32(math.cos(angle))
    down = np.arange(height, dtype=np.float32) * np.float32(math.sin(angle))
    # A coarse count of pixels finds the line closely enough.
    step = max(1, math.isqrt(height * width // _SAMPLED))
    coarse = (down[::step, None] + across[None, ::step])[target.mask[::step, ::step]]
    if not coarse.size:
        return None
    share = min(1.0, wanted / target.count)
    line = float(np.quantile(coarse, 1.0 - share))
    mask = target.mask & (down[:, None] + across[None, :] >= np.float32(line))
    count = cv2.countNonZero(mask.view(np.uint8))
    if not config.min_pixels <= count <= config.max_pixels:
        return None
    box = Pixels(mask).extent
    return Region(ZONE, box, mask[box.slices].copy())
