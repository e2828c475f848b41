"""The options of the selector ``lpips``; readable without its package."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["LEAST_SIDE", "LPIPSOptions"]

LEAST_SIDE = 64  # AlexNet's and VGG's coarsest features must still cover a few positions


class LPIPSOptions(BaseModel):
    """Options of the selector ``lpips``.

    Attributes:
        net: The network; the paper that introduced LPIPS recommends ``alex`` as a metric.
        backbone: ``imagenet`` needs torchvision's weights, fetched once on first use; ``random`` needs nothing and only
            shows that everything runs: its distances mean nothing.
        largest: Longer side, in pixels, that larger boxes are reduced to.
        device: ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    net: Literal["alex", "vgg", "squeeze"] = "alex"
    backbone: Literal["imagenet", "random"] = "imagenet"
    largest: int = Field(default=512, ge=LEAST_SIDE, le=4096)
    device: str = "auto"
