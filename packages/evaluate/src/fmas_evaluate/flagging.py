"""What a threshold flags: the scores at or above it, compared exactly."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmas_evaluate.errors import InvalidInput, InvalidType

__all__ = ["checked_mask_threshold", "checked_threshold", "reaches"]


def reaches(scores: NDArray[np.number[Any]], threshold: float) -> NDArray[np.bool_]:
    """Say which scores are at or above a threshold.

    Args:
        scores: ``(H, W)`` or any other shape with at least one axis.
        threshold: In the unit of the scores.

    Returns:
        An array of the same shape.
    """
    # As an array of float64: numpy would round a number to the scores' type, and 0.7 is larger than the float32 of 0.7.
    return np.asarray(scores >= np.array([threshold], np.float64))


def checked_threshold(threshold: object) -> float:
    """Return a threshold of scores as a float, or say what is wrong with it; infinite ones flag nothing or all."""
    advice = "pass a score, such as f1_max(maps, masks).threshold"
    if isinstance(threshold, bool) or not isinstance(threshold, Real):
        raise InvalidType(f"expected a number as threshold, got {threshold!r}; {advice}")
    if math.isnan(threshold):
        raise InvalidInput(f"expected a number as threshold, got NaN; {advice}")
    return float(threshold)


def checked_mask_threshold(mask_threshold: object) -> float | None:
    """Return a threshold of masks as a float, ``None`` as it is, or say what is wrong with it."""
    if mask_threshold is None:
        return None
    advice = "pass a value in the masks' unit, e.g. 127"
    if isinstance(mask_threshold, bool) or not isinstance(mask_threshold, Real):
        raise InvalidType(f"expected mask_threshold as a number or None, got {mask_threshold!r}; {advice}")
    if not math.isfinite(mask_threshold):
        raise InvalidInput(f"expected a finite mask_threshold, got {float(mask_threshold)}; {advice}")
    return float(mask_threshold)
