"""How a feature map is cut into tiles that stay in the processor's cache, and the buffers they are worked on in."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as nnf

from wdam.gate import accumulation_dtype

__all__ = ["TILE", "Tile", "TilePlan", "is_one_number", "layout"]

# Elements. With its few temporaries a float32 tile of that many fits the cache that the cores share. In a trial by hand
# smaller and much larger tiles took longer; and with fewer calls a busy machine comes less between the threads.
TILE = 1 << 20


def layout(x: Tensor) -> torch.memory_format:
    """Return the layout of what is made from ``x (N, C, H, W)``: channels-last when its channels are adjacent."""
    return torch.channels_last if x.stride(1) == 1 and x.stride(3) != 1 else torch.contiguous_format


def is_one_number(x: Tensor) -> bool:
    """Return whether ``x`` is a single number in memory, expanded to several, as the gradient of a sum is."""
    strides = (stride for size, stride in zip(x.shape, x.stride(), strict=True) if size > 1)
    return x.numel() > 1 and all(stride == 0 for stride in strides)


@dataclass(frozen=True, slots=True)
class Tile:
    """A part of a feature map: some channels and rows, and all columns.

    Attributes:
        channels: Channels of the tile.
        rows: Its rows; the first is even.
    """

    channels: slice
    rows: slice

    def of(self, maps: Tensor) -> Tensor:
        """Return this part of ``(n, C, H, W)`` maps, as a view."""
        return maps[:, self.channels, self.rows]


class TilePlan:
    """The order in which one feature map is walked through.

    Attributes:
        dtype: What is computed in: float32, float64 for float64.
        groups: Ranges of samples that are worked on together: as many as fit a tile, at least one.
        tiles: Parts of a group, in row-major order for each channel.
        columns: Blocks of 2x2 in a row of the map, counting a replicated column.
        blocks: Blocks in a map.
    """

    __slots__ = ("_buffers", "_channels_last", "_device", "blocks", "columns", "dtype", "groups", "tiles")

    def __init__(self, x: Tensor, size: int = TILE) -> None:
        """Plan for ``x (N, C, H, W)``, with about ``size`` elements in a tile."""
        samples, channels, height, width = x.shape
        self.dtype = accumulation_dtype(x.dtype)
        self.columns = -(-width // 2)
        self.blocks = self.columns * -(-height // 2)
        self._device = x.device
        self._channels_last = layout(x) == torch.channels_last
        self._buffers: dict[tuple[str, tuple[int, ...]], Tensor] = {}
        together = max(1, size // (channels * height * width))
        self.groups = [slice(start, start + together) for start in range(0, samples, together)]
        # Whole rows of all channels are contiguous in a channels-last tensor, whole channels in a contiguous one.
        at_once = channels if self._channels_last else min(channels, max(1, size // (height * width)))
        rows = 2 * max(1, size // (2 * at_once * width))
        self.tiles = [
            Tile(slice(channel, channel + at_once), slice(row, row + rows))
            for channel in range(0, channels, at_once)
            for row in range(0, height, rows)
        ]

    def load(self, maps: Tensor, tile: Tile, *, replicate: bool) -> Tensor:
        """Return a tile of ``maps`` with even height and width in ``dtype``; a view when it has both already.

        Replicating is what the transform does to its input; zeros are what its transpose does to a gradient.
        """
        part = tile.of(maps).to(self.dtype)
        missing = (0, part.shape[3] % 2, 0, part.shape[2] % 2)
        if any(missing):
            return nnf.pad(part, missing, mode="replicate") if replicate else nnf.pad(part, missing)
        return part

    def scratch(self, name: str, *shape: int) -> Tensor:
        """Return the buffer of that name and shape ``(k, n, c, h, w)``, laid out like ``x``, with arbitrary content."""
        key = (name, shape)
        if key not in self._buffers:
            if self._channels_last:
                count, samples, channels, height, width = shape
                buffer = torch.empty(count, samples, height, width, channels, dtype=self.dtype, device=self._device)
                self._buffers[key] = buffer.permute(0, 1, 4, 2, 3)
            else:
                self._buffers[key] = torch.empty(shape, dtype=self.dtype, device=self._device)
        return self._buffers[key]
