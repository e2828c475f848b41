"""Drawing one region: a random shape in the extent of where it may be, cut by it.

``M = M_fg ∩ M_rect`` of the paper.
"""

from __future__ import annotations

import cv2
import numpy as np

from fmas.config import RegionConfig
from fmas.placement import Ground, Pixels, Place
from fmas.region_shapes import draw_shape
from fmas.samples import Box, Region
from fmas.types import BoolMask

__all__ = ["draw_region"]

_LEAST_SIDE = 3
_PARTS = 16


def draw_region(
    ground: Ground, *, config: RegionConfig, place: Place, over_border: bool, generator: np.random.Generator
) -> Region | None:
    """Draw a region that lies where it may be.

    Args:
        ground: The places of the photograph.
        config: Shape, size and overlap; at most ``config.redraws + 1`` shapes are drawn.
        place: ``edge`` centres the shape on the product's edge, ``inside`` keeps all of it away from the edge.
        over_border: At the edge, let it reach over by ``config.edge_margin``.
        generator: The only source of chance.

    Returns:
        A region of at least ``config.min_pixels`` (fewer only where there are no more), about ``config.max_pixels`` at
        most, all of it on what the user allows. Where no drawn shape had ``config.min_overlap`` of its area there, a
        connected part of the place itself, as on a wire. ``None`` when no such part is large enough.
    """
    centres = ground.pixels(place, config.inside_margin)
    target = ground.anywhere if place == "edge" else centres
    if not centres.count:
        return None
    extent, least = target.extent, min(config.min_pixels, target.count)
    largest = config.area[1]
    # In a small mask of the user's, regions that are sized by the whole product would all be the mask itself.
    area = min(ground.product_area, target.count * max(0.5 / largest, 1.0), config.max_pixels / largest)
    over_border = over_border and place == "edge"
    least_share = config.min_overlap_at_border if place == "edge" else config.min_overlap
    for draw in range(config.redraws + 1):
        # Shrinking keeps thin products reachable: a large shape can never lie on a screw's shank.
        width, height = _draw_size(area * 0.97**draw, extent, config, generator)
        margin = round(config.edge_margin * min(width, height)) if over_border else 0
        around = _grown(extent, margin, target.mask.shape)
        box = _place_box(centres.draw(generator), width, height, around)
        drawn = draw_shape(config.shape, box, generator)
        on_target = drawn & target.mask[box.slices]
        count = int(np.count_nonzero(on_target))
        if count < least or count < least_share * int(np.count_nonzero(drawn)):
            continue
        region = drawn & _reachable(ground, box, margin) if over_border else on_target
        if place != "edge" or bool((region & centres.mask[box.slices]).any()):
            return Region(config.shape, box, region)
    return _draw_part(centres, target, area=area, least=least, config=config, generator=generator)


def _draw_part(
    centres: Pixels,
    target: Pixels,
    *,
    area: float,
    least: int,
    config: RegionConfig,
    generator: np.random.Generator,
) -> Region | None:
    """Take the connected part of ``target`` around one of ``centres``, in a window that grows until it is enough."""
    for _ in range(_PARTS):
        row, column = centres.draw(generator)
        wanted = max(least, round(area * float(np.exp(generator.uniform(*np.log(config.area))))))
        side = float(np.sqrt(wanted))
        while True:
            half = int(side) // 2 + 1
            window = _grown(Box(column, row, column + 1, row + 1), half, target.mask.shape)
            labels = cv2.connectedComponents(target.mask[window.slices].view(np.uint8))[1]
            part = np.asarray(labels == labels[row - window.top, column - window.left])
            rim = np.concatenate([part[0], part[-1], part[:, 0], part[:, -1]])
            if int(np.count_nonzero(part)) >= wanted or not rim.any() or part.shape == target.mask.shape:
                break
            side *= 1.25
        if int(np.count_nonzero(part)) >= least:
            box = Pixels(part).extent
            inside = Box(window.left + box.left, window.top + box.top, window.left + box.right, window.top + box.bottom)
            return Region(config.shape, inside, part[box.slices].copy())
    return None


def _draw_size(whole: float, extent: Box, config: RegionConfig, generator: np.random.Generator) -> tuple[int, int]:
    """Draw width and height, both log-uniform, in pixels."""
    area = whole * np.exp(generator.uniform(*np.log(config.area)))
    aspect = np.exp(generator.uniform(*np.log(config.aspect)))
    width = min(max(round(float(np.sqrt(area * aspect))), _LEAST_SIDE), extent.width)
    height = min(max(round(float(np.sqrt(area / aspect))), _LEAST_SIDE), extent.height)
    # An ellipse fills 0.79 of its box; strokes and blobs fill less and take more draws.
    while width * height < 1.3 * config.min_pixels and (width < extent.width or height < extent.height):
        width, height = min(width + 1, extent.width), min(height + 1, extent.height)
    return width, height


def _grown(extent: Box, margin: int, shape: tuple[int, ...]) -> Box:
    height, width = shape
    return Box(
        max(extent.left - margin, 0),
        max(extent.top - margin, 0),
        min(extent.right + margin, width),
        min(extent.bottom + margin, height),
    )


def _place_box(centre: tuple[int, int], width: int, height: int, extent: Box) -> Box:
    """Put a box around a row and a column, moved so that it lies inside ``extent``."""
    row, column = centre
    left = int(np.clip(column - width // 2, extent.left, extent.right - width))
    top = int(np.clip(row - height // 2, extent.top, extent.bottom - height))
    return Box(left, top, left + width, top + height)


def _reachable(ground: Ground, box: Box, margin: int) -> BoolMask:
    """Return where in ``box`` the product is at most ``margin`` pixels away and the user allows it."""
    around = _grown(box, margin + 1, ground.product.shape)
    away = cv2.distanceTransform((~ground.product[around.slices]).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    top, left = box.top - around.top, box.left - around.left
    near = np.asarray(away[top : top + box.height, left : left + box.width] <= margin)
    return near if ground.allowed is None else near & ground.allowed[box.slices]
