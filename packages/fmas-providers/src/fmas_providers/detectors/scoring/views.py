"""Two ways to look at a photograph: all of it at once, brought to one size, or tile by tile at native resolution.

All at once suits small photographs and short trainings: the network sees where it is, and every picture of the product
looks alike. Tiles suit large ones, where shrinking would take the defect away.
"""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np

from fmas.types import FloatMap, RGBImage
from fmas_providers.detectors.scoring.tiles import MapBlender, TilePlan, plan_tiles

__all__ = ["View", "WholeView", "resized", "view_of"]


class View(Protocol):
    """How one picture goes through the network, piece by piece."""

    def __len__(self) -> int:
        """Return the number of pieces."""
        ...

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of every piece."""
        ...

    @property
    def complete(self) -> bool:
        """Whether the map of every piece was taken."""
        ...

    def cut(self, image: RGBImage, index: int) -> RGBImage:
        """Return a piece, ``(h, w, 3)`` uint8 of :attr:`shape`."""
        ...

    def add(self, values: FloatMap) -> None:
        """Take the map of the next piece, ``(h, w)`` float32 of :attr:`shape`."""
        ...

    def result(self) -> FloatMap:
        """Return the picture's map at native size; only when :attr:`complete`."""
        ...


def view_of(height: int, width: int, *, whole: int | None, tile: int, overlap: int, multiple: int) -> View:
    """Return how a picture is looked at.

    Args:
        height: Of the picture, at least 1.
        width: Of the picture, at least 1.
        whole: Side of the square that all of it is brought to; ``None`` for tiles.
        tile: See :func:`~.tiles.plan_tiles`.
        overlap: See :func:`~.tiles.plan_tiles`.
        multiple: What the network demands of its input's sides.
    """
    if whole is None:
        return _TiledView(plan_tiles(height, width, tile=tile, overlap=overlap, multiple=multiple))
    return WholeView(height, width, max(whole // multiple, 1) * multiple)


def resized(picture: RGBImage, side: int) -> RGBImage:
    """Return all of a picture at ``side`` x ``side``, whatever its proportions; shrunk by area, enlarged linearly."""
    if picture.shape[:2] == (side, side):
        return picture
    # By area only where both sides shrink: elsewhere OpenCV would repeat pixels along the other.
    how = cv2.INTER_AREA if min(picture.shape[:2]) >= side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(np.ascontiguousarray(picture), (side, side), interpolation=how), np.uint8)


class WholeView:
    """All of a picture at once.

    Args:
        height: Of the picture.
        width: Of the picture.
        side: What it is brought to.
    """

    def __init__(self, height: int, width: int, side: int) -> None:
        self._size = (width, height)
        self._side = side
        self._map: FloatMap | None = None

    def __len__(self) -> int:
        return 1

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the piece."""
        return self._side, self._side

    @property
    def complete(self) -> bool:
        """Whether its map was taken."""
        return self._map is not None

    def cut(self, image: RGBImage, index: int) -> RGBImage:
        """Return the picture, resized."""
        return resized(image, self._side)

    def add(self, values: FloatMap) -> None:
        """Take its map."""
        self._map = np.asarray(cv2.resize(values, self._size, interpolation=cv2.INTER_LINEAR), np.float32)

    def result(self) -> FloatMap:
        """Return the map at the picture's size."""
        if self._map is None:
            raise RuntimeError("expected the picture's map before it is asked for, got none")
        return self._map


class _TiledView:
    """Tile by tile; see :mod:`~.tiles`."""

    def __init__(self, plan: TilePlan) -> None:
        self._plan = plan
        self._blender = MapBlender(plan)

    def __len__(self) -> int:
        return len(self._plan)

    @property
    def shape(self) -> tuple[int, int]:
        return self._plan.shape

    @property
    def complete(self) -> bool:
        return self._blender.complete

    def cut(self, image: RGBImage, index: int) -> RGBImage:
        return self._plan.cut(image, index)

    def add(self, values: FloatMap) -> None:
        self._blender.add(values)

    def result(self) -> FloatMap:
        return self._blender.result()
