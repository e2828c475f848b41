"""How much of a photograph the network sees at once: all of it, squeezed into a square, or native crops."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

import cv2
import numpy as np

from fmas.types import BoolMask, NormalSyntheticMask
from fmas_providers.detectors.scoring.views import resized

__all__ = ["LEAST_SHARE", "View", "sees_whole", "squeezed_pair"]

View: TypeAlias = Literal["auto", "whole", "crops"]

_MOST_SHRUNK = 2.5
"""Photographs up to so many times as long as a crop are seen whole: there, context tells more than detail does."""

LEAST_SHARE = 0.25
"""Share of a pixel that a defect has to cover to count: a hairline must not vanish from the truth."""


def sees_whole(view: View, crop: int, shapes: Iterable[tuple[int, ...]]) -> bool:
    """Return whether photographs are seen whole.

    Args:
        view: What is wanted; ``auto`` decides by the sizes.
        crop: Side of what the network reads, in pixels.
        shapes: ``(H, W, ...)`` of the photographs, or of some of them.
    """
    if view == "auto":
        return all(max(shape[:2]) <= _MOST_SHRUNK * crop for shape in shapes)
    return view == "whole"


def squeezed_pair(pair: NormalSyntheticMask, side: int) -> NormalSyntheticMask:
    """Return a pair as the network sees it; a pixel is defective if at least a quarter of it was.

    Pixels with less of the defect are the good twin's: outside the mask, the two stay equal.
    """
    share = cv2.resize(pair.mask.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)
    mask: BoolMask = np.asarray(share >= LEAST_SHARE)
    normal, synthetic = resized(pair.normal, side), resized(pair.synthetic, side)
    if pair.mask.any():  # a negative control has no mask, and keeps its traces everywhere
        synthetic = np.where(mask[..., None], synthetic, normal)
    return NormalSyntheticMask(normal, synthetic, mask)
