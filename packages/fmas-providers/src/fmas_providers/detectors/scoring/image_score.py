"""One number for a picture: how high its map gets over more than a few pixels."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from fmas.types import FloatMap

__all__ = ["FEWEST", "MOST", "image_score", "pixels_that_count"]

FEWEST = 16
MOST = 100
"""Pixels that make an image score, at least and at most: spots of 4x4 and of 10x10."""

_BLOCK = 64  # pixels of which only the highest is looked at first


def image_score(anomaly_map: FloatMap, *, top_fraction: float = 0.001) -> float:
    """Return the mean of the ``k`` highest values of the slightly smoothed map.

    ``k = min(max(round(top_fraction * H * W), 16), 100, H * W)``; the smoothing is the 3x3 binomial filter
    ``(1 2 1)^T (1 2 1) / 16``.

    Why these limits: the network looks at pixels of the photograph, so how large a defect must be to be seen is a
    matter of pixels, not of a share of the picture. With a fixed share, a defect 12 pixels wide on a photograph of 12
    megapixels would be one in a hundred of the averaged pixels; with at most 100 it fills the average. At least 16
    keep single pixels down: one at 1 in a map of zeros gives 1/16 at the most, and since a lone pixel is
    smoothed to a quarter, even 16 of them strewn over the map stay at or below 1/4. Between 126 and 316 pixels a side
    (for the default of a thousandth) ``k`` grows with the picture, and a picture enlarged there with its defect keeps
    its score; beyond, an enlarged defect only fills the 100 pixels better.

    Args:
        anomaly_map: ``(H, W)`` float32, finite.
        top_fraction: Part of the picture that counts, in ``(0, 1]``.

    Returns:
        A value between the map's lowest and highest; for a constant map that constant.
    """
    smooth = cv2.GaussianBlur(anomaly_map, (3, 3), 0, borderType=cv2.BORDER_REFLECT_101)
    values = np.asarray(smooth, np.float32).ravel()
    count = pixels_that_count(*anomaly_map.shape, top_fraction=top_fraction)
    # A mean of float32 sums to a hair beyond the largest of equal values without the wider accumulator.
    return float(np.mean(_highest(values, count), dtype=np.float64))


def pixels_that_count(height: int, width: int, *, top_fraction: float) -> int:
    """Return the ``k`` of :func:`image_score` for a map of ``height`` by ``width``."""
    pixels = height * width
    return min(max(round(top_fraction * pixels), FEWEST), MOST, pixels)


def _highest(values: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Return the ``count`` highest of ``values``, in any order.

    The ``count``-th highest of the blocks' maxima is at most the ``count``-th highest of all, so whatever lies below it
    need not be sorted; in a large map that is nearly everything.
    """
    blocks = values.size // _BLOCK
    if blocks >= 2 * count:
        peaks = values[: blocks * _BLOCK].reshape(blocks, _BLOCK).max(axis=1)
        values = values[values >= np.partition(peaks, blocks - count)[blocks - count]]
    return np.partition(values, values.size - count)[values.size - count :]
