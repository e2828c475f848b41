"""What forward and backward hold beside their arguments: results and tiles, never a sub-band."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from wdam import fused
from wdam.reference import wdam_reference
from wdam.tiles import TILE, TilePlan

SMALL_TILE = 1 << 9
FORWARD_TILES, BACKWARD_TILES = 5, 10  # float32 buffers and temporaries of a tile


class Peak(TorchDispatchMode):
    """Counts the bytes of all storages that were made inside and are still alive."""

    def __init__(self, *known: torch.Tensor | None) -> None:
        super().__init__()
        self.held = self.peak = 0
        self.seen = {self._key(tensor) for tensor in known if tensor is not None}

    @staticmethod
    def _key(tensor: torch.Tensor) -> int:
        return tensor.untyped_storage()._cdata

    def _forget(self, key: int, size: int) -> None:
        self.seen.discard(key)
        self.held -= size

    def __torch_dispatch__(self, func: Callable[..., object], types: object, args=(), kwargs=None) -> object:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and (key := self._key(tensor)) not in self.seen:
                size = tensor.untyped_storage().nbytes()
                self.seen.add(key)
                self.held += size
                weakref.finalize(tensor.untyped_storage(), self._forget, key, size)
        self.peak = max(self.peak, self.held)
        return result


@pytest.fixture
def values() -> list[torch.Tensor]:
    x = torch.randn(1, 8, 128, 128)
    return [x, 0.1 * torch.randn(2, 32), 0.1 * torch.randn(4, 2), torch.tensor(0.5)]


def test_the_count_sees_a_stored_subband(values: list[torch.Tensor]) -> None:
    with Peak(*values) as counted:
        wdam_reference(*values[:3])
    assert counted.peak >= 3 * values[0].nbytes


@pytest.mark.parametrize("residual_and_scale", [(True, False), (False, False), (True, True)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"])
@pytest.mark.parametrize("crop", [0, 1])
def test_nothing_but_results_and_tiles(
    crop: int,
    layout: torch.memory_format,
    dtype: torch.dtype,
    residual_and_scale: tuple[bool, bool],
    values: list[torch.Tensor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fused, "TilePlan", lambda x: TilePlan(x, SMALL_TILE))
    x, first, second, scale = values
    x = x[:, :, crop:, crop:].to(dtype).contiguous(memory_format=layout)
    residual, scaled = residual_and_scale
    arguments = (x, first, second, scale if scaled else None, residual)
    # A tile of channels-last maps is at least two rows of all channels.
    tile = max(SMALL_TILE, 2 * 8 * 128 if layout == torch.channels_last else 2 * 128)
    pooled_bytes = 1 << 14
    with Peak(*arguments[:4]) as counted:
        y, pooled = fused.forward(*arguments)
    assert x.nbytes <= counted.peak <= x.nbytes + FORWARD_TILES * 4 * tile + pooled_bytes
    dy = torch.ones_like(x)
    del y
    with Peak(*arguments[:4], dy, pooled.w, pooled.mean, pooled.maximum) as counted:
        fused.backward(dy, *arguments, pooled)
    assert x.nbytes <= counted.peak <= x.nbytes + BACKWARD_TILES * 4 * tile + pooled_bytes


def test_tiles_are_small_beside_a_large_map() -> None:
    """With the default tile, a map of 1 GiB keeps to 1.02 of its size in inference and 2.05 in training."""
    elements = (1 << 30) // 4
    assert 0.02 * elements >= FORWARD_TILES * TILE
    assert 0.05 * elements >= BACKWARD_TILES * TILE
