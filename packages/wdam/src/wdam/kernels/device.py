"""Load a compiled kernel and launch it where and when PyTorch would: on its current device and stream."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Any, TypeAlias

import torch

from wdam.errors import BackendError
from wdam.kernels.cache import KernelCache, default_directory
from wdam.kernels.compile import Kernel, Nvrtc, build

__all__ = ["Argument", "multiprocessors", "obstacle", "run"]

Argument: TypeAlias = int | float


def obstacle() -> str | None:
    """Say why no kernel can run on this machine, or None when nothing is in the way.

    Looks for a GPU, for ``cuda.core``, for NVRTC and whether that knows PyTorch's current GPU; compiles nothing. A
    process looks once: after installing something, start a new one.
    """
    if torch.version.cuda is None:
        return f"PyTorch {torch.__version__} was built without CUDA"
    if not torch.cuda.is_available():
        return "PyTorch sees no CUDA device"
    return _compiler_obstacle(torch.cuda.current_device())


def multiprocessors(device: torch.device) -> int:
    """Return how many streaming multiprocessors a GPU has."""
    return int(torch.cuda.get_device_properties(device).multi_processor_count)


def run(kernel: Kernel, grid: int, block: int, arguments: Sequence[Argument], device: torch.device) -> None:
    """Launch a kernel; it runs after all that was queued on the current stream.

    Neither waits nor allocates, so it can be captured in a CUDA graph once it has run for the first time.

    Args:
        kernel: Compiled now if it was never used before.
        grid: Number of blocks; 0 launches nothing.
        block: Threads per block.
        arguments: One per parameter: ints (numbers and addresses) become 64-bit integers, floats doubles.
        device: Where the addresses belong.

    Raises:
        BackendError: If the kernel cannot be compiled or loaded here.
    """
    if grid == 0:
        return
    core = import_module("cuda.core")
    with torch.cuda.device(device):
        index = torch.cuda.current_device()
        # A thread that has launched nothing yet has no context, since PyTorch waits for its own first launch. This is
        # the primary one, as PyTorch's.
        core.Device(index).set_current()
        loaded = _loaded(kernel, index)
        stream = core.Stream.from_handle(torch.cuda.current_stream(index).cuda_stream)
        core.launch(stream, core.LaunchConfig(grid=grid, block=block), loaded, *arguments)


@cache
def _compiler_obstacle(index: int) -> str | None:
    try:
        _compiler().architecture(*torch.cuda.get_device_capability(index))
    except BackendError as error:
        return str(error)
    return None


@cache
def _compiler() -> Nvrtc:
    return Nvrtc()


@cache
def _cache() -> KernelCache:
    return KernelCache(default_directory(os.environ))


@cache
def _loaded(kernel: Kernel, index: int) -> Any:  # noqa: ANN401 - a class of cuda.core, which may not be here
    """Return a kernel ready for one device, which must be PyTorch's current one."""
    compiler = _compiler()
    architecture = compiler.architecture(*torch.cuda.get_device_capability(index))
    binary = build(kernel, architecture, compiler, _cache())
    core = import_module("cuda.core")
    try:
        return core.ObjectCode.from_cubin(binary.code, name=kernel.expression).get_kernel(binary.symbol)
    except Exception as error:  # cuda.core documents no common base of its errors
        raise BackendError(
            f"expected the driver to load {kernel.expression} for {architecture}, got {error}; update the NVIDIA "
            f"driver to one for {compiler.version}, or use backend='torch'"
        ) from error
