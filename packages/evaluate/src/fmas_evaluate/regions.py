"""Defect regions: the 8-connected components of a mask, and the pixels that belong to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["CONNECTIVITY", "Regions", "find_regions"]

CONNECTIVITY = 8
"""Pixels that touch at an edge or a corner belong to one region, as in the published PRO code."""

_NEIGHBOURS = np.ones((3, 3), dtype=np.bool_)
_NEIGHBOURS.flags.writeable = False


@dataclass(frozen=True, slots=True)
class Regions:
    """The defect pixels of one mask, in row-major order, with the region each belongs to.

    Attributes:
        places: ``(P,)`` int64, flat indexes into the mask, ascending.
        sizes: ``(P,)`` int64, number of pixels of the region that the pixel belongs to.
        labels: ``(P,)`` int64, that region's number, from 0; regions are numbered by their first pixel.
        count: Number of regions.
    """

    places: NDArray[np.int64]
    sizes: NDArray[np.int64]
    labels: NDArray[np.int64]
    count: int


def find_regions(mask: NDArray[np.bool_]) -> Regions:
    """Label the 8-connected regions of a mask.

    Args:
        mask: ``(H, W)`` bool, ``True`` marks a defect pixel.

    Returns:
        Its regions; without a defect pixel, empty arrays and a count of 0.
    """
    from scipy import ndimage  # takes longer to import than all the rest of this package together

    rows = np.flatnonzero(mask.any(axis=1))
    if not rows.size:
        nothing = np.zeros(0, dtype=np.int64)
        return Regions(nothing, nothing, nothing, 0)
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(mask[top:bottom].any(axis=0))
    left, right = int(columns[0]), int(columns[-1]) + 1
    box = mask[top:bottom, left:right]  # the rest is background: labelling it would only take time
    labelled, count = ndimage.label(box, structure=_NEIGHBOURS)
    inside = np.flatnonzero(box)
    labels = labelled.ravel()[inside].astype(np.int64) - 1
    down, across = np.divmod(inside, right - left)
    places = (down + top) * mask.shape[1] + (across + left)
    return Regions(places, np.bincount(labels, minlength=count)[labels], labels, int(count))
