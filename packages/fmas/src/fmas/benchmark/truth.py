"""Reading ground truth: masks of 0 and 255, of labels, and such with soft edges."""

from __future__ import annotations

from pathlib import Path

from fmas.images import read_image
from fmas.types import BoolMask

__all__ = ["read_truth"]

_HALF = 127


def read_truth(path: Path) -> BoolMask:
    """Return where the defect is, ``(H, W)`` bool.

    A mask that reaches beyond half of white counts from there on: what is between 0 and 255 is a soft edge, as JPEG or
    a resize leaves it, and counting all of it would widen every defect. Lower values only, as in VisA, are labels, and
    each of them is a defect.

    Args:
        path: A picture; of a coloured one, the highest channel counts.
    """
    pixels, _ = read_image(path, min_side=1)
    values = pixels.max(axis=2)
    mask: BoolMask = values > (_HALF if values.max() > _HALF else 0)
    return mask
