"""The photograph that goes along with the question."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from fmas.types import RGBImage

__all__ = ["REFERENCE_TYPE", "reference_base64"]

REFERENCE_TYPE = "image/jpeg"
_LONGEST_SIDE = 1024  # what the services scale larger ones down to anyway; more costs tokens and time


def reference_base64(image: RGBImage) -> str:
    """Return a photograph as base64 of a JPEG of at most 1024 pixels a side, without any metadata.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.
    """
    picture = Image.fromarray(np.ascontiguousarray(image))
    picture.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=90)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
