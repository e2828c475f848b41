"""Where on a photograph a defect may be put: everywhere on the product, at its edge, or away from it."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Literal, TypeAlias

import cv2
import numpy as np

from fmas.samples import Box
from fmas.types import BoolMask, Foreground

__all__ = ["Ground", "Pixels", "Place"]

_DEPTH_PIXELS = 2**18

Place: TypeAlias = Literal["anywhere", "edge", "inside"]


class Pixels:
    """A set of pixels to draw from, without a list of them: a photograph may have millions.

    Args:
        mask: ``(H, W)`` bool.
    """

    __slots__ = ("_ends", "mask")

    def __init__(self, mask: BoolMask) -> None:
        self.mask = mask
        counts = cv2.reduce(mask.view(np.uint8), 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S)
        self._ends = np.cumsum(counts.ravel(), dtype=np.int64)

    @property
    def count(self) -> int:
        """How many."""
        return int(self._ends[-1])

    @property
    def extent(self) -> Box:
        """Their bounding box; there must be some."""
        rows = np.flatnonzero(np.diff(self._ends, prepend=0))
        columns = np.flatnonzero(self.mask.any(axis=0))
        return Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)

    def draw(self, generator: np.random.Generator) -> tuple[int, int]:
        """Return row and column of one of them, each equally likely."""
        number = int(generator.integers(self.count))
        row = int(np.searchsorted(self._ends, number, side="right"))
        before = int(self._ends[row - 1]) if row else 0
        return row, int(np.flatnonzero(self.mask[row])[number - before])


class Ground:
    """The places of one photograph.

    Args:
        foreground: Where the product is.
        allowed: ``(H, W)`` bool, where the user allows defects; ``None`` for everywhere.
    """

    def __init__(self, foreground: Foreground, allowed: BoolMask | None = None) -> None:
        self.product = foreground.mask
        self.allowed = allowed
        self.is_texture = foreground.kind == "texture"
        self._inside: dict[float, Pixels] = {}

    @cached_property
    def anywhere(self) -> Pixels:
        """The product's pixels that the user allows."""
        return Pixels(self._limited(self.product))

    @cached_property
    def whole_edge(self) -> BoolMask:
        """The product's pixels beside the background. The picture's frame is no edge: the product may go on there."""
        if self.is_texture:
            return np.zeros_like(self.product)
        eroded = cv2.erode(self.product.view(np.uint8), np.ones((3, 3), np.uint8), borderValue=1)
        return self.product & ~np.asarray(eroded, dtype=np.uint8).view(np.bool_)

    @cached_property
    def edge(self) -> Pixels:
        """The pixels of the edge that the user allows."""
        return Pixels(self._limited(self.whole_edge))

    def pixels(self, place: Place, margin: float) -> Pixels:
        """Return the allowed pixels of a place; ``margin`` as for :meth:`inside`."""
        if place == "inside":
            return self.inside(margin)
        return self.edge if place == "edge" else self.anywhere

    @property
    def has_edge(self) -> bool:
        """Whether there is an edge that the user does not exclude."""
        return self.edge.count > 0

    @cached_property
    def product_area(self) -> int:
        """The product's pixels."""
        return int(np.count_nonzero(self.product))

    def inside(self, margin: float) -> Pixels:
        """Return the allowed pixels that are further from the edge than ``margin`` times what the innermost one is."""
        if margin not in self._inside:
            self._inside[margin] = self._find_inside(margin)
        return self._inside[margin]

    def _find_inside(self, margin: float) -> Pixels:
        if self.is_texture or self.product.all():
            return self.anywhere
        height, width = self.product.shape
        # A coarse margin will do, and saves most of the time.
        step = max(math.isqrt(height * width // _DEPTH_PIXELS), 1)
        coarse = np.ascontiguousarray(self.product[::step, ::step])
        depth = cv2.distanceTransform(coarse.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_3)
        deep = np.asarray(depth > margin * float(depth.max()))
        if step > 1:
            deep = deep.repeat(step, axis=0)[:height].repeat(step, axis=1)[:, :width]
        return Pixels(self._limited(deep & self.product))

    def _limited(self, mask: BoolMask) -> BoolMask:
        return mask if self.allowed is None else mask & self.allowed
