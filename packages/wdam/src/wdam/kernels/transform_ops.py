"""The wavelet transforms on CUDA as operators: ``torch.ops.wdam.analysis`` and ``torch.ops.wdam.synthesis``.

Each is the transpose of the other with the same filters and mode, so each is the other's gradient, to any order.
:func:`split` and :func:`merge` are what the rest of the package calls: operators while a compiler traces, and otherwise
``torch.autograd.Function``, because an operator knows neither ``torch.func.grad`` nor forward derivatives.

Four sub-bands are four tensors everywhere, never one of them stacked: neither direction copies them, nor does its
gradient, and one that nobody wants any more frees its memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from wdam.blocks import VmapInfo, lead
from wdam.kernels import transforms
from wdam.kernels.transforms import Bands

__all__ = ["analysis", "merge", "split", "synthesis"]


Argument: TypeAlias = Sequence[float] | str | int  # of a transform, beside tensors


class _Context(Protocol):
    """What the derivative of a transform remembers."""

    low: Sequence[float]
    high: Sequence[float]
    mode: str
    size: tuple[int, int]


def split(x: Tensor, low: Sequence[float], high: Sequence[float], mode: str) -> Bands:
    """Return the sub-bands of CUDA tensors; see :func:`wdam.kernels.transforms.dwt2`.

    Args:
        x: ``(..., H, W)``, ``H, W >= 1``.
        low: PyWavelets' ``dec_lo``, reversed.
        high: PyWavelets' ``dec_hi``, reversed.
        mode: What lies behind the edges.

    Returns:
        LL, LH, HL and HH, each ``(..., h, w)``.
    """
    apply: Callable[..., Bands] = analysis if torch.compiler.is_compiling() else _Analysis.apply
    return apply(x, low, high, mode)


def merge(  # noqa: PLR0917 - as the operator's schema
    bands: Bands, low: Sequence[float], high: Sequence[float], mode: str, height: int, width: int
) -> Tensor:
    """Undo :func:`split`; see :func:`wdam.kernels.transforms.idwt2`.

    Args:
        bands: LL, LH, HL and HH, each ``(..., h, w)``.
        low: PyWavelets' ``rec_lo``.
        high: PyWavelets' ``rec_hi``.
        mode: ``periodization`` if that was the mode of the decomposition, ``zero`` for all others.
        height: ``2h - L + 2``, or ``2h`` for ``periodization``.
        width: Likewise.

    Returns:
        ``(..., height, width)``.
    """
    apply: Callable[..., Tensor] = synthesis if torch.compiler.is_compiling() else _Synthesis.apply
    return apply(*bands, low, high, mode, height, width)


@torch.library.custom_op("wdam::analysis", mutates_args=(), device_types="cuda")
def analysis(
    x: Tensor, low: Sequence[float], high: Sequence[float], mode: str
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return four ``(..., h, w)`` from ``(..., H, W)``; see :func:`wdam.kernels.transforms.dwt2`."""
    return transforms.dwt2(x, low, high, mode)


@torch.library.custom_op("wdam::synthesis", mutates_args=(), device_types="cuda")
def synthesis(  # noqa: PLR0917
    ll: Tensor,
    lh: Tensor,
    hl: Tensor,
    hh: Tensor,
    low: Sequence[float],
    high: Sequence[float],
    mode: str,
    height: int,
    width: int,
) -> Tensor:
    """Return ``(..., H, W)`` from four ``(..., h, w)``; see :func:`wdam.kernels.transforms.idwt2`."""
    return transforms.idwt2((ll, lh, hl, hh), low, high, mode, height, width)


@analysis.register_fake
def _(x: Tensor, low: Sequence[float], high: Sequence[float], mode: str) -> Bands:
    sizes = [transforms.subband_size(size, len(low), mode) for size in x.shape[-2:]]
    ll, lh, hl, hh = (x.new_empty((*x.shape[:-2], *sizes)) for _ in range(4))
    return ll, lh, hl, hh


@synthesis.register_fake
def _(  # noqa: PLR0917
    ll: Tensor,
    lh: Tensor,
    hl: Tensor,
    hh: Tensor,
    low: Sequence[float],
    high: Sequence[float],
    mode: str,
    height: int,
    width: int,
) -> Tensor:
    return ll.new_empty((*ll.shape[:-2], height, width))


def _keep_analysis(ctx: _Context, inputs: tuple[Tensor, Sequence[float], Sequence[float], str], output: Bands) -> None:
    x, ctx.low, ctx.high, ctx.mode = inputs
    ctx.size = x.shape[-2], x.shape[-1]


def _analysis_gradient(ctx: _Context, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
    return synthesis(*gradients, ctx.low, ctx.high, ctx.mode, *ctx.size), None, None, None


def _keep_synthesis(
    ctx: _Context,
    inputs: tuple[Tensor, Tensor, Tensor, Tensor, Sequence[float], Sequence[float], str, int, int],
    output: Tensor,
) -> None:
    *_, ctx.low, ctx.high, ctx.mode, height, width = inputs
    ctx.size = height, width


def _synthesis_gradient(ctx: _Context, gradient: Tensor) -> tuple[Tensor | None, ...]:
    return *analysis(gradient, ctx.low, ctx.high, ctx.mode), *([None] * 5)


def _map_analysis(
    info: VmapInfo, in_dims: tuple[int | None, ...], x: Tensor, *others: Argument, op: Callable[..., Bands] = analysis
) -> tuple[Bands, tuple[int, ...]]:
    # Leading axes are a batch already.
    return op(lead(x, in_dims[0], info.batch_size), *others), (0,) * 4


def _map_synthesis(  # noqa: PLR0917
    info: VmapInfo,
    in_dims: tuple[int | None, ...],
    ll: Tensor,
    lh: Tensor,
    hl: Tensor,
    hh: Tensor,
    *others: Argument,
    op: Callable[..., Tensor] = synthesis,
) -> tuple[Tensor, int]:
    bands = (lead(band, dim, info.batch_size) for band, dim in zip((ll, lh, hl, hh), in_dims, strict=False))
    return op(*bands, *others), 0


class _Analysis(torch.autograd.Function):
    forward = staticmethod(analysis)
    setup_context = staticmethod(_keep_analysis)

    @staticmethod
    def backward(ctx: _Context, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        ll, lh, hl, hh = gradients
        return merge((ll, lh, hl, hh), ctx.low, ctx.high, ctx.mode, *ctx.size), None, None, None

    @staticmethod
    def jvp(ctx: _Context, tangent: Tensor, *_: None) -> Bands:
        return split(tangent, ctx.low, ctx.high, ctx.mode)

    @staticmethod
    def vmap(
        info: VmapInfo, in_dims: tuple[int | None, ...], x: Tensor, *others: Argument
    ) -> tuple[Bands, tuple[int, ...]]:
        return _map_analysis(info, in_dims, x, *others, op=_Analysis.apply)


class _Synthesis(torch.autograd.Function):
    forward = staticmethod(synthesis)
    setup_context = staticmethod(_keep_synthesis)

    @staticmethod
    def backward(ctx: _Context, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return *split(gradient, ctx.low, ctx.high, ctx.mode), *([None] * 5)

    @staticmethod
    def jvp(ctx: _Context, *tangents: Tensor | None) -> Tensor:
        known = next(tangent for tangent in tangents if tangent is not None)
        ll, lh, hl, hh = (torch.zeros_like(known) if tangent is None else tangent for tangent in tangents[:4])
        return merge((ll, lh, hl, hh), ctx.low, ctx.high, ctx.mode, *ctx.size)

    @staticmethod
    def vmap(  # noqa: PLR0917
        info: VmapInfo,
        in_dims: tuple[int | None, ...],
        ll: Tensor,
        lh: Tensor,
        hl: Tensor,
        hh: Tensor,
        *others: Argument,
    ) -> tuple[Tensor, int]:
        return _map_synthesis(info, in_dims, ll, lh, hl, hh, *others, op=_Synthesis.apply)


analysis.register_autograd(_analysis_gradient, setup_context=_keep_analysis)
synthesis.register_autograd(_synthesis_gradient, setup_context=_keep_synthesis)
analysis.register_vmap(_map_analysis)
synthesis.register_vmap(_map_synthesis)
