"""A zone: all of the product beyond a line, from side to side.

A rectangle somewhere on the product is where a drop lands. A grindstone that was worn, a bath that was not deep enough
or a lamp that failed leaves its trace on a whole end of the product instead.
"""

from __future__ import annotations

import math

import numpy as np

from fmas.config import RegionConfig
from fmas.placement import Ground, Pixels
from fmas.samples import Box, Region

__all__ = ["ZONE", "draw_zone"]

ZONE = "zone"

_LEAST_SHARE = 0.04
"""Of the place; less is a strip along its edge, which rectangles may be as well."""

_TILT = 6.0  # degrees; standard deviation
_MOST_TILT = 15.0
_SAMPLED = 2**16


def draw_zone(ground: Ground, *, config: RegionConfig, generator: np.random.Generator) -> Region | None:
    """Draw the part of the place beyond a nearly upright or level line.

    Args:
        ground: The places of the photograph.
        config: ``spread_area`` says how much of the place a zone may be; at least a 25th of it where it allows more.
        generator: The only source of chance.

    Returns:
        A region of ``config.min_pixels`` to ``config.max_pixels``; ``None`` where the place is too large or too
        small for that.
    """
    target = ground.anywhere
    if not target.count:
        return None
    place = min(ground.product_area, target.count)  # what the user allows may be a small part of the product
    most = min(config.spread_area[1], config.max_pixels / place)
    least = min(max(config.spread_area[0], _LEAST_SHARE), config.spread_area[1])
    if most < least:
        return None
    share = math.exp(generator.uniform(math.log(least), math.log(most)))
    side = int(generator.integers(4)) * 90.0
    angle = math.radians(side + float(np.clip(generator.normal(0.0, _TILT), -_MOST_TILT, _MOST_TILT)))
    extent = target.extent
    inside = target.mask[extent.slices]
    across = np.arange(extent.width, dtype=np.float32) * np.float32(math.cos(angle))
    down = np.arange(extent.height, dtype=np.float32) * np.float32(math.sin(angle))
    # A coarse count of pixels finds the line closely enough.
    step = max(1, math.isqrt(inside.size // _SAMPLED))
    coarse = (down[::step, None] + across[None, ::step])[inside[::step, ::step]]
    if not coarse.size:
        return None
    mask = inside & (down[:, None] + across[None, :] >= np.float32(np.quantile(coarse, 1.0 - share)))
    if not config.min_pixels <= np.count_nonzero(mask) <= config.max_pixels:
        return None
    found = Pixels(mask).extent
    box = Box(found.left + extent.left, found.top + extent.top, found.right + extent.left, found.bottom + extent.top)
    return Region(ZONE, box, mask[found.slices].copy())
