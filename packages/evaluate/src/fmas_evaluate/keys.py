"""Which bin of a histogram a score falls into: the leading bits of its floating-point pattern.

The bits of an IEEE float, read as an integer, keep the order of its values: sign, then exponent, then mantissa. The
leading *k* of them therefore number ``2**k`` bins such that a larger score is never in a lower bin, whatever the
range of the scores, with the same relative width everywhere. Nothing has to be known about the scores beforehand, and
a score keeps its bin whatever comes after it, which is what makes histograms of parts add up to that of the whole.

A bin's *code* is the bit pattern itself, as counting wants no more work per pixel than a shift. Negative floats grow
downwards in it; ``Scale.positions`` puts codes into the order of the scores, once, when the counts are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from fmas_evaluate.errors import InvalidInput, InvalidType

__all__ = [
    "BLOCK",
    "DEFAULT_BINS",
    "MAX_BINS",
    "MIN_BINS",
    "Indexer",
    "Scale",
    "checked_bins",
    "contains_nan",
    "scale_named",
    "scale_of",
]

DEFAULT_BINS: Final = 2**20
MIN_BINS: Final = 2**10
"""Sign, exponent and one bit of the mantissa of a float32."""
MAX_BINS: Final = 2**24

BLOCK: Final = 2**16
"""Scores handled at once: with this many, the buffers (1 MiB in all) stay in a core's second-level cache."""

_FLOAT32_BITS: Final = 32
_MINUS_INFINITY: Final = 0xFF800000
_NARROW: Final = {"uint8": 8, "int8": 8, "uint16": 16, "int16": 16, "float16": 16}


@dataclass(frozen=True, slots=True)
class Scale:
    """How scores of one dtype are told apart.

    Attributes:
        name: The dtype the codes are taken from: ``"uint8"``, ``"int8"``, ``"uint16"``, ``"int16"``, ``"float16"``,
            whose values get a bin each, or ``"float32"``, which every other dtype is rounded down to.
        bits: A bin's code has this many bits.
    """

    name: str
    bits: int

    @property
    def bins(self) -> int:
        """Number of bins."""
        return 1 << self.bits

    @property
    def one_value_per_bin(self) -> bool:
        """Whether a bin tells the score itself, so that nothing is lost."""
        return self.name in _NARROW

    @property
    def kind(self) -> Literal["unsigned", "signed", "float"]:
        """How the sign is written in a code."""
        return "float" if self.name.startswith("float") else "signed" if self.name.startswith("int") else "unsigned"

    def positions(self, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return where codes stand in the order of the scores.

        Args:
            codes: ``(B,)`` int64 in ``[0, bins)``.

        Returns:
            ``(B,)`` int64 in ``[0, bins)``: larger for the bin of larger scores.
        """
        half = self.bins >> 1
        if self.kind == "unsigned":
            return codes
        if self.kind == "signed":
            return codes ^ half
        return np.where(codes < half, codes + half, self.bins - 1 - codes)

    def lower_edges(self, codes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the smallest score of each bin: a score is in this bin or a higher one exactly if it is at least this.

        Args:
            codes: ``(B,)`` int64, as of scores: none that only NaN has.

        Returns:
            ``(B,)`` float64.
        """
        if self.name != "float32":
            width = np.dtype(np.uint8 if self.bits == 8 else np.uint16)
            # Adding zero turns the only other pattern of zero, float16's -0.0, into the usual one.
            return codes.astype(width).view(self.name).astype(np.float64) + 0.0
        shift = _FLOAT32_BITS - self.bits
        negative = codes >= self.bins >> 1
        patterns = (codes << shift) | np.where(negative, (1 << shift) - 1, 0)
        patterns[codes == _MINUS_INFINITY >> shift] = _MINUS_INFINITY  # all others of that code are NaN
        return patterns.astype(np.uint32).view(np.float32).astype(np.float64)


def scale_of(dtype: np.dtype[np.generic], bins: int) -> Scale:
    """Return how scores of a dtype are told apart.

    Args:
        dtype: Of the score maps: integer or float.
        bins: Number of bins, as checked by ``checked_bins``; dtypes of 8 and 16 bits get one per value instead.

    Returns:
        The scale.

    Raises:
        InvalidType: If the dtype is not a real number's.
    """
    if dtype.kind not in "iuf":
        raise InvalidType(f"expected score maps of an integer or float dtype, got {dtype}; convert them first")
    name = dtype.newbyteorder("=").name
    return scale_named(name if name in _NARROW else "float32", bins)


def scale_named(name: str, bins: int) -> Scale:
    """Return the scale of a name that an earlier ``scale_of`` gave.

    Raises:
        InvalidInput: If there is no such scale.
    """
    if name == "float32":
        return Scale(name, bins.bit_length() - 1)
    if name not in _NARROW:
        known = ", ".join(sorted((*_NARROW, "float32")))
        raise InvalidInput(f"expected the name of a scale ({known}), got {name!r}; pass a state that state_dict() made")
    return Scale(name, _NARROW[name])


def checked_bins(bins: object) -> int:
    """Return a number of bins, or say what is wrong with it.

    Raises:
        InvalidType: If it is not an integer.
        InvalidInput: If it is not a power of two between ``MIN_BINS`` and ``MAX_BINS``.
    """
    if isinstance(bins, bool) or not isinstance(bins, (int, np.integer)):
        raise InvalidType(f"expected bins to be an integer, got {type(bins).__name__}; leave it out for 2**20")
    count = int(bins)
    if not MIN_BINS <= count <= MAX_BINS or count & (count - 1):
        raise InvalidInput(
            f"expected bins to be a power of two from {MIN_BINS} to {MAX_BINS}, got {count}; leave it out for 2**20, "
            "or pass 2**22 or 2**24 for narrower intervals"
        )
    return count


class Indexer:
    """Turns scores into codes, block by block, in buffers that are reused.

    Attributes:
        scale: Of the codes.
        rounded: Whether any score so far may share its bin with a different one: False until a score has a bit set
            below those of its code, so that values from a coarse grid, such as 0, 1, … 255 as float32, are known to be
            told apart.
    """

    def __init__(self, scale: Scale) -> None:
        self.scale = scale
        self.rounded = False
        self._indexes = np.empty(BLOCK, dtype=np.intp)
        self._floats = np.empty(BLOCK if scale.name == "float32" else 0, dtype=np.float32)

    def blocks(self, scores: NDArray[Any]) -> Iterator[NDArray[np.intp]]:
        """Iterate over the codes of scores.

        Args:
            scores: ``(P,)`` of a dtype of this scale, in native byte order, without NaN.

        Yields:
            ``(at most BLOCK,)`` intp codes, in order. Valid until the next one: the buffer is reused.
        """
        for start in range(0, scores.size, BLOCK):
            block = scores[start : start + BLOCK]
            indexes = self._indexes[: block.size]
            if self.scale.name == "float32":
                patterns = self._float32_patterns(block)
                shift = _FLOAT32_BITS - self.scale.bits
                if not self.rounded:
                    self.rounded = bool(np.bitwise_or.reduce(patterns) & ((1 << shift) - 1))
                np.right_shift(patterns, shift, out=patterns)
                # Shifting straight into the index buffer would convert in small pieces, at twice the time.
                np.copyto(indexes, patterns, casting="unsafe")
            else:
                unsigned = block.view(np.uint8 if self.scale.bits == 8 else np.uint16)
                np.copyto(indexes, unsigned)
                if self.scale.name == "float16":
                    np.putmask(indexes, unsigned == 0x8000, 0)  # -0.0 ties with 0.0
            yield indexes

    def _float32_patterns(self, block: NDArray[Any]) -> NDArray[np.uint32]:
        """Return the bit patterns of scores rounded down to float32, in the reused buffer.

        Down, not to the nearest: a bin's lower edge then separates the original scores, too. Rounding loses ties, never
        the order, and losing ties within a bin is what the intervals allow for.
        """
        floats = self._floats[: block.size]
        if block.dtype == np.float32:
            np.add(block, np.float32(0), out=floats)  # copies, and turns -0.0 into 0.0
            return floats.view(np.uint32)
        wide = block if block.dtype.kind == "f" else block.astype(np.float64)
        with np.errstate(over="ignore", under="ignore"):  # beyond float32 is its infinity: still in order
            np.copyto(floats, wide, casting="unsafe")
        np.add(floats, np.float32(0), out=floats)
        too_high = floats > wide
        self.rounded = self.rounded or bool(np.any(floats != wide))
        patterns = floats.view(np.int32)
        # One float down is one pattern down if positive, one up if negative; below zero the first pattern is apart.
        below_zero = too_high & (patterns == 0)
        patterns -= too_high * (1 | patterns >> 31)
        result = floats.view(np.uint32)
        result[below_zero] = 0x80000001
        return result


def contains_nan(scores: NDArray[Any]) -> bool:
    """Say whether any score is NaN, at about the speed of memory.

    Args:
        scores: Integer or float, of any shape and byte order.
    """
    if scores.dtype.kind != "f" or not scores.size:
        return False
    if scores.dtype.itemsize == 2:  # comparing float16 is slow, comparing their patterns is not
        return bool((scores.view(f"{scores.dtype.byteorder}u2") & 0x7FFF).max() > 0x7C00)
    return bool(np.isnan(scores.max()))
