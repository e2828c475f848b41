"""From logits to anomaly maps: squashed, so that zero means normal, but not so much that sure pictures tie."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["TEMPERATURE", "maps_of"]

TEMPERATURE = 4.0
"""A plain sigmoid is 1.0 in float32 from a logit of 17 on, and nearly so from 5 on, where most pictures with a plain
defect are; ranks among them would be lost, and so would those among the top values that make an image score."""


def maps_of(logits: Tensor) -> Tensor:
    """Return ``sigmoid(logits / 4)``, float32 in ``(0, 1)``: 0.5 where a defect is as likely as not; no probability."""
    return torch.sigmoid(logits.float() / TEMPERATURE)
