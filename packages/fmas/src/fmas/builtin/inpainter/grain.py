"""The finest texture of a photograph: how sharp it is, and more of the same for surfaces that were painted."""

from __future__ import annotations

import cv2
import numpy as np

from fmas.builtin.inpainter.filters import blur, gradient
from fmas.types import FloatMap

__all__ = ["borrow_grain", "estimate_softness"]


def estimate_softness(luminance: FloatMap) -> float:
    """Estimate the blur of a picture as the sigma of a Gaussian.

    The sharpest edges count: across a step blurred by ``sigma`` the largest gradient is 1.65 ``sigma`` times the
    largest second derivative, whatever the step's height.

    Args:
        luminance: ``(H, W)`` float32, 0..255.

    Returns:
        Sigma in pixels, within 0..2.5; 0 for a picture without any structure.
    """
    if min(luminance.shape) < 5:
        return 0.0
    dx, dy = gradient(luminance)
    laplacian = cv2.Laplacian(luminance, cv2.CV_32F, ksize=1)[1:-1, 1:-1]
    steepest = _percentile(np.hypot(dx, dy)[1:-1, 1:-1])
    sharpest = _percentile(np.abs(laplacian))
    if sharpest < 2.0:
        return 0.0
    return round(min(2.5, steepest / sharpest / 1.65), 2)


def _percentile(values: FloatMap) -> float:
    """Return what one value in 200 exceeds."""
    rank = int(0.995 * (values.size - 1))
    return float(np.partition(values, rank, axis=None)[rank])


def borrow_grain(base: FloatMap, rng: np.random.Generator) -> FloatMap:
    """Take the photograph's own grain from elsewhere in it: right strength, right spectrum, right colour.

    Args:
        base: ``(H, W, C)`` float32, 0..255.
        rng: Chooses from where.

    Returns:
        ``(H, W, C)`` float32, mean about 0, in grey levels; equal channels stay equal.
    """
    residual = base - blur(base, 1.0)
    # Edges of things are not grain.
    limit = np.float32(2.5 * 1.4826 * np.median(np.abs(residual[::2, ::3])) + 0.5)
    residual = np.clip(residual, -limit, limit)
    shift = (int(rng.integers(base.shape[0])), int(rng.integers(base.shape[1])))
    # Mirrored before it is moved: grain that is merely shifted would repeat a nearby speck visibly.
    moved: FloatMap = np.roll(residual[::-1, ::-1], shift, axis=(0, 1))
    return moved
