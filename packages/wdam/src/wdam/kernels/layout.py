"""How a feature map is cut up among threads; all of it is known on the host before a launch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from wdam.errors import DtypeError, ShapeError

__all__ = ["MAX_THREADS", "SUBBANDS", "Chunks", "FeatureMap", "accumulator", "ceil_div", "cpp_name", "vector_width"]

MAX_THREADS = 256  # of a block; the same constant as in wdam_common.cuh
SUBBANDS = 4
WARP = 32
VECTOR_BYTES = 16
LARGEST_INDEX = 2**31 - 1
BLOCKS_PER_MULTIPROCESSOR = 8  # of MAX_THREADS threads: as many as can be resident

_CPP_NAMES = {
    torch.float16: "wdam::Half",
    torch.bfloat16: "wdam::BFloat16",
    torch.float32: "float",
    torch.float64: "double",
}


def ceil_div(dividend: int, divisor: int) -> int:
    """Return the quotient of positive numbers, rounded up."""
    return -(-dividend // divisor)


def power_of_two(number: int) -> int:
    """Return the smallest power of two that is at least ``number``."""
    return 1 << max(0, number - 1).bit_length()


def cpp_name(dtype: torch.dtype) -> str:
    """Return what the sources call a dtype.

    Raises:
        DtypeError: If there is no kernel for it.
    """
    if dtype not in _CPP_NAMES:
        raise DtypeError(f"expected float16, bfloat16, float32 or float64, got {dtype}; convert with x.float()")
    return _CPP_NAMES[dtype]


def accumulator(dtype: torch.dtype) -> torch.dtype:
    """Return what sums of ``dtype`` are kept in: float64 for float64, else float32."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def vector_width(pitch: int, *tensors: Tensor, limit: int = VECTOR_BYTES) -> int:
    """Return how many elements one access may move.

    Args:
        pitch: Elements from one row (or pixel, for channels-last) to the next.
        *tensors: All that are accessed like this, of one dtype.
        limit: The most elements to move.

    Returns:
        A power of two of at most 16 bytes that divides the pitch and to whose bytes every address is a multiple.
    """
    size = tensors[0].element_size()
    width = min(VECTOR_BYTES // size, limit)
    while width > 1 and (pitch % width or any(tensor.data_ptr() % (width * size) for tensor in tensors)):
        width //= 2
    return width


@dataclass(frozen=True, slots=True)
class Chunks:
    """How elementwise work is divided.

    Attributes:
        per_sample: Blocks of threads for each sample.
        units: Units of work for each of these.
        threads: Threads in each, a multiple of 32.
    """

    per_sample: int
    units: int
    threads: int


@dataclass(frozen=True, slots=True)
class FeatureMap:
    """An ``(N, C, H, W)`` tensor as the kernels see it.

    Attributes:
        tensor: Dense, contiguous or channels-last.
        last: Whether it is channels-last.
    """

    tensor: Tensor
    last: bool

    @classmethod
    def of(cls, x: Tensor) -> FeatureMap:
        """Return ``x`` itself when it is dense, else a contiguous copy.

        Raises:
            ShapeError: If it is not four-dimensional, or a plane is beyond 32-bit block numbers.
        """
        if x.ndim != SUBBANDS:
            raise ShapeError(f"expected x of shape (N, C, H, W), got {tuple(x.shape)}; add the missing dimensions")
        if ceil_div(x.shape[2], 2) * ceil_div(x.shape[3], 2) > LARGEST_INDEX or max(x.shape) > LARGEST_INDEX:
            raise ShapeError(
                f"expected less than 2**31 blocks of 2x2 pixels per channel, got {tuple(x.shape)}; "
                f"use backend='torch' for an image of this size"
            )
        if x.is_contiguous():
            return cls(x, last=False)
        if x.is_contiguous(memory_format=torch.channels_last):
            return cls(x, last=True)
        return cls(x.contiguous(), last=False)

    def like(self, other: Tensor) -> Tensor:
        """Return ``other``, of the same shape, in this layout and dtype."""
        return other.to(self.tensor.dtype).contiguous(memory_format=self.memory_format)

    def empty(self) -> Tensor:
        """Return a new tensor of the same shape, dtype and layout."""
        return torch.empty(
            self.tensor.shape,
            dtype=self.tensor.dtype,
            device=self.tensor.device,
            memory_format=self.memory_format,
        )

    @property
    def memory_format(self) -> torch.memory_format:
        """The layout."""
        return torch.channels_last if self.last else torch.contiguous_format

    @property
    def rows(self) -> int:
        """Rows of 2x2 blocks, counting an odd last row of pixels."""
        return ceil_div(self.tensor.shape[2], 2)

    @property
    def columns(self) -> int:
        """Columns of 2x2 blocks."""
        return ceil_div(self.tensor.shape[3], 2)

    @property
    def pitch(self) -> int:
        """Elements that follow each other without a gap in the direction that vectors run."""
        return int(self.tensor.shape[1] if self.last else self.tensor.shape[3])

    def units_per_plane(self, width: int) -> int:
        """Return the units of work in one plane of a contiguous tensor, with vectors of ``width`` elements."""
        return self.rows * (self.columns if width == 1 else self.tensor.shape[3] // width)

    def units_per_sample(self, width: int) -> int:
        """Return the units of work in one sample."""
        channels = int(self.tensor.shape[1])
        if self.last:
            return self.rows * self.columns * (channels // width)
        return channels * self.units_per_plane(width)

    def chunks(self, width: int, multiprocessors: int, *, per_thread: int) -> Chunks:
        """Divide each sample's units among blocks of threads.

        Args:
            width: Elements in a vector.
            multiprocessors: Of the GPU.
            per_thread: Units for each thread, as long as the GPU stays full.
        """
        units = self.units_per_sample(width)
        threads = max(WARP, min(MAX_THREADS, power_of_two(units)))
        fills = ceil_div(BLOCKS_PER_MULTIPROCESSOR * multiprocessors, self.tensor.shape[0])
        per_sample = min(ceil_div(units, threads), max(ceil_div(units, threads * per_thread), fills))
        each = ceil_div(units, per_sample)
        return Chunks(ceil_div(units, each), each, threads)
