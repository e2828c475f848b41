"""Integer counts per histogram bin that add up to the same bits in any order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["COUNTS", "MOST_REGIONS", "WEIGHT_UNIT", "BinCounts"]

COUNTS: Final = ("pixels", "defects", "weights_high", "weights_low")
"""What is kept for a bin."""

WEIGHT_UNIT: Final = 2.0**-62
"""Weights of defect pixels are rounded down to multiples of this."""

MOST_REGIONS: Final = 2**31
"""With no more regions than this, no sum of weights overflows."""

LOW_BITS: Final = 31
"""The low half of a weight has so many bits."""

_LOW: Final = 2**LOW_BITS - 1
_MOST_UNCARRIED: Final = 2**31
"""Defect pixels whose low halves may be added before they are carried: their sum stays below 2**62."""


class BinCounts:
    """Pixels, defect pixels and what these weigh, for every bin.

    A defect pixel weighs 1 / (size of its region), which no binary fraction is in general: it is counted in units of
    2**-62, rounded down, so that sums are integers. They pass 2**63, hence the low 31 bits are added up apart from the
    rest and carried before they overflow.

    Args:
        bins: Number of bins.
    """

    def __init__(self, bins: int) -> None:
        # Memory is only taken where there are counts: the system hands out zeroed pages on first use.
        self._pixels = np.zeros(bins, dtype=np.int64)
        self._defects = np.zeros(bins, dtype=np.int64)
        self._weights_high = np.zeros(bins, dtype=np.int64)
        self._weights_low = np.zeros(bins, dtype=np.int64)
        self._uncarried = 0

    def add_pixels(self, indexes: NDArray[np.intp]) -> None:
        """Count pixels, defect or normal.

        Args:
            indexes: ``(P,)`` intp, the bin of each.
        """
        # About 1.2 ns a pixel. bincount takes longer here: it looks for the extremes first, and its result, as long as
        # the histogram, has to be added to the counts for every block.
        np.add.at(self._pixels, indexes, 1)

    def add_defects(self, indexes: NDArray[np.intp], sizes: NDArray[np.int64]) -> None:
        """Count defect pixels, which ``add_pixels`` has to count, too.

        Args:
            indexes: ``(P,)`` intp, the bin of each; at most 2**31 of them.
            sizes: ``(P,)`` int64, number of pixels of the region of each.
        """
        if self._uncarried + indexes.size > _MOST_UNCARRIED:
            self._carry()
        self._uncarried += indexes.size
        weights = 2**62 // sizes
        np.add.at(self._defects, indexes, 1)
        np.add.at(self._weights_high, indexes, weights >> LOW_BITS)
        np.add.at(self._weights_low, indexes, weights & _LOW)

    def occupied(self) -> dict[str, NDArray[np.int64]]:
        """Return the counts of the bins that hold a pixel; equal counts give equal arrays.

        Returns:
            ``codes``, the ``(B,)`` int64 numbers of these bins, ascending, and the ``COUNTS`` in each of them.
        """
        self._carry()
        codes = np.flatnonzero(self._pixels).astype(np.int64, copy=False)
        counts = (self._pixels, self._defects, self._weights_high, self._weights_low)
        return {"codes": codes} | {name: values[codes] for name, values in zip(COUNTS, counts, strict=True)}

    def add_occupied(self, counts: Mapping[str, NDArray[np.int64]]) -> None:
        """Add what ``occupied`` returned for other pixels."""
        codes = counts["codes"]
        self._carry()
        self._pixels[codes] += counts["pixels"]
        self._defects[codes] += counts["defects"]
        self._weights_high[codes] += counts["weights_high"]
        self._weights_low[codes] += counts["weights_low"]
        self._carry()

    def _carry(self) -> None:
        """Move what the low halves have above their bits to the high halves."""
        if self._weights_low.any():
            self._weights_high += self._weights_low >> LOW_BITS
            self._weights_low &= _LOW
        self._uncarried = 0
