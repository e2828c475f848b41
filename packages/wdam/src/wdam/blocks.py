"""Walk through a tensor in blocks that fit a CPU's cache, and tell eager PyTorch from a tracer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import Tensor
from torch.autograd import forward_ad

__all__ = ["VmapInfo", "blocks", "is_left_open", "is_pushed_forward", "is_traced", "lead"]

# Elements of one block. Several passes over 256 KiB of float32 stay in the second-level cache of one core; much smaller
# blocks would pay more for starting each operation than for its work.
BLOCK = 1 << 16


class VmapInfo(Protocol):
    """What ``torch.vmap`` tells an autograd function."""

    batch_size: int


def is_traced() -> bool:
    """Return whether a compiler or an exporter is looking, for which plain differentiable operations are best."""
    if torch.compiler.is_compiling():
        return True
    tracing: bool = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    return tracing


def is_pushed_forward() -> bool:
    """Return whether a forward derivative is being taken, by ``torch.func.jvp`` or ``torch.autograd.forward_ad``.

    Only operations that know theirs may be used then. A ``torch.autograd.Function`` with a ``jvp`` is none of them:
    PyTorch switches forward derivatives off inside of it, and those of higher order would silently lack a part.
    """
    level: int = getattr(forward_ad, "_current_level", -1)
    return level >= 0


def is_left_open(*sizes: object) -> bool:
    """Return whether a program is being exported that leaves one of these sizes open."""
    return torch.compiler.is_exporting() and any(isinstance(size, torch.SymInt) for size in sizes)


def blocks(x: Tensor) -> Iterator[Callable[[Tensor], Tensor]]:
    """Yield functions that cut the same block out of every tensor with the leading sizes of ``x``.

    Together the blocks cover everything once. Outside a CPU there is one block: a GPU wants large launches.

    Args:
        x: ``(..., H, W)``; blocks are cut along the leading dimension with the longest stride.
    """
    leading = [dim for dim in range(x.ndim - 2) if x.shape[dim] > 1]
    if x.device.type != "cpu" or not leading or x.numel() <= BLOCK:
        yield lambda tensor: tensor
        return
    dim = max(leading, key=x.stride)
    step = max(1, BLOCK * x.shape[dim] // x.numel())
    for start in range(0, x.shape[dim], step):
        length = min(step, x.shape[dim] - start)
        yield lambda tensor, start=start, length=length: tensor.narrow(dim, start, length)  # type: ignore[misc]


def lead(x: Tensor, batch_dim: int | None, batch_size: int) -> Tensor:
    """Return ``x`` with the dimension that ``torch.vmap`` runs over in front."""
    return x.expand(batch_size, *x.shape) if batch_dim is None else x.movedim(batch_dim, 0)
