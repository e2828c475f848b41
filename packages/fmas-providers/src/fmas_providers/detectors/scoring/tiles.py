"""Cutting a picture of any size into tiles that a network can read, and blending the tiles' maps into one.

A side longer than ``tile`` is covered by the fewest tiles that overlap enough, all of one size and evenly spread, so
that no tile is mostly a repetition of its neighbour. A shorter side is one tile, reflected up to the next multiple
that the network reads: a small picture costs what it measures, not a whole tile.

Where tiles overlap, the map passes from one to the next by ``a + w * (b - a)``, with ``w`` rising smoothly from 0 to 1
across the overlap. Of a tile's rim, where the network saw least of the surroundings, next to nothing is kept; and
where both agree, the result is that value to the last bit. Tiles come row by row, so beside the map itself one row of
tiles is all that is held.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fmas.types import FloatMap, RGBImage

__all__ = ["Axis", "MapBlender", "TilePlan", "plan_tiles"]


@dataclass(frozen=True, slots=True)
class Axis:
    """How one side of a picture is covered.

    Attributes:
        length: Of the side, in pixels.
        size: Of each tile, a multiple of what the network reads; larger than ``length`` when it has to be padded.
        starts: Where tiles begin, ascending, the first at 0; the last tile ends at ``length`` or, padded, beyond.
    """

    length: int
    size: int
    starts: tuple[int, ...]

    def span(self, index: int) -> tuple[int, int, int]:
        """Return start, end and the end of the previous tile (0 for the first); all within ``[0, length]``."""
        start = self.starts[index]
        before = self.starts[index - 1] + self.size if index else 0
        return start, min(start + self.size, self.length), before


@dataclass(frozen=True, slots=True)
class TilePlan:
    """The tiles of one picture, counted row by row.

    Attributes:
        rows: How its height is covered.
        columns: How its width is covered.
    """

    rows: Axis
    columns: Axis

    def __len__(self) -> int:
        return len(self.rows.starts) * len(self.columns.starts)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of every tile."""
        return self.rows.size, self.columns.size

    def position(self, index: int) -> tuple[int, int]:
        """Return the row and column of tile number ``index``."""
        return divmod(index, len(self.columns.starts))

    def cut(self, image: RGBImage, index: int) -> RGBImage:
        """Return tile number ``index`` of ``image``: ``(h, w, 3)`` uint8 of :attr:`shape`; a view where it can be."""
        row, column = self.position(index)
        top, bottom, _ = self.rows.span(row)
        left, right, _ = self.columns.span(column)
        inside = image[top:bottom, left:right]
        below, beside = self.rows.size - (bottom - top), self.columns.size - (right - left)
        if not below and not beside:
            return inside
        return np.asarray(cv2.copyMakeBorder(inside, 0, below, 0, beside, cv2.BORDER_REFLECT_101), np.uint8)


def plan_tiles(height: int, width: int, *, tile: int, overlap: int, multiple: int) -> TilePlan:
    """Return how a picture is covered.

    Args:
        height: Of the picture, at least 1.
        width: Of the picture, at least 1.
        tile: Largest side of a tile; rounded down to a multiple of ``multiple``, but at least one of it.
        overlap: Pixels that neighbouring tiles share at least; at most half of ``tile``.
        multiple: What the network demands of its input's sides.
    """
    largest = max(tile // multiple, 1) * multiple
    shared = min(overlap, largest // 2)
    return TilePlan(*(_cover(side, largest, shared, multiple) for side in (height, width)))


def _cover(length: int, tile: int, overlap: int, multiple: int) -> Axis:
    if length <= tile:
        return Axis(length, _up(length, multiple), (0,))
    count = -(-(length - overlap) // (tile - overlap))
    size = _up(-(-(length + (count - 1) * overlap) // count), multiple)
    # Rounded down, neighbours are at most ceil(step) apart, which still leaves the overlap asked for.
    return Axis(length, size, tuple(index * (length - size) // (count - 1) for index in range(count)))


def _up(length: int, multiple: int) -> int:
    return -(-length // multiple) * multiple


class MapBlender:
    """Takes the maps of a picture's tiles, in order, and makes one of them.

    Args:
        plan: The picture's tiles.
    """

    def __init__(self, plan: TilePlan) -> None:
        self._plan = plan
        self._taken = 0
        self._map = np.empty((plan.rows.length, plan.columns.length), np.float32)
        several = len(plan.rows.starts) > 1
        self._row = np.empty((plan.rows.size, plan.columns.length), np.float32) if several else self._map

    @property
    def complete(self) -> bool:
        """Whether every tile was taken."""
        return self._taken == len(self._plan)

    def add(self, values: FloatMap) -> None:
        """Take the next tile's map, ``(h, w)`` float32 of the plan's shape; it may be used again afterwards."""
        row, column = self._plan.position(self._taken)
        top, bottom, above = self._plan.rows.span(row)
        left, right, before = self._plan.columns.span(column)
        inside = values[: bottom - top, : right - left]
        _lay(self._row[: bottom - top, left:right].T, inside.T, max(before - left, 0))
        self._taken += 1
        if right == self._plan.columns.length and self._row is not self._map:
            _lay(self._map[top:bottom], self._row[: bottom - top], max(above - top, 0))

    def result(self) -> FloatMap:
        """Return the picture's map, ``(H, W)`` float32; only when :attr:`complete`."""
        if not self.complete:
            raise RuntimeError(f"expected {len(self._plan)} tiles before the map is asked for, got {self._taken}")
        return self._map


def _lay(below: FloatMap, above: FloatMap, shared: int) -> None:
    """Lay ``above`` over ``below`` in place, passing from one to the other along the first ``shared`` rows."""
    below[shared:] = above[shared:]
    if shared:
        difference = above[:shared] - below[:shared]
        difference *= _ramp(shared)[:, np.newaxis]
        below[:shared] += difference


def _ramp(length: int) -> NDArray[np.float32]:
    """Return ``length`` weights that rise from next to 0 to next to 1 as half a cosine; mirrored they sum to 1."""
    return (0.5 - 0.5 * np.cos(np.pi * (np.arange(length) + 0.5) / length)).astype(np.float32)
