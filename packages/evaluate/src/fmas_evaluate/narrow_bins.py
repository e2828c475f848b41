"""Spare most pixels the sort: bins so narrow that few of them hold a defect score.

A pixel in a bin without a defect score lies below or above every one of them as its bin does, so counting the bin is
enough. Only pixels that share a bin with a defect score have to be compared with it.

The bins are ranges of the order-preserving integer of a float32. Each of 4,096 coarse ranges (sign, exponent, three
bits of the mantissa) is cut into a power of two of bins, the more the more defect scores it holds.
"""

from __future__ import annotations

from threading import Lock
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["NarrowBins"]

_COARSE_BITS: Final = 12
_FINE_BITS: Final = 32 - _COARSE_BITS
_BINS_PER_SCORE: Final = 8
_MOST_BINS: Final = 1 << 22
"""Twice as many gained nothing: they do not fit the cache."""
_BLOCK: Final = 1 << 17
_SIGN: Final = np.uint32(1 << 31)


class _Room:
    """The arrays that blocks of pixels are worked on in, one after the other."""

    __slots__ = ("keys", "places", "ranges", "shared", "shifts")

    def __init__(self, size: int) -> None:
        self.keys, self.shifts = np.empty(size, np.uint32), np.empty(size, np.uint32)
        self.ranges, self.places = np.empty(size, np.intp), np.empty(size, np.int64)
        self.shared = np.empty(size, np.bool_)


class NarrowBins:
    """Counts pixels in bins, and hands back those that share one with a score that matters.

    Args:
        scores: ``(K,)`` float32, ascending, distinct, without a negative zero; at least one.
    """

    def __init__(self, scores: NDArray[np.float32]) -> None:
        keys = _ordered(scores, np.empty(scores.size, np.uint32))
        coarse = np.bincount(keys >> np.uint32(_FINE_BITS), minlength=1 << _COARSE_BITS)
        wanted = coarse * (min(_BINS_PER_SCORE * scores.size, _MOST_BINS) / scores.size)
        power = np.floor(np.log2(np.clip(wanted, 1, 1 << _FINE_BITS))).astype(np.int64)
        ends = np.cumsum(np.left_shift(1, power))
        # (key >> shift) + offset is the bin: within a coarse range the fine bits are cut, and its first bin is added.
        self._shift = (_FINE_BITS - power).astype(np.uint32)
        first = np.arange(1 << _COARSE_BITS) << _FINE_BITS
        self._offset = ends - np.left_shift(1, power) - (first >> (_FINE_BITS - power))
        self._counts: NDArray[np.int64] = np.zeros(int(ends[-1]), np.int64)
        self._shared = np.zeros(self._counts.size, np.bool_)
        self._of_scores = self._places(keys, _Room(keys.size))
        self._shared[self._of_scores] = True
        self._lock = Lock()

    @staticmethod
    def fit(scores: NDArray[np.floating[Any]]) -> bool:
        """Say whether there are bins for such scores, narrow beside the gaps between them."""
        return scores.dtype == np.float32 and 0 < scores.size <= _MOST_BINS // 4

    def take_from(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Count pixels; several threads may do so at a time.

        Args:
            pixels: ``(n,)`` without a negative zero; overwritten.

        Returns:
            The pixels that share a bin with a score and are not counted: the beginning of ``pixels``.
        """
        room = _Room(min(pixels.size, _BLOCK))
        kept = 0
        for start in range(0, pixels.size, _BLOCK):
            block = pixels[start : start + _BLOCK]
            places = self._places(_ordered(block, room.keys[: block.size]), room)
            left_open = block[self._shared.take(places, out=room.shared[: block.size], mode="clip")]
            with self._lock:
                np.add.at(self._counts, places, 1)
            pixels[kept : kept + left_open.size] = left_open  # behind what is still to be read
            kept += left_open.size
        return pixels[:kept]

    def below(self) -> NDArray[np.int64]:
        """Return for each score how many of the pixels that were counted lie below it, ``(K,)``."""
        counts = np.where(self._shared, 0, self._counts)  # pixels in shared bins were handed back
        return np.asarray(np.cumsum(counts)[self._of_scores])

    def _places(self, keys: NDArray[np.uint32], room: _Room) -> NDArray[np.int64]:
        """Return the bin of each key, in ``room``; the keys are overwritten."""
        # Nothing is ever out of range; but numpy takes longer to make sure than to clip.
        ranges = np.right_shift(keys, np.uint32(_FINE_BITS), out=room.ranges[: keys.size], casting="unsafe")
        places = room.places[: keys.size]
        self._offset.take(ranges, out=places, mode="clip")
        keys >>= self._shift.take(ranges, out=room.shifts[: keys.size], mode="clip")
        places += keys
        return places


def _ordered(scores: NDArray[np.float32], out: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Write integers that have the order of the scores: bits inverted where negative, else with the sign set."""
    bits = scores.view(np.uint32)
    np.right_shift(scores.view(np.int32), 31, out=out.view(np.int32))
    out |= _SIGN
    out ^= bits
    return out
