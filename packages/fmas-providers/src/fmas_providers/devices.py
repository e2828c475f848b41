"""Where torch computes and in what precision: the same two options for every model."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, TypeAlias

from fmas.errors import ConfigError

if TYPE_CHECKING:  # options name precisions, and must be readable where torch is not
    import torch

__all__ = ["DTypeName", "batch_size_for", "describe_device", "resolve_device", "resolve_dtype"]

DTypeName: TypeAlias = Literal["auto", "float32", "float16", "bfloat16"]

_DEVICE = re.compile(r"cpu|mps|cuda(:\d+)?")


def resolve_device(name: str) -> torch.device:
    """Turn a device option into a device that is there.

    Args:
        name: ``auto`` (CUDA, else Apple's MPS, else the CPU), ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.

    Raises:
        ConfigError: If there is no such device.
    """
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    if not _DEVICE.fullmatch(name):
        raise ConfigError(f"expected device auto, cpu, mps, cuda or cuda:N, got {name!r}; choose one of these")
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            f"expected a CUDA device for device {name!r}, got none; choose cpu, or install a CUDA build of torch"
        )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"expected device cuda:0 to cuda:{torch.cuda.device_count() - 1}, got {name!r}; choose one of these"
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("expected Apple's MPS for device 'mps', got none; choose cpu")
    return device


def describe_device(name: str) -> str:
    """Return in words what a device option stands for here, with the memory of a GPU.

    Raises:
        ConfigError: If there is no such device.
    """
    import torch

    device = resolve_device(name)
    if device.type != "cuda":
        return f"{device} ({torch.get_num_threads()} threads)" if device.type == "cpu" else str(device)
    free, total = torch.cuda.mem_get_info(device)
    return f"{device} ({torch.cuda.get_device_name(device)}, {free / 1e9:.1f} of {total / 1e9:.1f} GB free)"


def batch_size_for(given: int | None, device: torch.device) -> int:
    """Return how many pictures go through a network at once.

    Args:
        given: The option; ``None`` for 4 on a GPU and 1 elsewhere: a CPU is busy with one, and computing one at a time
            keeps every last bit independent of which pictures happen to be neighbours.
        device: Where the network is.
    """
    if given is not None:
        return given
    return 4 if device.type == "cuda" else 1


def resolve_dtype(
    name: DTypeName, device: torch.device, *, half: Literal["float16", "bfloat16"] = "float16"
) -> torch.dtype:
    """Turn a precision option into a dtype.

    Args:
        name: ``auto`` takes ``half`` on a GPU and float32 on a CPU, where half precision is slow or missing.
        device: Where it will be used.
        half: The half precision that is safe for this model.
    """
    import torch

    chosen = ("float32" if device.type == "cpu" else half) if name == "auto" else name
    dtypes = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
    return dtypes[chosen]
