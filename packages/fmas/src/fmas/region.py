"""Stage 3: decide which defect goes where: a random shape in the foreground's extent, cut by it.

``M = M_fg ∩ M_rect`` of the paper. Defects that reach over the border (fray, break) may leave the foreground by a
margin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from fmas.config import RegionConfig, RegionShape
from fmas.plan import StoredPlan
from fmas.samples import Box, Failure, Pair, Region, Sample
from fmas.seeds import SampleSeeds
from fmas.stages import Resources
from fmas.types import BoolMask, Fingerprint, Foreground

__all__ = ["RegionStage", "draw_region"]

_LEAST_SIDE = 3


class RegionStage:
    """Gives every pair its defect and its region.

    Args:
        plan: What can go wrong.
        config: Shapes and sizes.
        run_seed: The run's seed.
        category: The category's folder name.
    """

    name = "region"
    resources = Resources()
    batch_size = 1

    def __init__(self, plan: StoredPlan, config: RegionConfig, *, run_seed: int, category: str) -> None:
        self._plan = plan
        self._config = config
        self._run_seed = run_seed
        self._category = category

    def setup(self) -> None:
        """Nothing to load."""

    def process(self, batch: Sequence[Sample]) -> list[Sample]:
        """Draw a defect and a region for each pair."""
        return [replace(sample, pairs=tuple(self._place(sample, pair) for pair in sample.pairs)) for sample in batch]

    def fingerprint(self) -> Fingerprint:
        """Return the region's options and the plan's digest."""
        return Fingerprint(self.name, "1", {**self._config.model_dump(mode="json"), "plan": self._plan.digest()})

    def _choose(self, foreground: Foreground, seeds: SampleSeeds) -> int:
        """Draw one of the plan's defects; a texture has no edge, so what needs one is left out while there is more."""
        possible = list(range(len(self._plan.defects)))
        if foreground.kind == "texture":
            possible = [index for index in possible if not self._plan.defects[index].kind.reaches_edge] or possible
        return possible[int(seeds.generator("defect").integers(len(possible)))]

    def _place(self, sample: Sample, pair: Pair) -> Pair:
        if sample.foreground is None:  # held out: nothing is painted
            return pair
        seeds = SampleSeeds(self._run_seed, self._category, sample.source.relative, pair.index)
        choice = self._choose(sample.foreground, seeds)
        defect = self._plan.defects[choice]
        generator = seeds.region(pair.generation)
        drawn = [
            draw_region(
                sample.foreground.mask,
                config=self._config,
                over_border=defect.kind.reaches_edge,
                generator=generator,
            )
            for _ in range(self._config.placements)
        ]
        placements = tuple(region for region in drawn if region is not None)
        failure = None
        if not placements:
            failure = Failure(
                self.name,
                "no_region",
                f"expected a {self._config.shape} with {self._config.min_overlap:.0%} on the foreground, found none in "
                f"{self._config.redraws + 1} draws; try a lower region.min_overlap or region.area into another --out",
            )
        return replace(
            pair, defect=defect, defect_slug=self._plan.slugs[choice], placements=placements, failure=failure
        )


def draw_region(
    foreground: BoolMask,
    *,
    config: RegionConfig,
    over_border: bool,
    generator: np.random.Generator,
) -> Region | None:
    """Draw a region that lies on the foreground.

    Args:
        foreground: ``(H, W)`` bool, not empty.
        config: Shape, size and overlap; at most ``config.redraws + 1`` shapes are drawn.
        over_border: Centre the shape on the foreground's border and let it reach over by ``config.edge_margin``.
        generator: The only source of chance.

    Returns:
        A region of at least ``config.min_pixels`` (fewer only where the whole foreground is smaller), or ``None`` when
        no drawn shape had ``config.min_overlap`` of its area on the foreground.
    """
    centres = _border_pixels(foreground) if over_border else np.empty((0, 2), dtype=np.intp)
    over_border = len(centres) > 0  # a texture has no border to reach over
    if not over_border:
        centres = np.argwhere(foreground)
    rows = np.flatnonzero(foreground.any(axis=1))
    columns = np.flatnonzero(foreground.any(axis=0))
    extent = Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    foreground_area = int(np.count_nonzero(foreground))
    for draw in range(config.redraws + 1):
        # Shrinking keeps thin products reachable: a large shape can never lie on a screw's shank.
        shrink = 0.97**draw
        width, height = _draw_size(foreground_area * shrink, extent, config, generator)
        margin = round(config.edge_margin * min(width, height)) if over_border else 0
        box = _place_box(centres, width, height, _grown(extent, margin, foreground.shape), generator)
        drawn = _draw_shape(config.shape, box, generator)
        on_product = drawn & foreground[box.slices]
        share = float(np.count_nonzero(on_product)) / float(np.count_nonzero(drawn))
        least = config.min_overlap_at_border if over_border else config.min_overlap
        if share < least or np.count_nonzero(on_product) < min(config.min_pixels, foreground_area):
            continue
        allowed = on_product if not over_border else drawn & _within(foreground, box, margin)
        return Region(config.shape, box, allowed)
    return None


def _border_pixels(foreground: BoolMask) -> np.ndarray[tuple[int, int], np.dtype[np.intp]]:
    """Return the foreground pixels beside a background pixel; the picture's frame is no border."""
    eroded = cv2.erode(foreground.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=1)
    return np.argwhere(foreground & (eroded == 0))


def _draw_size(
    foreground_area: float, extent: Box, config: RegionConfig, generator: np.random.Generator
) -> tuple[int, int]:
    """Draw width and height, both log-uniform, in pixels."""
    area = foreground_area * np.exp(generator.uniform(*np.log(config.area)))
    aspect = np.exp(generator.uniform(*np.log(config.aspect)))
    width = min(max(round(float(np.sqrt(area * aspect))), _LEAST_SIDE), extent.width)
    height = min(max(round(float(np.sqrt(area / aspect))), _LEAST_SIDE), extent.height)
    # An ellipse fills 0.79 of its box; strokes and blobs fill less and take more draws.
    while width * height < 1.3 * config.min_pixels and (width < extent.width or height < extent.height):
        width, height = min(width + 1, extent.width), min(height + 1, extent.height)
    return width, height


def _grown(extent: Box, margin: int, shape: tuple[int, int]) -> Box:
    height, width = shape
    return Box(
        max(extent.left - margin, 0),
        max(extent.top - margin, 0),
        min(extent.right + margin, width),
        min(extent.bottom + margin, height),
    )


def _place_box(
    centres: np.ndarray[tuple[int, int], np.dtype[np.intp]],
    width: int,
    height: int,
    extent: Box,
    generator: np.random.Generator,
) -> Box:
    """Put a box around a random centre, moved so that it lies inside ``extent``."""
    row, column = centres[int(generator.integers(len(centres)))]
    left = int(np.clip(column - width // 2, extent.left, extent.right - width))
    top = int(np.clip(row - height // 2, extent.top, extent.bottom - height))
    return Box(left, top, left + width, top + height)


def _within(foreground: BoolMask, box: Box, margin: int) -> BoolMask:
    """Return where in ``box`` the foreground is at most ``margin`` pixels away."""
    around = _grown(box, margin + 1, (foreground.shape[0], foreground.shape[1]))
    away = cv2.distanceTransform((~foreground[around.slices]).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    top, left = box.top - around.top, box.left - around.left
    return np.asarray(away[top : top + box.height, left : left + box.width] <= margin)


def _draw_shape(shape: RegionShape, box: Box, generator: np.random.Generator) -> BoolMask:
    """Return a ``(box.height, box.width)`` bool mask that is not empty."""
    if shape == "rectangle":
        return np.ones((box.height, box.width), dtype=np.bool_)
    canvas = np.zeros((box.height, box.width), dtype=np.uint8)
    if shape == "ellipse":
        centre = ((box.width - 1) / 2, (box.height - 1) / 2)
        axes = (max(box.width, 1), max(box.height, 1))
        cv2.ellipse(canvas, (centre, axes, 0.0), 1, cv2.FILLED)
    elif shape == "stroke":
        _draw_stroke(canvas, generator)
    else:
        _draw_blob(canvas, generator)
    return canvas.astype(np.bool_)


def _draw_stroke(canvas: np.ndarray[tuple[int, int], np.dtype[np.uint8]], generator: np.random.Generator) -> None:
    """Draw a thick quadratic Bézier curve from one side of the box to the other."""
    height, width = canvas.shape
    thickness = max(min(height, width) // 4, 3)
    low = thickness / 2
    high = np.array([max(width - 1 - low, low), max(height - 1 - low, low)])
    along_x = width >= height
    start, bend, end = (generator.uniform(low, high) for _ in range(3))
    axis = 0 if along_x else 1
    start[axis], end[axis] = low, high[axis]
    t = np.linspace(0.0, 1.0, 33)[:, None]
    curve = (1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end
    cv2.polylines(canvas, [np.round(curve).astype(np.int32)], isClosed=False, color=(1,), thickness=thickness)


def _draw_blob(canvas: np.ndarray[tuple[int, int], np.dtype[np.uint8]], generator: np.random.Generator) -> None:
    """Fill a closed outline whose radius is a short random Fourier series."""
    height, width = canvas.shape
    angle = np.linspace(0.0, 2 * np.pi, 72, endpoint=False)
    radius = np.ones_like(angle)
    for order in range(2, 6):
        radius += generator.normal(0.0, 0.35 / order) * np.cos(order * angle + generator.uniform(0, 2 * np.pi))
    radius = np.clip(radius, 0.3, None)
    radius /= radius.max()
    x = (width - 1) / 2 * (1 + radius * np.cos(angle))
    y = (height - 1) / 2 * (1 + radius * np.sin(angle))
    cv2.fillPoly(canvas, [np.round(np.stack([x, y], axis=1)).astype(np.int32)], (1,))
