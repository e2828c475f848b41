"""The wavelet transforms on CUDA as operators: ``torch.ops.wdam.analysis`` and ``torch.ops.wdam.synthesis``.

Each is the transpose of the other with the same filters and mode, so each is the other's gradient, to any order.
:func:`split` and :func:`merge` are what the rest of the package calls: operators while a compiler traces, and otherwise
``torch.autograd.Function``, because an operator knows neither ``torch.func.grad`` nor forward derivatives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from wdam.kernels import transforms

__all__ = ["analysis", "merge", "split", "synthesis"]


class _Context(Protocol):
    """What the derivative of a transform remembers."""

    low: Sequence[float]
    high: Sequence[float]
    mode: str
    size: tuple[int, int]


def split(x: Tensor, low: Sequence[float], high: Sequence[float], mode: str) -> Tensor:
    """Return the sub-bands of CUDA tensors; see :func:`wdam.kernels.transforms.dwt2`.

    Args:
        x: ``(..., H, W)``, ``H, W >= 1``.
        low: PyWavelets' ``dec_lo``, reversed.
        high: PyWavelets' ``dec_hi``, reversed.
        mode: What lies behind the edges.

    Returns:
        ``(4, ..., h, w)``: LL, LH, HL, HH.
    """
    apply: Callable[..., Tensor] = analysis if torch.compiler.is_compiling() else _Analysis.apply
    return apply(x, low, high, mode)


def merge(  # noqa: PLR0917 - as the operator's schema
    subbands: Tensor, low: Sequence[float], high: Sequence[float], mode: str, height: int, width: int
) -> Tensor:
    """Undo :func:`split`; see :func:`wdam.kernels.transforms.idwt2`.

    Args:
        subbands: ``(4, ..., h, w)``.
        low: PyWavelets' ``rec_lo``.
        high: PyWavelets' ``rec_hi``.
        mode: ``periodization`` if that was the mode of the decomposition, ``zero`` for all others.
        height: ``2h - L + 2``, or ``2h`` for ``periodization``.
        width: Likewise.

    Returns:
        ``(..., height, width)``.
    """
    apply: Callable[..., Tensor] = synthesis if torch.compiler.is_compiling() else _Synthesis.apply
    return apply(subbands, low, high, mode, height, width)


@torch.library.custom_op("wdam::analysis", mutates_args=(), device_types="cuda")
def analysis(x: Tensor, low: Sequence[float], high: Sequence[float], mode: str) -> Tensor:
    """Return ``(4, ..., h, w)`` from ``(..., H, W)``; see :func:`wdam.kernels.transforms.dwt2`."""
    return transforms.dwt2(x, low, high, mode)


@torch.library.custom_op("wdam::synthesis", mutates_args=(), device_types="cuda")
def synthesis(  # noqa: PLR0917
    subbands: Tensor, low: Sequence[float], high: Sequence[float], mode: str, height: int, width: int
) -> Tensor:
    """Return ``(..., H, W)`` from ``(4, ..., h, w)``; see :func:`wdam.kernels.transforms.idwt2`."""
    return transforms.idwt2(subbands, low, high, mode, height, width)


@analysis.register_fake
def _(x: Tensor, low: Sequence[float], high: Sequence[float], mode: str) -> Tensor:
    sizes = [transforms.subband_size(size, len(low), mode) for size in x.shape[-2:]]
    return x.new_empty((4, *x.shape[:-2], *sizes))


@synthesis.register_fake
def _(  # noqa: PLR0917
    subbands: Tensor, low: Sequence[float], high: Sequence[float], mode: str, height: int, width: int
) -> Tensor:
    return subbands.new_empty((*subbands.shape[1:-2], height, width))


def _keep_analysis(ctx: _Context, inputs: tuple[Tensor, Sequence[float], Sequence[float], str], output: Tensor) -> None:
    x, ctx.low, ctx.high, ctx.mode = inputs
    ctx.size = x.shape[-2], x.shape[-1]


def _analysis_gradient(ctx: _Context, gradient: Tensor) -> tuple[Tensor, None, None, None]:
    return synthesis(gradient, ctx.low, ctx.high, ctx.mode, *ctx.size), None, None, None


def _keep_synthesis(
    ctx: _Context, inputs: tuple[Tensor, Sequence[float], Sequence[float], str, int, int], output: Tensor
) -> None:
    _, ctx.low, ctx.high, ctx.mode, *size = inputs
    ctx.size = size[0], size[1]


def _synthesis_gradient(ctx: _Context, gradient: Tensor) -> tuple[Tensor, None, None, None, None, None]:
    return analysis(gradient, ctx.low, ctx.high, ctx.mode), None, None, None, None, None


def _map_analysis(  # noqa: PLR0917
    info: object, in_dims: tuple[int | None, ...], x: Tensor, low: Sequence[float], high: Sequence[float], mode: str
) -> tuple[Tensor, int]:
    # Leading axes are a batch already; sub-bands come before them.
    return analysis(x.movedim(in_dims[0] or 0, 0), low, high, mode), 1


def _map_synthesis(  # noqa: PLR0917
    info: object,
    in_dims: tuple[int | None, ...],
    subbands: Tensor,
    low: Sequence[float],
    high: Sequence[float],
    mode: str,
    height: int,
    width: int,
) -> tuple[Tensor, int]:
    return synthesis(subbands.movedim(in_dims[0] or 0, 1), low, high, mode, height, width), 0


class _Analysis(torch.autograd.Function):
    forward = staticmethod(analysis)
    setup_context = staticmethod(_keep_analysis)

    @staticmethod
    def backward(ctx: _Context, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        return merge(gradient, ctx.low, ctx.high, ctx.mode, *ctx.size), None, None, None

    @staticmethod
    def jvp(ctx: _Context, tangent: Tensor, *_: None) -> Tensor:
        return split(tangent, ctx.low, ctx.high, ctx.mode)

    @staticmethod
    def vmap(  # noqa: PLR0917
        info: object, in_dims: tuple[int | None, ...], x: Tensor, low: Sequence[float], high: Sequence[float], mode: str
    ) -> tuple[Tensor, int]:
        return split(x.movedim(in_dims[0] or 0, 0), low, high, mode), 1


class _Synthesis(torch.autograd.Function):
    forward = staticmethod(synthesis)
    setup_context = staticmethod(_keep_synthesis)

    @staticmethod
    def backward(ctx: _Context, gradient: Tensor) -> tuple[Tensor, None, None, None, None, None]:
        return split(gradient, ctx.low, ctx.high, ctx.mode), None, None, None, None, None

    @staticmethod
    def jvp(ctx: _Context, tangent: Tensor, *_: None) -> Tensor:
        return merge(tangent, ctx.low, ctx.high, ctx.mode, *ctx.size)

    @staticmethod
    def vmap(  # noqa: PLR0917
        info: object,
        in_dims: tuple[int | None, ...],
        subbands: Tensor,
        low: Sequence[float],
        high: Sequence[float],
        mode: str,
        height: int,
        width: int,
    ) -> tuple[Tensor, int]:
        return merge(subbands.movedim(in_dims[0] or 0, 1), low, high, mode, height, width), 0


analysis.register_autograd(_analysis_gradient, setup_context=_keep_analysis)
synthesis.register_autograd(_synthesis_gradient, setup_context=_keep_synthesis)
analysis.register_vmap(_map_analysis)
synthesis.register_vmap(_map_synthesis)
