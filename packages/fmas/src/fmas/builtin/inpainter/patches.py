"""More of the same surface: what would be seen if the thing in front of it were not there."""

from __future__ import annotations

import cv2
import numpy as np

from fmas.builtin.inpainter.filters import blur, mean_channel
from fmas.builtin.inpainter.surface import Surface
from fmas.types import BoolMask, FloatMap

__all__ = ["continued"]

_LARGEST = 96
"""The search for a donor runs on a reduction of the window to this many pixels a side: it need not be finer."""


def continued(surface: Surface, hidden: BoolMask, *, rng: np.random.Generator) -> FloatMap:
    """Fill a part of the window with its surroundings: a piece from beside it whose border fits best, matched in tone.

    Args:
        surface: The photograph.
        hidden: ``(h, w)`` bool, what to fill.
        rng: Chooses among the donors that fit well.

    Returns:
        The window with ``hidden`` filled, ``(h, w, C)`` float32; unchanged where there is no room for a donor.
    """
    rows, columns = np.flatnonzero(hidden.any(axis=1)), np.flatnonzero(hidden.any(axis=0))
    if not rows.size:
        return surface.base
    dy, dx = _donor(surface, hidden, (rows[0], rows[-1] + 1), (columns[0], columns[-1] + 1), rng)
    shift = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
    size = (surface.shape[1], surface.shape[0])
    moved = cv2.warpAffine(
        surface.base, shift, size, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REFLECT
    )
    moved = np.asarray(moved, dtype=np.float32).reshape(surface.base.shape)
    # The membrane: the difference in tone around the piece, carried smoothly across it.
    around = (~hidden).astype(np.float32)[..., None]
    sigma = max(2.0, 0.3 * float(max(rows.size, columns.size)))
    weight = blur(around, sigma) + np.float32(1e-3)
    tone = blur((surface.base - moved) * around, sigma).reshape(moved.shape) / weight.reshape((*surface.shape, 1))
    return np.asarray(np.where(hidden[..., None], np.clip(moved + tone, 0, 255), surface.base), dtype=np.float32)


def _donor(
    surface: Surface, hidden: BoolMask, rows: tuple[int, int], columns: tuple[int, int], rng: np.random.Generator
) -> tuple[int, int]:
    """Return the offset (down, right) of a piece that fits into ``hidden``; (0, 0) when there is none."""
    height, width = surface.shape
    step = max(1, max(height, width) // _LARGEST)
    ring = max(2, (rows[1] - rows[0]) // 10, (columns[1] - columns[0]) // 10)
    top, bottom = max(0, rows[0] - ring) // step, min(height, rows[1] + ring) // step
    left, right = max(0, columns[0] - ring) // step, min(width, columns[1] + ring) // step
    picture = mean_channel(surface.base)[::step, ::step]
    covered = hidden[::step, ::step]
    border = ~covered[top:bottom, left:right]
    if min(border.shape) < 3 or not border.any():
        return 0, 0
    template = np.ascontiguousarray(picture[top:bottom, left:right])
    cost = np.asarray(cv2.matchTemplate(picture, template, cv2.TM_SQDIFF, mask=border.astype(np.float32)))
    # Pieces that hold some of what is hidden would bring it back; the border alone does not tell.
    overlap = cv2.matchTemplate(covered.astype(np.float32), (~border).astype(np.float32), cv2.TM_CCORR)
    cost = cost / border.sum() + np.asarray(overlap) / max(1, int(covered.sum())) * 4e4
    best = np.argsort(np.round(cost, 1).ravel(), kind="stable")[: max(1, cost.size // 200)]
    row, column = divmod(int(best[int(rng.integers(best.size))]), cost.shape[1])
    if overlap[row, column] > 0.5 * covered.sum():
        return 0, 0
    return (row - top) * step, (column - left) * step
