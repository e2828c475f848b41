"""A segmenter that takes everything darker than a threshold for the product."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from fmas.options import parse_options
from fmas.specs import Options
from fmas.types import Fingerprint, Foreground, RGBImage

__all__ = ["ThresholdOptions", "ThresholdSegmenter", "create"]


class ThresholdOptions(BaseModel):
    """What ``--set segmenter.KEY=VALUE`` can reach.

    Attributes:
        threshold: Mean of R, G and B, in grey levels ``0..255``; darker pixels are the product.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: float = Field(default=180.0, ge=0.0, le=255.0)


class ThresholdSegmenter:
    """Separates a dark product from a light background; a picture all of one side is a texture.

    Args:
        options: The validated options.
    """

    def __init__(self, options: ThresholdOptions) -> None:
        self._options = options

    def fingerprint(self) -> Fingerprint:
        """Return name, version and options."""
        return Fingerprint("example-threshold", "1", self._options.model_dump(mode="json"))

    def segment(self, image: RGBImage) -> Foreground:
        """Return the dark pixels of ``image`` (``(H, W, 3)`` uint8) as an ``(H, W)`` bool mask.

        The confidence is the share of pixels further than 10 grey levels from the threshold, in ``[0, 1]``.
        """
        brightness = image.mean(axis=2)
        mask = np.asarray(brightness < self._options.threshold, dtype=np.bool_)
        if mask.all() or not mask.any():
            return Foreground(np.ones_like(mask), "texture", 0.5)
        sure = np.abs(brightness - self._options.threshold) > 10.0
        return Foreground(mask, "object", float(sure.mean()))


def create(options: Options) -> ThresholdSegmenter:
    """Create the segmenter; an unknown option is refused with the nearest known one."""
    return ThresholdSegmenter(parse_options(ThresholdOptions, options, section="segmenter"))
