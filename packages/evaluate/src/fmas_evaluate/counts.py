"""What all metrics follow from: the defect pixels, and for each the number of normal pixels above it.

For a defect pixel with score ``s``, ``above`` counts the normal pixels with a larger score and ``reached`` those with
``s`` or more. Counts are integers and add up over images, threads, files and workers, so the result does not depend on
how the pixels were split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["DefectCounts", "DefectPixels", "first_of_each", "sort_defects"]

_SIGN: Final = np.uint32(0x80000000)


@dataclass(frozen=True, slots=True)
class DefectPixels:
    """The defect pixels of all images, sorted by score and, among equal scores, by region size.

    Attributes:
        scores: ``(P,)`` float32 or float64, ascending, without a negative zero.
        sizes: ``(P,)`` int64, pixels in the region that each belongs to.
    """

    scores: NDArray[np.floating[Any]]
    sizes: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class DefectCounts:
    """Defect pixels in ascending order of score, with the normal pixels that lie above each.

    Attributes:
        scores: ``(P,)`` float32 or float64, ascending.
        sizes: ``(P,)`` int64, pixels in the region that each belongs to.
        above: ``(P,)`` int64, normal pixels with a larger score.
        reached: ``(P,)`` int64, normal pixels with this score or a larger one.
        n_normal: Normal pixels in all.
        n_regions: Defect regions in all.
        n_pixels: Pixels in all, defect and normal.
        n_images: Images in all.
    """

    scores: NDArray[np.floating[Any]]
    sizes: NDArray[np.int64]
    above: NDArray[np.int64]
    reached: NDArray[np.int64]
    n_normal: int
    n_regions: int
    n_pixels: int
    n_images: int


def sort_defects(
    scores: Sequence[NDArray[np.number[Any]]], sizes: Sequence[NDArray[np.int64]], dtype: np.dtype[Any]
) -> DefectPixels:
    """Join the defect pixels of several images and sort them.

    Args:
        scores: One ``(P_i,)`` array per image.
        sizes: One ``(P_i,)`` array per image, the size of each pixel's region.
        dtype: float32 or float64; has to hold every score exactly.

    Returns:
        All of them, sorted.
    """
    count = sum(part.size for part in scores)
    joined, joined_sizes = np.empty(count, dtype), np.empty(count, np.int64)
    start = 0
    for part, part_sizes in zip(scores, sizes, strict=True):
        # Adding zero turns -0.0 into 0.0: the two are equal, but have different bits.
        np.add(part, 0.0, out=joined[start : start + part.size], dtype=dtype, casting="unsafe")
        joined_sizes[start : start + part.size] = part_sizes
        start += part.size
    if dtype == np.float32 and (not count or int(joined_sizes.max()) < 2**32):
        return _sorted_as_integers(joined, joined_sizes)
    order = np.lexsort((joined_sizes, joined))
    return DefectPixels(joined[order], joined_sizes[order])


def first_of_each(ascending: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
    """Return where each distinct value of an ascending array starts."""
    fresh = np.ones(ascending.size, np.bool_)
    np.not_equal(ascending[1:], ascending[:-1], out=fresh[1:])
    return np.flatnonzero(fresh)


def _sorted_as_integers(scores: NDArray[np.float32], sizes: NDArray[np.int64]) -> DefectPixels:
    """Sort ``(score, size)`` as single 64-bit integers: several times faster than an argsort.

    The bits of floats, read as integers, have the order of the floats, once those of negative ones are inverted and the
    sign of the others is set.
    """
    bits = scores.view(np.uint32)
    packed = np.where(bits & _SIGN, ~bits, bits | _SIGN).astype(np.uint64)
    packed <<= np.uint64(32)
    packed |= sizes.view(np.uint64)
    packed.sort()
    keys = (packed >> np.uint64(32)).astype(np.uint32)
    packed &= np.uint64(0xFFFFFFFF)
    bits = np.where(keys & _SIGN, keys ^ _SIGN, ~keys)
    return DefectPixels(bits.view(np.float32), packed.view(np.int64))
