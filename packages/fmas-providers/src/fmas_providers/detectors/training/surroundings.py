"""torch's global state, put back as it was."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from fmas_providers.detectors.options import TrainingOptions
from fmas_providers.devices import resolve_device, resolve_dtype

__all__ = ["batch_workers", "reseed", "resolve_precision", "seeded", "threads"]


@contextmanager
def seeded(device: torch.device, seed: int) -> Iterator[None]:
    """Seed torch's global generators inside the block; afterwards they are as they were."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        reseed(device, seed)
        yield


def reseed(device: torch.device, seed: int) -> None:
    """Seed the generators of the CPU and of a CUDA ``device``, no others: nobody puts those back."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Let torch compute with ``count`` threads inside the block; ``None`` leaves that as it is."""
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)


def resolve_precision(options: TrainingOptions) -> tuple[torch.device, torch.dtype]:
    """Return where to compute and in what.

    ``auto`` is bfloat16 where the GPU computes in it, float16 on an older one, and float32 elsewhere.

    Raises:
        ConfigError: If there is no such device.
    """
    device = resolve_device(options.device)
    if device.type != "cuda":
        return device, resolve_dtype("float32" if options.dtype == "auto" else options.dtype, device)
    half: Literal["float16", "bfloat16"] = "bfloat16" if torch.cuda.is_bf16_supported() else "float16"
    return device, resolve_dtype(options.dtype, device, half=half)


def batch_workers(device: torch.device) -> int:
    """Return how many threads should prepare batches: one beside a CPU's network, more where a GPU is quicker."""
    return max(1, min(8, (os.cpu_count() or 1) - 1)) if device.type == "cuda" else 1
