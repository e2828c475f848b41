"""The finest texture of a photograph: how sharp it is, and more of the same for surfaces that were painted."""

from __future__ import annotations

from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from fmas.builtin.inpainter.filters import gradient, mean_channel
from fmas.types import FloatMap

__all__ = ["borrow_grain", "estimate_softness"]

_Kernel: TypeAlias = NDArray[np.float64]

SIDE = 192
"""Pixels a side of the part that is measured."""


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


def borrow_grain(surroundings: FloatMap, rng: np.random.Generator, shape: tuple[int, int] | None = None) -> FloatMap:
    """Grow grain for something painted: as strong, as fine and as coloured as the photograph's own.

    Args:
        surroundings: What it must match, ``(H, W, C)`` float32, 0..255.
        rng: Where the randomness comes from.
        shape: Height and width of what is painted; as the surroundings if left out.

    Returns:
        ``(h, w, C)`` float32, mean about 0, in grey levels; equal channels get equal grain.
    """
    strength, kernel = _measured(surroundings)
    shape = shape or (surroundings.shape[0], surroundings.shape[1])
    common = _filtered(rng.standard_normal(shape, np.float32), kernel)[..., None]
    if len(strength) == 1:
        return common * strength
    own = rng.standard_normal((*shape, len(strength)), np.float32)
    return (np.float32(0.9) * common + np.float32(0.44) * _filtered(own, kernel)) * strength


def _measured(picture: FloatMap) -> tuple[FloatMap, _Kernel]:
    """Return the grain's standard deviation, ``(C,)`` float32 in grey levels, and what makes its neighbours alike."""
    top, left = (max(0, (side - SIDE) // 2) for side in picture.shape[:2])
    picture = picture[top : top + SIDE, left : left + SIDE]
    # Neither the lines of a brushed surface nor gradients are grain: second differences both ways know neither.
    twice = np.array([1.0, -2.0, 1.0])
    residual = _filtered(picture, twice)
    size = (max(1, picture.shape[1] // 8), max(1, picture.shape[0] // 8))
    blocks = cv2.resize(np.abs(residual), size, interpolation=cv2.INTER_AREA).reshape(-1, picture.shape[2])
    # Edges of things are not grain: the quieter places tell how strong it is.
    rank = int(0.35 * len(blocks))
    quiet = np.partition(blocks, rank, axis=0)[rank].astype(np.float32)
    kernel = _kernel(_likeness(np.clip(mean_channel(residual), -3 * quiet.mean(), 3 * quiet.mean())))
    seen = np.convolve(kernel, twice)
    # sqrt(pi / 2), mean size to standard deviation, and 5 % for the choice of quiet places.
    return np.round(quiet * np.float32(1.32 / (seen @ seen)), 2), kernel


def _likeness(residual: FloatMap) -> float:
    """Return how alike neighbours in the grain are, 0..0.5, from its second differences, ``(H, W)`` float32."""
    power = float((residual * residual).mean()) + 1e-6
    beside = float((residual[:, 1:] * residual[:, :-1]).mean()) / power
    below = float((residual[1:] * residual[:-1]).mean()) / power
    # -2/3 for noise whose neighbours have nothing in common; more where they have.
    seen = 0.5 * (beside + below)
    return round(float(np.interp(seen, _SEEN, _LIKENESS)), 2)


def _kernel(likeness: float) -> _Kernel:
    """Return the three weights, ``(3,)``, that give white noise neighbours with this correlation and keep its power."""
    share = (1 - np.sqrt(max(0.0, 1 - 2 * likeness**2))) / (2 * likeness) if likeness > 1e-3 else 0.0
    return np.asarray(np.array([share, 1.0, share]) / np.sqrt(1 + 2 * share * share))


def _seen(likeness: float) -> float:
    """Return the correlation of neighbouring second differences in grain of this likeness."""
    response = np.convolve(_kernel(likeness), [1.0, -2.0, 1.0])
    return float((response[1:] @ response[:-1]) / (response @ response))


def _filtered(noise: FloatMap, kernel: _Kernel) -> FloatMap:
    return np.asarray(cv2.sepFilter2D(noise, cv2.CV_32F, kernel, kernel), dtype=np.float32).reshape(noise.shape)


_LIKENESS = np.linspace(0.0, 0.65, 14)
_SEEN = np.array([_seen(float(likeness)) for likeness in _LIKENESS])
