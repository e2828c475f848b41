"""The shapes that a region can have, drawn into a box."""

from __future__ import annotations

import cv2
import numpy as np

from fmas.config import RegionShape
from fmas.samples import Box
from fmas.types import BoolMask

__all__ = ["draw_shape"]


def draw_shape(shape: RegionShape, box: Box, generator: np.random.Generator) -> BoolMask:
    """Return a ``(box.height, box.width)`` bool mask that is not empty."""
    if shape == "rectangle":
        return np.ones((box.height, box.width), dtype=np.bool_)
    canvas = np.zeros((box.height, box.width), dtype=np.uint8)
    if shape == "ellipse":
        centre = ((box.width - 1) / 2, (box.height - 1) / 2)
        axes = (max(box.width, 1), max(box.height, 1))
        cv2.ellipse(canvas, (centre, axes, 0.0), 1, cv2.FILLED)
    elif shape == "stroke":
        _draw_stroke(canvas, generator)
    else:
        _draw_blob(canvas, generator)
    return canvas.astype(np.bool_)


def _draw_stroke(canvas: np.ndarray[tuple[int, int], np.dtype[np.uint8]], generator: np.random.Generator) -> None:
    """Draw a thick quadratic Bézier curve from one side of the box to the other."""
    height, width = canvas.shape
    thickness = max(min(height, width) // 4, 3)
    low = thickness / 2
    high = np.array([max(width - 1 - low, low), max(height - 1 - low, low)])
    along_x = width >= height
    start, bend, end = (generator.uniform(low, high) for _ in range(3))
    axis = 0 if along_x else 1
    start[axis], end[axis] = low, high[axis]
    t = np.linspace(0.0, 1.0, 33)[:, None]
    curve = (1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end
    cv2.polylines(canvas, [np.round(curve).astype(np.int32)], isClosed=False, color=(1,), thickness=thickness)


def _draw_blob(canvas: np.ndarray[tuple[int, int], np.dtype[np.uint8]], generator: np.random.Generator) -> None:
    """Fill a closed outline whose radius is a short random Fourier series."""
    height, width = canvas.shape
    angle = np.linspace(0.0, 2 * np.pi, 72, endpoint=False)
    radius = np.ones_like(angle)
    for order in range(2, 6):
        radius += generator.normal(0.0, 0.35 / order) * np.cos(order * angle + generator.uniform(0, 2 * np.pi))
    radius = np.clip(radius, 0.3, None)
    radius /= radius.max()
    x = (width - 1) / 2 * (1 + radius * np.cos(angle))
    y = (height - 1) / 2 * (1 + radius * np.sin(angle))
    cv2.fillPoly(canvas, [np.round(np.stack([x, y], axis=1)).astype(np.int32)], (1,))
