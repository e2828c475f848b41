"""Which code runs: plain PyTorch or the fused operators, decided anew for every call."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor

from wdam.blocks import is_pushed_forward
from wdam.errors import BackendError, BackendWarning, OptionError, nearest
from wdam.tracing import constant_in_graphs

__all__ = ["BACKENDS", "Backend", "Route", "check_backend", "choose_route", "is_exporting", "kernel_obstacle"]

Backend: TypeAlias = Literal["auto", "torch", "cuda"]
"""``torch`` never uses a CUDA kernel, ``cuda`` uses nothing else, ``auto`` takes the kernel where there is one."""

Route: TypeAlias = Literal["operator", "plain"]
"""The fused operators ``torch.ops.wdam.*``, or plain differentiable PyTorch."""

BACKENDS: tuple[str, ...] = get_args(Backend)


def check_backend(backend: str) -> None:
    """Raise :class:`OptionError` if there is no such backend."""
    if backend not in BACKENDS:
        raise OptionError(
            f"expected backend 'auto', 'torch' or 'cuda', got {backend!r}"
            f"{nearest(str(backend), BACKENDS)}; leave it out for 'auto'"
        )


def is_exporting() -> bool:
    """Return whether a model is being written for another runtime, which knows no operator of ours.

    ONNX needs no question of its own: its exporter goes through ``torch.export``, the older one through
    ``torch.jit.trace``.
    """
    tracing: bool = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    return tracing or torch.compiler.is_exporting()


def choose_route(
    backend: Backend,
    x: Tensor,
    *,
    haar: bool = True,
    obstacle: Callable[[], str | None] | None = None,
) -> Route:
    """Decide how to compute Haar WDAM for ``x``.

    ============================  =============================  ================================
    x                             ``auto``                       ``torch``
    ============================  =============================  ================================
    CPU, eager                    operator                       operator (it is PyTorch there)
    CPU, in ``torch.compile``     plain: the compiler fuses it   plain
    CUDA, kernels can run         operator                       plain
    CUDA, they cannot             plain, says why once           plain
    anything while exporting      plain                          plain
    another wavelet or device     plain                          plain
    a forward derivative (jvp)    plain                          plain
    ============================  =============================  ================================

    ``cuda`` is either the operator on a CUDA tensor or an error.

    Args:
        backend: What was asked for.
        x: Only its device matters.
        haar: Whether the wavelet is Haar; nothing else is fused.
        obstacle: Says why no kernel can run here, or None; by default :func:`kernel_obstacle`.

    Raises:
        BackendError: If ``backend`` is ``cuda`` and the kernels cannot be used for this call.
    """
    device = x.device.type
    if backend == "cuda":
        _require_kernels(device, haar=haar, obstacle=obstacle or kernel_obstacle)
        return "operator"
    if not haar or is_exporting() or is_pushed_forward():
        return "plain"
    if device == "cpu":
        return "plain" if torch.compiler.is_compiling() else "operator"
    if device != "cuda" or backend == "torch":
        return "plain"
    reason = (obstacle or kernel_obstacle)()
    if reason is not None:
        _warn_once(reason)
        return "plain"
    return "operator"


@constant_in_graphs
def kernel_obstacle() -> str | None:
    """Return why no CUDA kernel can run on this machine, or None when they can; a constant of a compiled graph."""
    from wdam.kernels.device import obstacle  # not before a CUDA tensor or `cuda` asks for it

    return obstacle()


def _require_kernels(device: str, *, haar: bool, obstacle: Callable[[], str | None]) -> None:
    """Raise :class:`BackendError` unless the kernels can be used."""
    expected = "expected a CUDA tensor, a CUDA build of PyTorch and the package cuda-core for backend='cuda'"
    advice = "use backend='auto' to run anywhere"
    if device != "cuda":
        raise BackendError(f"{expected}, got a tensor on {device!r}; move module and input with .cuda(), or {advice}")
    if not haar:
        raise BackendError(
            f"expected the Haar wavelet for backend='cuda', got another; nothing else is fused: {advice}"
        )
    if is_exporting():
        raise BackendError(
            "expected backend 'auto' or 'torch' while exporting, got 'cuda'; an exported program holds plain "
            "operations only: set module.backend = 'auto' first"
        )
    if is_pushed_forward():
        raise BackendError(
            "expected backend 'auto' or 'torch' while a forward derivative is taken (torch.func.jvp, jacfwd, hessian), "
            "got 'cuda', whose kernels know none; set module.backend = 'auto' first"
        )
    reason = obstacle()
    if reason is not None:
        raise BackendError(f"{expected}, got this: {reason}; see wdam.env_report(), or {advice}")


@constant_in_graphs
def _warn_once(reason: str) -> None:
    _warn(reason)


@functools.cache
def _warn(reason: str) -> None:
    warnings.warn(
        f"wdam runs without its CUDA kernel: {reason}. Results are the same, in more time and memory. "
        f"See wdam.env_report(); backend='torch' silences this, backend='cuda' makes it an error",
        BackendWarning,
        stacklevel=2,
    )
