"""The operators once more, each as a ``torch.autograd.Function``, which unlike an operator works inside ``torch.func``.

PyTorch's custom operators cannot be differentiated by ``torch.func.grad`` and its relatives (``RuntimeError: In order
to use an autograd.Function with functorch transforms …``). Eager calls therefore come through here, unless a forward
derivative is taken: PyTorch switches those off inside of the rule that such a function would have, so that a second
one would silently come out as zero. See :func:`wdam.blocks.is_pushed_forward`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from wdam import ops
from wdam.blocks import is_pushed_forward
from wdam.ops import Argument, Context, Five, Four, VmapInfo

__all__ = ["fused_wdam"]


def fused_wdam(x: Tensor, w1: Tensor, w2: Tensor, scale: Tensor | None, residual: bool) -> Tensor:
    """Return ``y`` of :func:`wdam.ops.forward`, differentiable twice and by ``torch.func``."""
    y: Tensor = _Forward.apply(x, w1, w2, scale, residual)[0]  # type: ignore[no-untyped-call]
    return y


class _Forward(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, w1: Tensor, w2: Tensor, scale: Tensor | None, residual: bool) -> Five:
        results: Five = ops.forward(x, w1, w2, scale, residual)
        return results

    @staticmethod
    def setup_context(ctx: Context, inputs: tuple[Argument, ...], output: Five) -> None:
        ops.save_forward(ctx, inputs, output)

    @staticmethod
    def backward(ctx: Context, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        return ops.first_derivative(ctx, gradients[0], _plain_backward if is_pushed_forward() else _Backward.apply)

    @staticmethod
    def vmap(info: VmapInfo, in_dims: tuple[int | None, ...], *arguments: Argument) -> tuple[Five, tuple[int, ...]]:
        return ops.forward_vmap(info, in_dims, *arguments, op=_Forward.apply)


class _Backward(torch.autograd.Function):
    @staticmethod
    def forward(*arguments: Argument) -> Four:
        results: Four = ops.backward(*arguments)
        return results

    @staticmethod
    def setup_context(ctx: Context, inputs: tuple[Argument, ...], output: Four) -> None:
        ops.save_backward(ctx, inputs, output)

    @staticmethod
    def backward(ctx: Context, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        return ops.second_derivative(ctx, *gradients)

    @staticmethod
    def vmap(info: VmapInfo, in_dims: tuple[int | None, ...], *arguments: Argument) -> tuple[Four, tuple[int, ...]]:
        return ops.backward_vmap(info, in_dims, *arguments, op=_Backward.apply)


def _plain_backward(*arguments: Argument) -> tuple[Tensor, ...]:
    """Return what :func:`wdam.ops.backward` does, of operations that each know their forward derivative."""
    *tensors, residual = arguments[:6]
    given = [tensor for tensor in tensors if isinstance(tensor, Tensor)]
    gradients = ops.reference_gradient(residual=bool(residual))(*given)
    return (*gradients, *([given[0].new_zeros(())] * (4 - len(gradients))))
