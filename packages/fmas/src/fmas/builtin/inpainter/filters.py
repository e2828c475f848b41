"""Thin typed doors to OpenCV's filters; every result is float32 and keeps the shape it came with."""

from __future__ import annotations

import cv2
import numpy as np

from fmas.types import BoolMask, FloatMap

__all__ = [
    "blur",
    "dilate",
    "displace",
    "enlarge",
    "extent",
    "gradient",
    "largest_channel",
    "mean_channel",
    "smoothstep",
]


def blur(picture: FloatMap, sigma: float) -> FloatMap:
    """Blur with a Gaussian of ``sigma`` pixels; ``picture`` is ``(H, W)`` or ``(H, W, C)``, its range is kept."""
    if sigma < 0.2:
        return picture
    if sigma > 6.0 and min(picture.shape[:2]) > 1.5 * sigma:
        # What a wide blur leaves fits on a coarser grid, at a fraction of the cost. A last blur smooths away that grid:
        # without it slopes, and the light on them, would show its lines.
        step = int(sigma / 3.0)
        small = (max(2, picture.shape[1] // step), max(2, picture.shape[0] // step))
        last = 0.8 * step
        coarse = np.asarray(cv2.resize(picture, small, interpolation=cv2.INTER_AREA), dtype=np.float32)
        wide = enlarge(blur(coarse, float(np.sqrt(sigma**2 - last**2)) / step), (picture.shape[0], picture.shape[1]))
        return blur(wide.reshape(picture.shape), last)
    # OpenCV drops a trailing axis of one: put it back. Five sigmas of support are cut at three: invisible in 8 bits.
    size = 2 * int(np.ceil(3 * sigma)) + 1
    done = cv2.GaussianBlur(picture, (size, size), sigma, borderType=cv2.BORDER_REFLECT)
    return np.asarray(done, dtype=np.float32).reshape(picture.shape)


def dilate(field: FloatMap, radius: int) -> FloatMap:
    """Return the largest value within ``radius`` pixels (a disc) of each pixel of ``field``, ``(H, W)`` float32."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return np.asarray(cv2.dilate(field, disc), dtype=np.float32)


def displace(picture: FloatMap, dx: FloatMap, dy: FloatMap) -> FloatMap:
    """Fetch each pixel from ``(x + dx, y + dy)``.

    Args:
        picture: ``(H, W, C)`` float32.
        dx: Rightward offset of the place read, ``(H, W)`` float32, in pixels.
        dy: Downward offset of the place read, ``(H, W)`` float32, in pixels.

    Returns:
        ``(H, W, C)`` float32; beyond the border the picture is mirrored.
    """
    height, width = picture.shape[:2]
    x = np.arange(width, dtype=np.float32)[None, :] + dx
    y = np.arange(height, dtype=np.float32)[:, None] + dy
    moved = cv2.remap(picture, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    # Cubic, so that moved texture stays as sharp as it was; its overshoot is not part of the picture.
    return np.clip(np.asarray(moved, dtype=np.float32).reshape(picture.shape), picture.min(), picture.max())


def enlarge(grid: FloatMap, shape: tuple[int, int]) -> FloatMap:
    """Interpolate a small grid smoothly (bicubic) to ``shape`` = (height, width)."""
    return np.asarray(cv2.resize(grid, shape[::-1], interpolation=cv2.INTER_CUBIC), dtype=np.float32)


def extent(where: BoolMask, pad: int) -> tuple[slice, slice] | None:
    """Return the box (rows, columns) round what is true in ``where``, ``(H, W)``, and ``pad`` pixels more; or none."""
    left, top, width, height = cv2.boundingRect(where.astype(np.uint8))
    if width == 0:
        return None
    return slice(max(0, top - pad), top + height + pad), slice(max(0, left - pad), left + width + pad)


def gradient(field: FloatMap) -> tuple[FloatMap, FloatMap]:
    """Return the slopes of ``field``, ``(H, W)``, to the right and downwards, per pixel, averaged over three lines."""
    dx = cv2.Sobel(field, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8)
    dy = cv2.Sobel(field, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8)
    return np.asarray(dx, dtype=np.float32), np.asarray(dy, dtype=np.float32)


def largest_channel(picture: FloatMap) -> FloatMap:
    """Return the largest of the channels of ``(H, W, C)``, ``(H, W)`` float32 (numpy is slow along a short axis)."""
    largest = picture[..., 0]
    for channel in range(1, picture.shape[2]):
        largest = np.maximum(largest, picture[..., channel])
    return largest


def mean_channel(picture: FloatMap) -> FloatMap:
    """Return the mean of the channels of ``(H, W, C)``, ``(H, W)`` float32."""
    total = picture[..., 0]
    for channel in range(1, picture.shape[2]):
        total = total + picture[..., channel]
    return total * np.float32(1 / picture.shape[2])


def smoothstep(values: FloatMap, low: float, high: float) -> FloatMap:
    """Rise from 0 at ``low`` to 1 at ``high`` with no kink at either end; any shape, float32."""
    x = np.clip((values - np.float32(low)) / np.float32(high - low), 0, 1).astype(np.float32)
    smooth: FloatMap = x * x * (3 - 2 * x)
    return smooth
