"""Haar WDAM in few passes over memory, forward and backward written by hand, for eager PyTorch on a CPU.

With ``a b / c d`` a 2x2 block, reweighting its sub-bands is a convolution over the group ``Z2 x Z2``: every output is a
mix of the block's four values with four scalars per sample, so no sub-band has to be kept. What costs time on a CPU is
reading and writing memory, not arithmetic; so the tensor is walked through in tiles that stay in the processor's cache,
and each tile is done with before the next one is fetched: see :mod:`wdam.passes`.

Nothing here records gradients: :mod:`wdam.ops` wraps these functions into operators that know theirs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from wdam.gate import SUBBANDS, accumulation_dtype, gate, gate_backward
from wdam.passes import dot_and_argmax, input_gradient, mix_of, pool, reweight
from wdam.tiles import TilePlan, layout

__all__ = ["Gradients", "Pooled", "backward", "forward"]


@dataclass(frozen=True, slots=True)
class Pooled:
    """What :func:`forward` leaves for :func:`backward`; all but ``argmax`` float32 (float64 for float64).

    Attributes:
        w: ``(N, 4)``, weight of each sub-band.
        mean: ``(N, 4C)``, mean of each sub-band of each channel, all channels of LL first.
        maximum: ``(N, 4C)``, their maximum.
        argmax: ``(N, 4C)`` int32, where the maximum is: row-major index of the first such 2x2 block. Kernels find it on
            their way; a CPU looks for it when a gradient wants it, and ``(N, 0)`` stands for it until then.
    """

    w: Tensor
    mean: Tensor
    maximum: Tensor
    argmax: Tensor


@dataclass(frozen=True, slots=True)
class Gradients:
    """What :func:`backward` returns: gradients of its arguments, in their dtypes; zero for a scale that is None."""

    x: Tensor
    w1: Tensor
    w2: Tensor
    scale: Tensor


def forward(x: Tensor, w1: Tensor, w2: Tensor, scale: Tensor | None, residual: bool) -> tuple[Tensor, Pooled]:
    """Compute ``y = residual * x + scale * IDWT(w * DWT(x))`` and the weights ``w``.

    Args:
        x: ``(N, C, H, W)`` floating point, ``H, W >= 1``, any layout.
        w1: ``(hidden, 4C)``, first layer of the perceptron.
        w2: ``(4, hidden)``, second layer.
        scale: A scalar tensor, or None for 1.
        residual: Whether to add ``x``.

    Returns:
        ``y`` with dtype and layout of ``x``, and what the backward needs.
    """
    samples, channels = x.shape[:2]
    y = torch.empty_like(x, memory_format=layout(x))
    w = torch.empty(samples, SUBBANDS, dtype=accumulation_dtype(x.dtype), device=x.device)
    mean = w.new_empty(samples, SUBBANDS, channels)
    maximum = torch.empty_like(mean)
    plan = TilePlan(x)
    for group in plan.groups:
        pool(plan, x[group], mean[group], maximum[group])
        w[group] = gate(mean[group].flatten(1), maximum[group].flatten(1), w1, w2)
        # Added to `x` as it is, a scale of zero changes nothing at all, not even by rounding.
        apart = residual and scale is not None
        mix = mix_of(w[group], scale, residual and not apart)
        reweight(plan, x[group], y[group], mix, add=apart)
    return y, Pooled(w, mean.flatten(1), maximum.flatten(1), w.new_empty(samples, 0, dtype=torch.int32))


def backward(  # noqa: PLR0917 - everything the forward knew
    dy: Tensor, x: Tensor, w1: Tensor, w2: Tensor, scale: Tensor | None, residual: bool, saved: Pooled
) -> Gradients:
    """Compute the gradients of :func:`forward` by hand.

    Args:
        dy: ``(N, C, H, W)``, gradient of ``y``, any layout.
        x: As given to :func:`forward`.
        w1: As given to :func:`forward`.
        w2: As given to :func:`forward`.
        scale: As given to :func:`forward`.
        residual: As given to :func:`forward`.
        saved: What :func:`forward` returned for the same ``x, w1, w2``.

    Returns:
        See :class:`Gradients`; a maximum that several blocks share gives its gradient to the first of them.
    """
    dtype = accumulation_dtype(x.dtype)
    dx = torch.empty_like(x, memory_format=layout(x))
    dw1, dw2 = torch.zeros_like(w1, dtype=dtype), torch.zeros_like(w2, dtype=dtype)
    dscale = torch.zeros((), dtype=dtype, device=x.device)
    factor = 1.0 if scale is None else scale.to(dtype)
    plan = TilePlan(x)
    for group in plan.groups:
        w = saved.w[group]
        dots, argmax = dot_and_argmax(plan, x[group], dy[group])
        dscale += (w * dots).sum()
        from_mean, from_max, first, second = gate_backward(
            factor * dots, w, saved.mean[group], saved.maximum[group], w1, w2
        )
        dw1 += first
        dw2 += second
        mix = mix_of(w, scale, residual)
        input_gradient(plan, dy[group], dx[group], mix, from_mean, from_max, argmax)
    if scale is not None:
        dscale = dscale.reshape(scale.shape).to(scale.dtype)
    return Gradients(dx, dw1.to(w1.dtype), dw2.to(w2.dtype), dscale)
