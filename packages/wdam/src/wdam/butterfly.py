"""Haar WDAM as whole-tensor operations, forward and backward written by hand, for compilers and exporters.

A compiler fuses what is written as one expression per sub-band into two passes over memory each way. So no sub-bands
are stacked here, which it would have to store; and nothing branches on whether a size is odd unless that is known
while tracing, so that one graph serves all sizes.
"""

from __future__ import annotations

from typing import Protocol, TypeAlias, cast

import torch
from torch import Tensor
from torch.nn import functional as nnf

from wdam.gate import accumulation_dtype, gate, gate_backward

__all__ = ["butterfly", "butterfly_forward"]

Four: TypeAlias = tuple[Tensor, Tensor, Tensor, Tensor]


class _Context(Protocol):
    """What autograd keeps from the forward for the backward."""

    residual: bool
    saved_tensors: tuple[Tensor | None, ...]

    def save_for_backward(self, *tensors: Tensor | None) -> None: ...


def butterfly(x: Tensor, w1: Tensor, w2: Tensor, scale: Tensor | None, residual: bool) -> Tensor:
    """Return what :func:`wdam.ops.forward` returns as ``y``; a compiler can look into it and into its gradient."""
    y: Tensor = _Butterfly.apply(x, w1, w2, scale, residual)  # type: ignore[no-untyped-call]
    return y.flatten(-3, -2) if y.ndim == 5 else y


def butterfly_forward(
    x: Tensor, w1: Tensor, w2: Tensor, scale: Tensor | None, residual: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return ``y``, the weights ``(N, 4)`` and the sub-bands' means and maxima, ``(N, 4C)`` each.

    Args:
        x: ``(N, C, H, W)`` floating point, ``H, W >= 1``.
        w1: ``(hidden, 4C)``.
        w2: ``(4, hidden)``.
        scale: A scalar tensor, or None for 1.
        residual: Whether to add ``x``.
    """
    mixed, w, mean, maximum = _mixed(x, w1, w2, scale, residual)
    return _interleave(mixed, x.shape[2], x.shape[3]).to(x.dtype), w, mean, maximum


def _mixed(
    x: Tensor, w1: Tensor, w2: Tensor, scale: Tensor | None, residual: bool
) -> tuple[Four, Tensor, Tensor, Tensor]:
    """Return what :func:`butterfly_forward` does, ``y`` still as blocks."""
    blocks = _blocks(x.to(accumulation_dtype(x.dtype)), replicate=True)
    bands = _bands(blocks)
    mean = torch.cat([band.mean(dim=(-2, -1)) for band in bands], dim=1)
    maximum = torch.cat([band.amax(dim=(-2, -1)) for band in bands], dim=1)
    w = gate(mean, maximum, w1, w2)
    return _mix(blocks, w, scale, residual), w, mean, maximum


class _Butterfly(torch.autograd.Function):
    @staticmethod
    def forward(  # noqa: PLR0917
        ctx: _Context, x: Tensor, w1: Tensor, w2: Tensor, scale: Tensor | None, residual: bool
    ) -> Tensor:
        mixed, w, mean, maximum = _mixed(x, w1, w2, scale, residual)
        ctx.save_for_backward(x, w1, w2, scale, w, mean, maximum)
        ctx.residual = residual
        # A view made in here must not be changed in place, and `ReLU(inplace=True)` is what comes next in a ResNet.
        if _is_even(x.shape[2]) and _is_even(x.shape[3]):
            return _rows(mixed).to(x.dtype)  # (N, C, H/2, 2, W); the view is made outside
        return _interleave(mixed, x.shape[2], x.shape[3]).to(x.dtype, copy=True)

    @staticmethod
    def backward(ctx: _Context, dy: Tensor) -> tuple[Tensor | None, ...]:
        dy = dy.flatten(-3, -2) if dy.ndim == 5 else dy
        return (*_backward(dy, ctx.saved_tensors, ctx.residual), None)


def _backward(
    dy: Tensor, saved: tuple[Tensor | None, ...], residual: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Return the gradients of ``x, w1, w2, scale``."""
    x, w1, w2, w, mean, maximum = (cast("Tensor", saved[index]) for index in (0, 1, 2, 4, 5, 6))
    scale = saved[3]
    bands = _bands(_blocks(x.to(w.dtype), replicate=True))
    blocks = _blocks(dy.to(w.dtype), replicate=False)
    dots = torch.stack(
        [(ours * theirs).sum(dim=(1, 2, 3)) for ours, theirs in zip(bands, _bands(blocks), strict=True)], dim=1
    )
    dw = dots if scale is None else dots * scale.to(dots.dtype)
    from_mean, from_max, dw1, dw2 = gate_backward(dw, w, mean, maximum, w1, w2)
    rows, columns = bands[0].shape[-2:]
    place = _place(rows, columns, x.device)
    shares = []
    for band, share, peak, largest in zip(
        bands, _by_band(from_mean / (rows * columns)), _by_band(from_max), _by_band(maximum), strict=True
    ):
        # The first of equal maxima has the smallest index. NaN equals nothing and has spoilt everything anyway.
        first = torch.where(band == largest, place, rows * columns).amin(dim=(-2, -1), keepdim=True)
        shares.append(share + torch.where(place == first, peak, 0.0))
    pooled = _bands((shares[0], shares[1], shares[2], shares[3]))  # the transform is its own inverse
    a, b, c, d = (ours + theirs for ours, theirs in zip(_mix(blocks, w, scale, residual), pooled, strict=True))
    dx = _interleave(_fold((a, b, c, d), x.shape[2], x.shape[3]), x.shape[2], x.shape[3])
    dscale = None if scale is None else (w * dots).sum().reshape(scale.shape).to(scale.dtype)
    return dx.to(x.dtype), dw1.to(w1.dtype), dw2.to(w2.dtype), dscale


def _is_even(size: int) -> bool:
    """Return whether a size is known to be even, without making a graph depend on it when it is not known."""
    return _remainder_is(size, 0)


def _remainder_is(size: int, remainder: int) -> bool:
    if not torch.compiler.is_compiling():
        return type(size) is int and size % 2 == remainder  # a tracer's numbers are tensors
    from torch.fx.experimental.symbolic_shapes import statically_known_true  # heavy, and there while compiling

    return statically_known_true(size % 2 == remainder)


def _blocks(x: Tensor, *, replicate: bool) -> Four:
    """Return the 2x2 blocks ``a b / c d`` of ``(N, C, H, W)`` as four ``(N, C, ceil(H/2), ceil(W/2))``.

    Behind an odd edge stands its last row or column again, or zero.
    """
    top, bottom = _pairs(x, -2, replicate=replicate)
    return (*_pairs(top, -1, replicate=replicate), *_pairs(bottom, -1, replicate=replicate))


def _pairs(x: Tensor, dim: int, *, replicate: bool) -> tuple[Tensor, Tensor]:
    """Return the even and the odd rows (``dim=-2``) or columns (``-1``), as many of each."""
    size = x.shape[dim]
    if _is_even(size):
        following = x.narrow(dim, 1, size - 1)
    elif replicate:
        following = torch.cat([x.narrow(dim, 1, size - 1), x.narrow(dim, size - 1, 1)], dim=dim)
    else:
        following = nnf.pad(x, (-1, 1) if dim == -1 else (0, 0, -1, 1))
    return (x[..., ::2], following[..., ::2]) if dim == -1 else (x[..., ::2, :], following[..., ::2, :])


def _bands(blocks: Four) -> Four:
    """Return the sub-bands LL, LH, HL, HH of blocks ``a, b, c, d``, or the blocks of sub-bands."""
    a, b, c, d = blocks
    left, right, left_change, right_change = a + c, b + d, a - c, b - d
    return (
        (left + right) * 0.5,
        (left_change + right_change) * 0.5,
        (left - right) * 0.5,
        (left_change - right_change) * 0.5,
    )


def _mix(blocks: Four, w: Tensor, scale: Tensor | None, residual: bool) -> Four:
    """Return the blocks of ``residual * x + scale * IDWT(w * DWT(x))``."""
    factors = w / 4 if scale is None else w / 4 * scale.to(w.dtype)
    ll, lh, hl, hh = factors[:, :, None, None, None].unbind(dim=1)
    own, beside, below, across = ll + lh + hl + hh, ll + lh - hl - hh, ll - lh + hl - hh, ll - lh - hl + hh
    a, b, c, d = blocks
    mixed = (
        own * a + beside * b + below * c + across * d,
        own * b + beside * a + below * d + across * c,
        own * c + beside * d + below * a + across * b,
        own * d + beside * c + below * b + across * a,
    )
    if not residual:
        return mixed
    return a + mixed[0], b + mixed[1], c + mixed[2], d + mixed[3]


def _interleave(blocks: Four, height: int, width: int) -> Tensor:
    """Put blocks together to ``(N, C, height, width)``, dropping what an odd size does not have."""
    a, b, c, d = blocks
    if all(_is_even(size) or _remainder_is(size, 1) for size in (height, width)):
        return _rows(blocks).flatten(-3, -2)[..., :height, :width]
    # Cutting off would make the graph depend on whether there is something to cut: fetch each pixel from its block.
    row = torch.arange(height, device=a.device)
    column = torch.arange(width, device=a.device)
    block_row, block_column = row >> 1, column >> 1
    top, bottom = (
        torch.where((column & 1) == 0, left[..., block_column], right[..., block_column])
        for left, right in ((a, b), (c, d))
    )
    return torch.where(((row & 1) == 0)[:, None], top[..., block_row, :], bottom[..., block_row, :])


def _rows(blocks: Four) -> Tensor:
    """Put blocks together to ``(N, C, h, 2, 2w)``."""
    a, b, c, d = blocks
    return torch.stack([torch.stack([a, b], dim=-1).flatten(-2), torch.stack([c, d], dim=-1).flatten(-2)], dim=-2)


def _fold(blocks: Four, height: int, width: int) -> Four:
    """Give what a replicated row or column received to the one it is a copy of."""
    a, b, c, d = blocks
    if not _is_even(width):
        outside = 2 * torch.arange(a.shape[-1], device=a.device) + 1 >= width
        a, c = a + torch.where(outside, b, 0.0), c + torch.where(outside, d, 0.0)
    if not _is_even(height):
        outside = (2 * torch.arange(a.shape[-2], device=a.device) + 1 >= height)[:, None]
        a, b = a + torch.where(outside, c, 0.0), b + torch.where(outside, d, 0.0)
    return a, b, c, d


def _place(rows: int, columns: int, device: torch.device) -> Tensor:
    """Return the row-major index of every block, int32 ``(rows, columns)``."""
    row = torch.arange(rows, device=device, dtype=torch.int32)[:, None]
    return row * columns + torch.arange(columns, device=device, dtype=torch.int32)


def _by_band(values: Tensor) -> tuple[Tensor, ...]:
    """Split ``(N, 4C)`` into four ``(N, C, 1, 1)``."""
    return values[:, :, None, None].chunk(4, dim=1)
