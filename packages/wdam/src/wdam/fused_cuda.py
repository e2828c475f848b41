"""Haar WDAM, forward and backward, as the kernels' passes put together."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from wdam.fused import Gradients, Pooled
from wdam.tiles import is_one_number, layout

__all__ = ["Passes", "backward", "forward"]


class Passes(Protocol):
    """What :mod:`wdam.kernels.launch` offers; see there for shapes."""

    def pool(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]: ...  # noqa: D102
    def gate(self, mean: Tensor, maximum: Tensor, w1: Tensor, w2: Tensor) -> tuple[Tensor, Tensor, Tensor]: ...  # noqa: D102
    def reweight(self, x: Tensor, w: Tensor, scale: Tensor | None, residual: bool) -> Tensor: ...  # noqa: D102
    def subband_dot(self, x: Tensor, dy: Tensor) -> Tensor: ...  # noqa: D102
    def gate_backward(  # noqa: D102, PLR0917
        self,
        dw: Tensor,
        w: Tensor,
        mean: Tensor,
        maximum: Tensor,
        hidden_mean: Tensor,
        hidden_max: Tensor,
        w1: Tensor,
        w2: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]: ...
    def input_gradient(  # noqa: D102, PLR0917
        self,
        dy: Tensor,
        w: Tensor,
        scale: Tensor | None,
        residual: bool,
        g_mean: Tensor,
        g_max: Tensor,
        argmax: Tensor,
        x: Tensor,
    ) -> Tensor: ...


def forward(
    x: Tensor, w1: Tensor, w2: Tensor, scale: Tensor | None, residual: bool, *, passes: Passes
) -> tuple[Tensor, Pooled]:
    """Compute what :func:`wdam.fused.forward` does, in two passes over ``x``."""
    x = x.contiguous(memory_format=layout(x))
    mean, maximum, argmax = passes.pool(x)
    w, _, _ = passes.gate(mean, maximum, w1, w2)
    return passes.reweight(x, w, scale, residual), Pooled(w, mean, maximum, argmax)


def backward(  # noqa: PLR0917 - everything the forward knew
    dy: Tensor,
    x: Tensor,
    w1: Tensor,
    w2: Tensor,
    scale: Tensor | None,
    residual: bool,
    saved: Pooled,
    *,
    passes: Passes,
) -> Gradients:
    """Compute what :func:`wdam.fused.backward` does: one pass over ``x`` and ``dy``, one over ``dy``.

    The hidden layer is computed again rather than kept: it is tiny.
    """
    x = x.contiguous(memory_format=layout(x))
    if not is_one_number(dy):  # which both passes take as it is
        dy = dy.to(x.dtype).contiguous(memory_format=layout(x))
    dots = passes.subband_dot(x, dy)
    _, hidden_mean, hidden_max = passes.gate(saved.mean, saved.maximum, w1, w2)
    dw = dots if scale is None else dots * scale.to(dots.dtype)
    from_mean, from_max, dw1, dw2 = passes.gate_backward(
        dw, saved.w, saved.mean, saved.maximum, hidden_mean, hidden_max, w1, w2
    )
    dx = passes.input_gradient(dy, saved.w, scale, residual, from_mean, from_max, saved.argmax, x)
    if scale is None:
        dscale = torch.zeros((), dtype=dots.dtype, device=dots.device)
    else:
        dscale = (saved.w * dots).sum().reshape(scale.shape).to(scale.dtype)
    return Gradients(dx, dw1.to(w1.dtype), dw2.to(w2.dtype), dscale)
