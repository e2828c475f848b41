"""The dark rim along the border of a part that almost fills the picture."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from fmas.builtin.segmenter.background import FloatArray
from fmas.types import BoolMask

__all__ = ["dark_surround"]

_DEPTH = 0.15  # of the picture, at most
_DARKEST = 24.0  # lightness; a lighter rim is part of a texture
_DARKER = 0.68  # times the part beside it, at most
_STEEP = 1.4  # times lighter within four pixels, at least
_BESIDE = 8  # pixels of the part that a rim is compared with
_SHORT_RUN, _LONG_RUN = 0.08, 0.2  # of a side: at a corner, and elsewhere
_MOST_OF_A_SIDE = 0.4  # a rim that goes on for as long goes on to the corners
_DARK_INSIDE = 0.01  # of the middle, at most


def dark_surround(lightness: FloatArray) -> BoolMask:
    """Return the dark rim along the border of ``lightness``, ``(h, w)`` in 0..100; mostly empty.

    Seen from a side, a rim is dark all the way to its end, ends in a step up to the part, not in a shade, and goes on
    along the side. A part that curves away from the light fades, and keeps its dark end.
    """
    surround = np.zeros(lightness.shape, dtype=bool)
    for turns in range(4):
        depths = _rim_depths(np.rot90(lightness, turns))
        rows = np.arange(lightness.shape[turns % 2])[:, None]
        surround |= np.rot90(rows < depths[None, :], -turns)
    plausible = 0.001 <= surround.mean() <= 0.35 and not _dark_inside(lightness, surround)
    return surround if plausible else np.zeros_like(surround)


def _dark_inside(lightness: FloatArray, surround: BoolMask) -> bool:
    """Say whether the middle of the picture has places as dark as the rim: then it is no rim but a texture's dark."""
    height, width = lightness.shape
    middle = lightness[
        round(_DEPTH * height) : height - round(_DEPTH * height), round(_DEPTH * width) : width - round(_DEPTH * width)
    ]
    return bool(np.mean(middle < np.median(lightness[surround])) > _DARK_INSIDE)


def _rim_depths(lightness: FloatArray) -> NDArray[np.intp]:
    """Return how deep the rim along the upper side is in each column, ``(w,)`` pixels, 0 for none."""
    height, width = lightness.shape
    depth = max(4, round(_DEPTH * height))
    reach = min(height, depth + _BESIDE + 3)
    near = cv2.blur(np.ascontiguousarray(lightness[:reach]), (7, 1))  # a step goes on along the side
    depth = min(depth, reach - 4)
    if depth < 2:
        return np.zeros(width, np.intp)
    padded = np.pad(near, ((2, _BESIDE), (0, 0)), mode="edge")
    cuts = np.arange(2, depth + 1)  # a rim of so many pixels; a single one is nothing to see
    steep = padded[cuts + 3] / (padded[cuts] + 2.0)  # two pixels within over two pixels without
    sums = np.pad(np.cumsum(padded[2:], axis=0), ((1, 0), (0, 0)))
    beside = (sums[cuts + 1 + _BESIDE - 1] - sums[cuts + 1]) / (_BESIDE - 1)
    lightest = np.maximum.accumulate(near, axis=0)[np.maximum(cuts - 2, 0)]
    fits = (steep >= _STEEP) & (lightest <= _DARKER * beside) & (lightest <= _DARKEST)
    best = np.where(fits, steep, 0.0)
    depths = np.where(best.max(axis=0) > 0, cuts[np.argmax(best, axis=0)], 0)
    return _lasting(depths)


def _lasting(depths: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return ``depths`` with outliers removed, gaps bridged and short runs dropped, unless they end at a corner."""
    count = depths.size
    line = np.clip(depths, 0, 255).astype(np.uint8)[None, :]
    smooth = cv2.medianBlur(np.repeat(line, 5, axis=0), 5)[2]
    present = (smooth > 0).astype(np.uint8)[None, :]
    bridged = cv2.morphologyEx(present, cv2.MORPH_CLOSE, np.ones((1, max(9, count // 2)), np.uint8))[0]
    edges = np.flatnonzero(np.diff(np.pad(bridged, 1)))
    kept = np.zeros(count, dtype=bool)
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        at_corner = start < 0.1 * count or stop > 0.9 * count
        kept[start:stop] = stop - start >= (_SHORT_RUN if at_corner else _LONG_RUN) * count
    kept |= kept.mean() > _MOST_OF_A_SIDE
    known = np.flatnonzero(kept & (smooth > 0))
    if known.size < 3:
        return np.zeros(count, np.intp)
    filled = np.interp(np.arange(count), known, smooth[known])
    return np.where(kept, np.round(filled), 0).astype(np.intp)
