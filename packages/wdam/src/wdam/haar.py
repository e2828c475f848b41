"""The one-level Haar transform in plain torch, equal to PyWavelets' ``dwt2(x, "haar", mode="symmetric")``.

For a 2x2 block ``a b / c d``: ``LL = (a+b+c+d)/2``, ``LH = (a+b-c-d)/2``, ``HL = (a-b+c-d)/2``,
``HH = (a-b-c+d)/2``. Signs are PyWavelets' (``LH`` is its ``cH``, ``HL`` its ``cV``, ``HH`` its ``cD``). The matrix is
its own inverse and its own transpose, so each direction is the backward of the other.
"""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor

from wdam.blocks import VmapInfo, blocks, is_pushed_forward, is_traced, lead
from wdam.padding import even_odd, extend, interleave
from wdam.wavelets import Mode

__all__ = ["haar_merge", "haar_split", "merge_subbands", "split_subbands"]

Bands: TypeAlias = tuple[Tensor, Tensor, Tensor, Tensor]


def split_subbands(x: Tensor) -> Tensor:
    """Split feature maps into their four Haar sub-bands.

    Args:
        x: ``(N, C, H, W)`` floating point, ``H, W >= 1``. An odd last row or column is replicated first.

    Returns:
        ``(N, 4, C, ceil(H/2), ceil(W/2))``, dtype of ``x``; axis 1 is ``LL, LH, HL, HH``.
    """
    return torch.stack(haar_split(x, "symmetric"), dim=1)


def merge_subbands(subbands: Tensor) -> Tensor:
    """Undo :func:`split_subbands`.

    Args:
        subbands: ``(N, 4, C, h, w)`` floating point; axis 1 is ``LL, LH, HL, HH``.

    Returns:
        ``(N, C, 2h, 2w)``, dtype of ``subbands``; crop it to undo a replicated row or column.
    """
    ll, lh, hl, hh = subbands.unbind(dim=1)
    return haar_merge((ll, lh, hl, hh))


def haar_split(x: Tensor, mode: Mode) -> Bands:
    """Return ``LL, LH, HL, HH``, each ``(..., ceil(H/2), ceil(W/2))``, of ``x (..., H, W)``.

    Args:
        x: Floating point, at least 2 dimensions, ``H, W >= 1``. All arithmetic is in its dtype.
        mode: What stands beyond an odd last row or column.
    """
    if is_traced() or is_pushed_forward():
        return _split(x, mode)
    for dim in (-2, -1):
        if x.shape[dim] % 2:
            x = extend(x, dim, 0, 1, mode)
    ll, lh, hl, hh = _Split.apply(x)  # type: ignore[no-untyped-call]
    return ll, lh, hl, hh


def haar_merge(bands: Bands) -> Tensor:
    """Return ``(..., 2h, 2w)`` of the four sub-bands ``LL, LH, HL, HH``, each ``(..., h, w)`` of one dtype."""
    if is_traced() or is_pushed_forward():
        return _merge(*bands)
    merged: Tensor = _Merge.apply(*bands)  # type: ignore[no-untyped-call]
    return merged


def _pairs(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Return views of the even and the odd samples along ``dim``, ``-1`` or ``-2``, of an even size."""
    even, odd = x.unflatten(dim, (x.shape[dim] // 2, 2)).unbind(dim)  # type: ignore[no-untyped-call]
    return even, odd


def _split(x: Tensor, mode: Mode) -> Bands:
    upper, lower = even_odd(x, -2, 0, (x.shape[-2] + 1) // 2, mode)
    columns = (x.shape[-1] + 1) // 2
    a, b = even_odd((upper + lower) * 0.5, -1, 0, columns, mode)
    c, d = even_odd((upper - lower) * 0.5, -1, 0, columns, mode)
    return a + b, c + d, a - b, c - d


def _merge(ll: Tensor, lh: Tensor, hl: Tensor, hh: Tensor) -> Tensor:
    upper_sum, upper_difference = (ll + lh) * 0.5, (hl + hh) * 0.5
    lower_sum, lower_difference = (ll - lh) * 0.5, (hl - hh) * 0.5
    upper = interleave(upper_sum + upper_difference, upper_sum - upper_difference, -1)
    lower = interleave(lower_sum + lower_difference, lower_sum - lower_difference, -1)
    return interleave(upper, lower, -2)


class _Split(torch.autograd.Function):
    """:func:`_split` for even sizes, block by block."""

    @staticmethod
    def forward(x: Tensor) -> Bands:
        like = x[..., ::2, ::2]
        ll, lh, hl, hh = (torch.empty_like(like) for _ in range(4))
        for block in blocks(x):
            upper, lower = _pairs(block(x), -2)
            (a, b), (c, d) = _pairs((upper + lower).mul_(0.5), -1), _pairs((upper - lower).mul_(0.5), -1)
            torch.add(a, b, out=block(ll))
            torch.add(c, d, out=block(lh))
            torch.sub(a, b, out=block(hl))
            torch.sub(c, d, out=block(hh))
        return ll, lh, hl, hh

    @staticmethod
    def setup_context(ctx: object, inputs: tuple[Tensor], output: object) -> None:
        """Nothing to keep: the transform is linear."""

    @staticmethod
    def backward(ctx: object, *grads: Tensor) -> Tensor:
        ll, lh, hl, hh = grads
        return haar_merge((ll, lh, hl, hh))

    @staticmethod
    def vmap(info: VmapInfo, in_dims: tuple[int | None], x: Tensor) -> tuple[Bands, int]:
        ll, lh, hl, hh = _Split.apply(lead(x, in_dims[0], info.batch_size))  # type: ignore[no-untyped-call]
        return (ll, lh, hl, hh), 0


class _Merge(torch.autograd.Function):
    """:func:`_merge`, block by block."""

    @staticmethod
    def forward(ll: Tensor, lh: Tensor, hl: Tensor, hh: Tensor) -> Tensor:
        height, width = ll.shape[-2:]
        channels_last = ll.ndim == 4 and not ll.is_contiguous() and ll.is_contiguous(memory_format=torch.channels_last)
        merged = torch.empty(
            (*ll.shape[:-2], 2 * height, 2 * width),
            dtype=ll.dtype,
            device=ll.device,
            memory_format=torch.channels_last if channels_last else torch.contiguous_format,
        )
        for block in blocks(ll):
            upper, lower = _pairs(block(merged), -2)
            approximation, horizontal, vertical, diagonal = (block(band) for band in (ll, lh, hl, hh))
            for row, add in ((upper, torch.add), (lower, torch.sub)):
                even, odd = _pairs(row, -1)
                total, difference = add(approximation, horizontal).mul_(0.5), add(vertical, diagonal).mul_(0.5)
                torch.add(total, difference, out=even)
                torch.sub(total, difference, out=odd)
        return merged

    @staticmethod
    def setup_context(ctx: object, inputs: tuple[Tensor, ...], output: object) -> None:
        """Nothing to keep: the transform is linear."""

    @staticmethod
    def backward(ctx: object, *grads: Tensor) -> Bands:
        return haar_split(grads[0], "symmetric")

    @staticmethod
    def vmap(info: VmapInfo, in_dims: tuple[int | None, ...], *bands: Tensor) -> tuple[Tensor, int]:
        ll, lh, hl, hh = (lead(band, dim, info.batch_size) for band, dim in zip(bands, in_dims, strict=True))
        return haar_merge((ll, lh, hl, hh)), 0
