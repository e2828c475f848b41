"""Small pictures that the checks show to components: deterministic, and odd in size where that is allowed."""

from __future__ import annotations

import numpy as np

from fmas.types import BoolMask, RGBImage

__all__ = ["disc_mask", "disc_photo", "flat_photo", "grey", "texture_photo"]


def disc_mask(height: int, width: int, *, scale: float = 0.35) -> BoolMask:
    """Return a centred ellipse, ``(height, width)`` bool; ``scale`` is its half axis as a part of each side."""
    y, x = np.mgrid[:height, :width]
    inside = ((y - (height - 1) / 2) / (scale * height)) ** 2 + ((x - (width - 1) / 2) / (scale * width)) ** 2 <= 1
    return np.asarray(inside, dtype=np.bool_)


def disc_photo(height: int, width: int) -> RGBImage:
    """Return a reddish, slightly noisy disc on a light background, ``(height, width, 3)`` uint8."""
    noise = np.random.default_rng(7).normal(0.0, 3.0, (height, width, 3))
    picture = np.where(disc_mask(height, width)[..., None], (150.0, 70.0, 60.0), (225.0, 228.0, 230.0)) + noise
    return np.clip(picture, 0, 255).astype(np.uint8)


def texture_photo(height: int, width: int) -> RGBImage:
    """Return a grain that fills the picture and has no background, ``(height, width, 3)`` uint8."""
    grain = np.random.default_rng(11).normal(128.0, 25.0, (height, width, 3))
    return np.clip(grain, 0, 255).astype(np.uint8)


def flat_photo(height: int, width: int) -> RGBImage:
    """Return one grey level all over, ``(height, width, 3)`` uint8."""
    return np.full((height, width, 3), 119, dtype=np.uint8)


def grey(image: RGBImage) -> RGBImage:
    """Return ``image`` with three equal channels, as a grey photograph is loaded; ``(H, W, 3)`` uint8."""
    return np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
