"""What a sampler hands to the training loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, Self, TypeAlias, TypeVar

import torch
from torch import Tensor

__all__ = ["AnyBatch", "Batch", "BatchT", "LabelledBatch", "Sampler"]


class AnyBatch(Protocol):
    """What the loop needs to know about a batch; a loss may know more."""

    @property
    def pictures(self) -> Tensor:
        """``(N, 3, H, W)`` float32, what the network is called with."""
        ...

    def pinned(self) -> Self:
        """Return it in memory that a GPU copies from without waiting."""
        ...

    def to(self, device: torch.device, *, memory_format: torch.memory_format) -> Self:
        """Return it on a device, its pictures in a memory layout."""
        ...


BatchT = TypeVar("BatchT", bound=AnyBatch)

Sampler: TypeAlias = Callable[[int], BatchT]
"""Step number, from 0, -> the batch of that step.

It depends on its own seed and the step alone, whatever was asked for before, and may be called from another thread.
"""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Pictures and where their defects are.

    Attributes:
        pictures: ``(N, 3, H, W)`` float32, normalised, roughly -2 to 2.
        masks: ``(N, H, W)`` float32, 1 on a defect, 0 elsewhere.
    """

    pictures: Tensor
    masks: Tensor

    def pinned(self) -> Batch:
        """Return it in memory that a GPU copies from without waiting."""
        return replace(self, pictures=self.pictures.pin_memory(), masks=self.masks.pin_memory())

    def to(self, device: torch.device, *, memory_format: torch.memory_format) -> Batch:
        """Return it on a device, its pictures in a memory layout."""
        return Batch(
            self.pictures.to(device, non_blocking=True, memory_format=memory_format),
            self.masks.to(device, non_blocking=True),
        )


@dataclass(frozen=True, slots=True, eq=False)
class LabelledBatch:
    """Pictures and which class each is of.

    Attributes:
        pictures: ``(N, 3, H, W)`` float32, normalised, roughly -2 to 2.
        labels: ``(N,)`` int64.
    """

    pictures: Tensor
    labels: Tensor

    def pinned(self) -> LabelledBatch:
        """Return it in memory that a GPU copies from without waiting."""
        return replace(self, pictures=self.pictures.pin_memory(), labels=self.labels.pin_memory())

    def to(self, device: torch.device, *, memory_format: torch.memory_format) -> LabelledBatch:
        """Return it on a device, its pictures in a memory layout."""
        return LabelledBatch(
            self.pictures.to(device, non_blocking=True, memory_format=memory_format),
            self.labels.to(device, non_blocking=True),
        )
