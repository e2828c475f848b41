"""Which defects are missed: the share of missed regions and the mean overlap, by size of the defect."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fmas_evaluate.errors import InvalidInput
from fmas_evaluate.flagging import checked_threshold, reaches
from fmas_evaluate.inputs import Maps, Masks, pairs
from fmas_evaluate.regions import find_regions

__all__ = ["DECADES", "SizeBin", "misses_by_size"]

DECADES: Final = (1.0, 10.0, 100.0, 1_000.0, 10_000.0, 100_000.0, math.inf)
"""Default borders of the sizes, in pixels."""


@dataclass(frozen=True, slots=True)
class SizeBin:
    """The regions of one range of sizes.

    Attributes:
        smallest: Smallest size in the range, in pixels.
        end: First size beyond the range, in pixels; may be infinite.
        n_regions: Regions in the range.
        n_missed: Those of them whose overlap is not above ``found_above``.
        mean_overlap: Mean over the regions of the share of their pixels that is flagged; NaN without a region.
    """

    smallest: float
    end: float
    n_regions: int
    n_missed: int
    mean_overlap: float

    @property
    def missed_share(self) -> float:
        """Share of the regions that is missed; NaN without a region."""
        return self.n_missed / self.n_regions if self.n_regions else math.nan


def misses_by_size(
    maps: Maps,
    masks: Masks,
    *,
    threshold: float,
    sizes: Sequence[float] = DECADES,
    found_above: float = 0.0,
    mask_threshold: float | None = None,
) -> tuple[SizeBin, ...]:
    """Count found and missed regions by their size.

    Args:
        maps: Score maps, ``(N, H, W)`` or an iterable of ``(H, W)``; read one at a time.
        masks: Defect masks of the same sizes; ``None`` for an image without a defect.
        threshold: A pixel at or above it is flagged; for example ``f1_max(maps, masks).threshold``.
        sizes: Borders of the ranges in pixels, increasing; a range includes its first border and not its second. A
            region outside all of them is an error rather than left out.
        found_above: A region is found if more than this share of its pixels is flagged, in ``[0, 1)``; with 0, one
            pixel is enough.
        mask_threshold: A mask value above it is a defect; needed only for masks that are not two-valued.

    Returns:
        One row per range, empty ranges included.

    Raises:
        InvalidInput: For borders that do not increase or leave a region out, numbers outside their range, or unusable
            images.
        InvalidType: For maps or masks of the wrong kind.
    """
    borders = np.asarray(sizes, dtype=np.float64)
    if borders.ndim != 1 or borders.size < 2 or not (borders[1:] > borders[:-1]).all():
        raise InvalidInput(f"expected increasing sizes in pixels, at least two, got {sizes}; for example 1, 100, 10000")
    threshold = checked_threshold(threshold)
    if not 0 <= found_above < 1:
        raise InvalidInput(f"expected found_above in [0, 1), got {found_above}; pass the share of a region's pixels")
    areas, overlaps = _overlaps(maps, masks, threshold, mask_threshold)
    outside = (areas < borders[0]) | (areas >= borders[-1])
    if outside.any():
        raise InvalidInput(
            f"expected sizes from {borders[0]:g} to {borders[-1]:g} to hold every region, got one of "
            f"{areas[outside][0]} pixels; widen the first or the last border"
        )
    place = np.searchsorted(borders, areas, side="right") - 1
    return tuple(
        SizeBin(
            smallest=float(borders[row]),
            end=float(borders[row + 1]),
            n_regions=int(np.count_nonzero(place == row)),
            n_missed=int(np.count_nonzero(overlaps[place == row] <= found_above)),
            mean_overlap=float(overlaps[place == row].mean()) if (place == row).any() else math.nan,
        )
        for row in range(borders.size - 1)
    )


def _overlaps(
    maps: Maps, masks: Masks, threshold: float, mask_threshold: float | None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the size in pixels and the flagged share of every region."""
    areas: list[NDArray[np.int64]] = [np.zeros(0, dtype=np.int64)]
    overlaps: list[NDArray[np.float64]] = [np.zeros(0)]
    for pair in pairs(maps, masks, mask_threshold=mask_threshold):
        regions = find_regions(pair.mask)
        if regions.count:
            flagged = reaches(pair.scores.ravel()[regions.places], threshold)
            area = np.bincount(regions.labels, minlength=regions.count)
            areas.append(area)
            overlaps.append(np.bincount(regions.labels, weights=flagged, minlength=regions.count) / area)
    return np.concatenate(areas), np.concatenate(overlaps)
