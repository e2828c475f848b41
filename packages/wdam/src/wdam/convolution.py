"""The transform of any wavelet, one axis after the other, as sums of shifted streams.

Each direction of a wavelet transform along one axis is the same sum. Its inputs are two streams at half rate (the even
and the odd samples, or the approximation and the details), its outputs are two more:

    p[s] = sum_i  taps[0][0][i] u[s + i]  +  taps[0][1][i] v[s + i]
    q[s] = sum_i  taps[1][0][i] u[s + i]  +  taps[1][1][i] v[s + i]

Sums rather than ``conv2d``: exact in float32 on every device (convolutions on CUDA may round to TF32), untouched by
autocast, any rank and layout, no filter tensor to copy to a device.
"""

from __future__ import annotations

from typing import Protocol, TypeAlias

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from wdam.blocks import VmapInfo, blocks, is_pushed_forward, is_traced, lead
from wdam.padding import even_odd, extend, interleave
from wdam.wavelets import FilterBank, Mode

__all__ = ["filter_merge", "filter_split", "mix"]

Bands: TypeAlias = tuple[Tensor, Tensor, Tensor, Tensor]
Row: TypeAlias = tuple[tuple[float, ...], tuple[float, ...]]
Taps: TypeAlias = tuple[Row, Row]


def filter_split(x: Tensor, bank: FilterBank, mode: Mode) -> Bands:
    """Return the sub-bands ``LL, LH, HL, HH`` of ``x``, of the sizes that PyWavelets returns.

    Args:
        x: ``(..., H, W)`` of float32 or float64, ``H, W >= 1``. All arithmetic is in its dtype.
        bank: The filters.
        mode: How ``x`` goes on beyond its borders.
    """
    low, high = _analyse(x, bank, mode, -2)
    ll, hl = _analyse(low, bank, mode, -1)
    lh, hh = _analyse(high, bank, mode, -1)
    return ll, lh, hl, hh


def filter_merge(bands: Bands, bank: FilterBank, mode: Mode) -> Tensor:
    """Undo :func:`filter_split`, up to the sample that an odd size gained.

    Args:
        bands: ``LL, LH, HL, HH``, each ``(..., h, w)`` of one dtype, float32 or float64, and not shorter than half a
            filter (``periodization``: than one sample).
        bank: The filters.
        mode: The mode of the decomposition.
    """
    ll, lh, hl, hh = bands
    low = _synthesise(ll, hl, bank, mode, -1)
    high = _synthesise(lh, hh, bank, mode, -1)
    return _synthesise(low, high, bank, mode, -2)


def _analyse(x: Tensor, bank: FilterBank, mode: Mode, dim: int) -> tuple[Tensor, Tensor]:
    """Return approximation and details along ``dim``."""
    size, length = x.shape[dim], bank.length
    if mode == "periodization":
        left, samples = length // 2 - 1, (size + 1) // 2
    else:
        left, samples = length - 2, (size + length - 1) // 2
    even, odd = even_odd(x, dim, left, samples + length // 2 - 1, mode)
    return mix(even, odd, _analysis_taps(bank), dim)


def _synthesise(low: Tensor, high: Tensor, bank: FilterBank, mode: Mode, dim: int) -> Tensor:
    """Return the samples along ``dim`` whose approximation and details these are."""
    periodic, samples, half = mode == "periodization", low.shape[dim], bank.length // 2
    if periodic:
        low, high = (extend(band, dim, half // 2, half // 2, "periodic") for band in (low, high))
    even, odd = mix(low, high, _synthesis_taps(bank), dim)
    signal = interleave(even, odd, dim)
    return signal.narrow(dim, 1 - half % 2, 2 * samples) if periodic else signal


def _analysis_taps(bank: FilterBank) -> Taps:
    """Return the taps that turn even and odd samples into approximation and details."""
    low, high = bank.dec_lo[::-1], bank.dec_hi[::-1]
    return (low[0::2], low[1::2]), (high[0::2], high[1::2])


def _synthesis_taps(bank: FilterBank) -> Taps:
    """Return the taps that turn approximation and details into even and odd samples."""
    low, high = bank.rec_lo, bank.rec_hi
    return (low[0::2][::-1], high[0::2][::-1]), (low[1::2][::-1], high[1::2][::-1])


def mix(u: Tensor, v: Tensor, taps: Taps, dim: int) -> tuple[Tensor, Tensor]:
    """Return the two sums above along ``dim``.

    Args:
        u: ``(..., H, W)`` of float32 or float64, with at least as many samples along ``dim`` as there are taps.
        v: As ``u``.
        taps: ``taps[output][input]``, all four of equal length ``k``. A tap of zero is left out.
        dim: ``-1`` or ``-2``.

    Returns:
        Two tensors with ``k - 1`` samples less along ``dim``.
    """
    # A compiler derives a better backward from the plain sum, and knows no autograd.Function.
    if is_traced() or is_pushed_forward():
        return _sum(u, v, taps[0], dim), _sum(u, v, taps[1], dim)
    first, second = _Mix.apply(u, v, taps, dim)  # type: ignore[no-untyped-call]
    return first, second


def _sum(u: Tensor, v: Tensor, taps: Row, dim: int) -> Tensor:
    """Return one output, differentiable by autograd."""
    samples = u.shape[dim] - len(taps[0]) + 1
    total: Tensor | None = None
    for stream, row in ((u, taps[0]), (v, taps[1])):
        for shift, tap in enumerate(row):
            if tap:
                shifted = stream.narrow(dim, shift, samples)
                total = shifted * tap if total is None else total + shifted * tap
    return torch.zeros_like(u.narrow(dim, 0, samples)) if total is None else total


def _sum_into(out: Tensor, u: Tensor, v: Tensor, taps: Row, dim: int) -> None:
    """Write one output, without autograd, into ``out``."""
    samples = out.shape[dim]
    empty = True
    for stream, row in ((u, taps[0]), (v, taps[1])):
        for shift, tap in enumerate(row):
            if tap:
                shifted = stream.narrow(dim, shift, samples)
                if empty:
                    torch.mul(shifted, tap, out=out)
                else:
                    out.add_(shifted, alpha=tap)
                empty = False
    if empty:
        out.zero_()


def _dense(stream: Tensor) -> Tensor:
    """Copy every second sample of a row side by side, once, so that the passes over it can use vector instructions."""
    return stream.contiguous() if stream.stride(-1) == 2 else stream


def _adjoint(taps: Taps) -> Taps:
    """Return the taps of the backward sum: inputs and outputs change places, time runs backwards."""
    (uu, uv), (vu, vv) = taps
    return (uu[::-1], vu[::-1]), (uv[::-1], vv[::-1])


class _MixContext(Protocol):
    """What the backward pass is told."""

    taps: Taps
    dim: int


class _Mix(torch.autograd.Function):
    """:func:`mix` in place and block by block; autograd through it would fill a tensor with zeros for every tap."""

    @staticmethod
    def forward(u: Tensor, v: Tensor, taps: Taps, dim: int) -> tuple[Tensor, Tensor]:
        like = u.narrow(dim, 0, u.shape[dim] - len(taps[0][0]) + 1)
        outputs = torch.empty_like(like), torch.empty_like(like)
        for block in blocks(u):
            part_u, part_v = _dense(block(u)), _dense(block(v))
            for out, row in zip(outputs, taps, strict=True):
                _sum_into(block(out), part_u, part_v, row, dim)
        return outputs

    @staticmethod
    def setup_context(ctx: _MixContext, inputs: tuple[Tensor, Tensor, Taps, int], output: object) -> None:
        _, _, ctx.taps, ctx.dim = inputs

    @staticmethod
    def backward(ctx: _MixContext, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        margin = len(ctx.taps[0][0]) - 1
        pad = (margin, margin) if ctx.dim == -1 else (0, 0, margin, margin)
        u, v = mix(F.pad(grads[0], pad), F.pad(grads[1], pad), _adjoint(ctx.taps), ctx.dim)
        return u, v, None, None

    @staticmethod
    def vmap(  # noqa: PLR0917 (PyTorch passes them so)
        info: VmapInfo, in_dims: tuple[int | None, ...], u: Tensor, v: Tensor, taps: Taps, dim: int
    ) -> tuple[tuple[Tensor, Tensor], int]:
        return mix(lead(u, in_dims[0], info.batch_size), lead(v, in_dims[1], info.batch_size), taps, dim), 0
