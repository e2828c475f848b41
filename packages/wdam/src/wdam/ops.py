"""The operators ``torch.ops.wdam.forward`` and ``torch.ops.wdam.backward``: Haar WDAM and its gradient.

They are what ``torch.compile`` and autograd see: a schema, shapes without data, a formula for the gradient of each, and
a rule for ``torch.vmap``. A CPU runs :mod:`wdam.fused`, CUDA the kernels behind :mod:`wdam.kernels`, imported on the
first call. The second derivative goes through :func:`wdam.reference.wdam_reference`: asked
for rarely, so being right is enough.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from wdam import fused, fused_cuda
from wdam.gate import SUBBANDS, accumulation_dtype
from wdam.reference import wdam_reference
from wdam.tiles import layout

__all__ = [
    "Argument",
    "Context",
    "Five",
    "Four",
    "VmapInfo",
    "backward",
    "backward_vmap",
    "first_derivative",
    "forward",
    "forward_vmap",
    "reference",
    "reference_gradient",
    "save_backward",
    "save_forward",
    "second_derivative",
]

Five: TypeAlias = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
Four: TypeAlias = tuple[Tensor, Tensor, Tensor, Tensor]
Argument: TypeAlias = Tensor | bool | None


class Context(Protocol):
    """What autograd keeps from an operator for its gradient."""

    residual: bool
    saved_tensors: tuple[Tensor | None, ...]

    def save_for_backward(self, *tensors: Argument) -> None: ...  # noqa: D102
    def mark_non_differentiable(self, *tensors: Tensor) -> None: ...  # noqa: D102
    def set_materialize_grads(self, value: bool) -> None: ...  # noqa: D102


class VmapInfo(Protocol):
    """What ``torch.vmap`` tells an operator."""

    batch_size: int


@torch.library.custom_op(
    "wdam::forward",
    mutates_args=(),
    device_types="cpu",
    schema="(Tensor x, Tensor w1, Tensor w2, Tensor? scale, bool residual) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
)
def forward(x: Tensor, w1: Tensor, w2: Tensor, scale: Tensor | None, residual: bool) -> Five:
    """Return ``(y, w, mean, maximum, argmax)``; arguments and results are those of :func:`wdam.fused.forward`."""
    y, pooled = fused.forward(x, w1, w2, scale, residual)
    return y, pooled.w, pooled.mean, pooled.maximum, pooled.argmax


@torch.library.custom_op(
    "wdam::backward",
    mutates_args=(),
    device_types="cpu",
    schema=(
        "(Tensor dy, Tensor x, Tensor w1, Tensor w2, Tensor? scale, bool residual, Tensor w, Tensor mean, "
        "Tensor maximum, Tensor argmax) -> (Tensor, Tensor, Tensor, Tensor)"
    ),
)
def backward(  # noqa: PLR0917 - everything the forward knew
    dy: Tensor,
    x: Tensor,
    w1: Tensor,
    w2: Tensor,
    scale: Tensor | None,
    residual: bool,
    w: Tensor,
    mean: Tensor,
    maximum: Tensor,
    argmax: Tensor,
) -> Four:
    """Return the gradients of ``x, w1, w2, scale``; the last is a zero when there is no scale.

    ``w, mean, maximum, argmax`` are what :func:`forward` returned for the same ``x, w1, w2``.
    """
    saved = fused.Pooled(w, mean, maximum, argmax)
    gradients = fused.backward(dy, x, w1, w2, scale, residual, saved)
    return gradients.x, gradients.w1, gradients.w2, gradients.scale


@forward.register_kernel("cuda")
def _forward_cuda(x: Tensor, w1: Tensor, w2: Tensor, scale: Tensor | None, residual: bool) -> Five:
    from wdam.kernels import launch  # not before a CUDA tensor is here

    y, pooled = fused_cuda.forward(x, w1, w2, scale, residual, passes=launch)
    return y, pooled.w, pooled.mean, pooled.maximum, pooled.argmax


@backward.register_kernel("cuda")
def _backward_cuda(  # noqa: PLR0917
    dy: Tensor,
    x: Tensor,
    w1: Tensor,
    w2: Tensor,
    scale: Tensor | None,
    residual: bool,
    w: Tensor,
    mean: Tensor,
    maximum: Tensor,
    argmax: Tensor,
) -> Four:
    from wdam.kernels import launch  # not before a CUDA tensor is here

    saved = fused.Pooled(w, mean, maximum, argmax)
    gradients = fused_cuda.backward(dy, x, w1, w2, scale, residual, saved, passes=launch)
    return gradients.x, gradients.w1, gradients.w2, gradients.scale


@forward.register_fake
def _forward_fake(x: Tensor, w1: Tensor, w2: Tensor, scale: Tensor | None, residual: bool) -> Five:
    samples, channels = x.shape[:2]
    dtype = accumulation_dtype(x.dtype)
    pooled = x.new_empty(samples, SUBBANDS * channels, dtype=dtype)
    return (
        torch.empty_like(x, memory_format=layout(x)),
        x.new_empty(samples, SUBBANDS, dtype=dtype),
        pooled,
        torch.empty_like(pooled),
        x.new_empty(samples, 0 if x.device.type == "cpu" else SUBBANDS * channels, dtype=torch.int32),
    )


@backward.register_fake
def _backward_fake(  # noqa: PLR0917
    dy: Tensor,
    x: Tensor,
    w1: Tensor,
    w2: Tensor,
    scale: Tensor | None,
    residual: bool,
    w: Tensor,
    mean: Tensor,
    maximum: Tensor,
    argmax: Tensor,
) -> Four:
    dscale = x.new_empty((), dtype=accumulation_dtype(x.dtype)) if scale is None else scale.new_empty(scale.shape)
    dx = torch.empty_like(x, memory_format=layout(x))
    return dx, w1.new_empty(w1.shape), w2.new_empty(w2.shape), dscale


def save_forward(ctx: Context, inputs: tuple[Argument, ...], output: Five) -> None:
    """Keep for the gradient ``x``, the parameters and what was pooled, all small but ``x``."""
    *tensors, residual = inputs
    pooled = output[1:]
    ctx.save_for_backward(*tensors, *pooled)
    ctx.residual = bool(residual)
    ctx.mark_non_differentiable(*pooled)
    ctx.set_materialize_grads(False)


def first_derivative(
    ctx: Context, dy: Tensor | None, gradient: Callable[..., tuple[Tensor, ...]] = backward
) -> tuple[Tensor | None, ...]:
    """Return the gradients of the five arguments of :func:`forward`, from ``dy`` alone."""
    if dy is None:
        return None, None, None, None, None
    x, w1, w2, scale, *pooled = ctx.saved_tensors
    dx, dw1, dw2, dscale = gradient(dy, x, w1, w2, scale, ctx.residual, *pooled)
    return dx, dw1, dw2, None if scale is None else dscale, None


def save_backward(ctx: Context, inputs: tuple[Argument, ...], output: Four) -> None:
    """Keep what the gradient is a function of."""
    *tensors, residual = inputs[:6]
    ctx.save_for_backward(*tensors)
    ctx.residual = bool(residual)
    ctx.set_materialize_grads(False)


def reference(x: Tensor, w1: Tensor, w2: Tensor, scale: Tensor | None = None, *, residual: bool) -> Tensor:
    """Return ``y`` as plain differentiable operations."""
    return wdam_reference(x, w1, w2, scale=scale, residual=residual)


def reference_gradient(*, residual: bool) -> Callable[..., tuple[Tensor, ...]]:
    """Return the function of ``dy, x, w1, w2`` and perhaps ``scale`` that gives the gradients of all but ``dy``."""

    def gradient(dy: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
        results: tuple[Tensor, ...] = torch.func.vjp(partial(reference, residual=residual), *inputs)[1](dy)
        return results

    return gradient


def second_derivative(ctx: Context, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
    """Differentiate the reference twice: its gradient is the same function of ``dy, x, w1, w2, scale``.

    What was pooled is a function of these, too, so no gradient goes to it.
    """
    inputs = [tensor for tensor in ctx.saved_tensors if tensor is not None]
    pulled = torch.func.vjp(reference_gradient(residual=ctx.residual), *inputs)
    results, pull_back = pulled[0], pulled[1]
    known = (
        torch.zeros_like(result) if given is None else given for result, given in zip(results, gradients, strict=False)
    )
    second = pull_back(tuple(known))
    return (*second, *([None] * (10 - len(second))))


def forward_vmap(
    info: VmapInfo, in_dims: tuple[int | None, ...], *arguments: Argument, op: Callable[..., Five] = forward
) -> tuple[Five, tuple[int, ...]]:
    """Fold the mapped dimension into the samples, or go one by one when parameters are mapped too.

    ``op`` is what to call: inside an outer ``torch.func.grad`` it must not be the operator.
    """
    x, *others = arguments
    if in_dims[0] is None or any(dim is not None for dim in in_dims[1:]) or not isinstance(x, Tensor):
        y, w, mean, maximum, argmax = _one_by_one(op, info, in_dims, arguments)
    else:
        x = x.movedim(in_dims[0], 0)
        shape = x.shape[:2]
        y, w, mean, maximum, argmax = (part.reshape(*shape, *part.shape[1:]) for part in op(x.flatten(0, 1), *others))
    return (y, w, mean, maximum, argmax), (0,) * 5


def backward_vmap(
    info: VmapInfo, in_dims: tuple[int | None, ...], *arguments: Argument, op: Callable[..., Four] = backward
) -> tuple[Four, tuple[int, ...]]:
    """Go one by one: gradients of parameters are sums over samples, which must not cross the mapped dimension."""
    dx, dw1, dw2, dscale = _one_by_one(op, info, in_dims, arguments)
    return (dx, dw1, dw2, dscale), (0,) * 4


def _one_by_one(
    op: Callable[..., tuple[Tensor, ...]],
    info: VmapInfo,
    in_dims: tuple[int | None, ...],
    arguments: tuple[Argument, ...],
) -> list[Tensor]:
    """Call ``op`` for every index of the mapped dimension and stack what it returns."""
    calls = []
    for index in range(info.batch_size):
        chosen = (
            value.select(dim, index) if isinstance(value, Tensor) and dim is not None else value
            for value, dim in zip(arguments, in_dims, strict=True)
        )
        calls.append(op(*chosen))
    return [torch.stack(parts) for parts in zip(*calls, strict=True)]


forward.register_autograd(lambda ctx, dy, *_: first_derivative(ctx, dy), setup_context=save_forward)
backward.register_autograd(second_derivative, setup_context=save_backward)
forward.register_vmap(forward_vmap)
backward.register_vmap(backward_vmap)
