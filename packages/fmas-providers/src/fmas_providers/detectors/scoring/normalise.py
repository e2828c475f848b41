"""From 8-bit pictures to what networks read: the one place where that is decided, for training, scoring and ONNX."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from fmas.types import RGBImage

__all__ = ["OFFSET", "SCALE", "normalise"]

SCALE = 1.0 / 64.0
OFFSET = -2.0
"""A network reads ``grey level * SCALE + OFFSET``: -2 for 0, 1.98 for 255; both constants are exact in float16."""


def normalise(image: RGBImage, out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """Return ``image`` as a network reads it.

    Args:
        image: ``(H, W, 3)`` uint8 RGB; may be a view.
        out: ``(3, H, W)`` float32, C-contiguous planes to write into; made when not given.

    Returns:
        ``(3, H, W)`` float32 in ``[-2, 2)``; ``out`` when it was given.
    """
    height, width = image.shape[:2]
    planes = np.empty((3, height, width), np.float32) if out is None else out
    for channel in range(3):
        np.multiply(cv2.extractChannel(image, channel), np.float32(SCALE), out=planes[channel])
    planes += np.float32(OFFSET)
    return planes
