"""Lines that bend, wander and taper, and the exact distance of pixels to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from fmas.types import FloatMap

__all__ = ["STEP", "Band", "Points", "band_around", "bands_around", "bent", "jagged", "resample", "smoothed"]

Points = NDArray[np.float64]
"""``(N, 2)`` float64, x and y in pixels, in order along a line."""


STEP = 0.5
"""Distance between the samples of a line, in pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class Band:
    """The pixels near a line; ``n`` of them.

    Attributes:
        rows: ``(n,)`` pixel rows.
        columns: ``(n,)`` pixel columns.
        offset: Signed distance from the line, ``(n,)`` float32, in pixels; positive to the right of its course.
        t: Place of the nearest point, ``(n,)`` float32, 0 at the start .. 1 at the end.
        nearest: Index of the nearest of the samples that the line was resampled to, ``(n,)``.
        normal_x: Rightward part of the unit normal that points to positive ``offset``, ``(n,)`` float32.
        normal_y: Downward part of it.
    """

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    offset: FloatMap
    t: FloatMap
    nearest: NDArray[np.intp]
    normal_x: FloatMap
    normal_y: FloatMap


def resample(points: Points, step: float = STEP) -> Points:
    """Return points every ``step`` pixels along the line; at least two."""
    lengths = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    count = max(2, int(lengths[-1] / step) + 1)
    places = np.linspace(0, lengths[-1], count)
    return np.stack([np.interp(places, lengths, points[:, axis]) for axis in (0, 1)], axis=1)


def bent(start: Points, end: Points, bow: float) -> Points:
    """Return a parabola from ``start`` to ``end``, each ``(2,)``, that bulges by ``bow`` times its length."""
    t = np.linspace(0, 1, 33)[:, None]
    across = np.array([start[1] - end[1], end[0] - start[0]])
    return start + (end - start) * t + across * bow * 4 * t * (1 - t)


def jagged(points: Points, rng: np.random.Generator, *, roughness: float, finest: float) -> Points:
    """Let a line wander: midpoints are displaced again and again, each time by a share of the piece's length.

    Args:
        points: The line to start from.
        rng: Where the randomness comes from.
        roughness: Displacement as a share of the piece's length; 0.1 meanders, 0.3 is torn.
        finest: Pieces shorter than this, in pixels, are left alone.

    Returns:
        A line with the same ends.
    """
    while True:
        pieces = np.diff(points, axis=0)
        lengths = np.hypot(pieces[:, 0], pieces[:, 1])
        if lengths.max() < finest or len(points) > 4096:
            return points
        across = np.stack([-pieces[:, 1], pieces[:, 0]], axis=1)
        push = rng.normal(0, roughness / 2, len(pieces)).clip(-roughness, roughness)[:, None]
        middles = (points[:-1] + points[1:]) / 2 + across * push
        roughness *= 0.88  # small pieces of a real crack are straighter than large ones
        merged = np.empty((len(points) + len(middles), 2))
        merged[0::2], merged[1::2] = points, middles
        points = merged


def smoothed(points: Points, passes: int) -> Points:
    """Round the corners of a line (Chaikin's corner cutting); the ends stay."""
    for _ in range(passes):
        early, late = 0.75 * points[:-1] + 0.25 * points[1:], 0.25 * points[:-1] + 0.75 * points[1:]
        inner = np.empty((2 * len(early), 2))
        inner[0::2], inner[1::2] = early, late
        points = np.concatenate([points[:1], inner, points[-1:]])
    return points


def band_around(points: Points, shape: tuple[int, int], radius: float) -> Band:
    """Find the pixels within ``radius`` of a line and where they lie relative to it, to a fraction of a pixel.

    Args:
        points: The line.
        shape: Height and width of the picture; the line may leave it.
        radius: In pixels.

    Returns:
        The band; empty when the line runs outside the picture.
    """
    return bands_around([resample(points)], shape, radius)


def bands_around(lines: Sequence[Points], shape: tuple[int, int], radius: float) -> Band:
    """Do the same for several lines at once: each pixel belongs to the line next to it.

    Args:
        lines: Each as :func:`resample` returns it; ``Band.nearest`` counts through all of their points.
        shape: Height and width of the picture; lines may leave it.
        radius: In pixels.

    Returns:
        The band; ``t`` runs from 0 to 1 along each line.
    """
    canvas = np.zeros(shape, np.uint8)
    traces = [np.round(line[::2] if len(line) > 4 else line).astype(np.int32) for line in lines]
    cv2.polylines(canvas, traces, isClosed=False, color=255, thickness=2 * int(np.ceil(radius)) + 3)
    rows, columns = np.nonzero(canvas)
    dense = np.concatenate(lines)
    distance, nearest = cKDTree(dense).query(np.stack([columns, rows], axis=1), distance_upper_bound=radius)
    near = np.isfinite(distance)
    rows, columns, nearest = rows[near], columns[near], nearest[near]
    tangent = np.concatenate([_tangents(line) for line in lines])
    place = np.concatenate([np.linspace(0, 1, len(line), dtype=np.float32) for line in lines])
    tx, ty = tangent[nearest, 0], tangent[nearest, 1]
    dx, dy = columns - dense[nearest, 0], rows - dense[nearest, 1]
    side = tx * dy - ty * dx
    # The nearest point of the line lies up to half a step from the nearest sample.
    beside = np.clip(tx * dx + ty * dy, -STEP / 2, STEP / 2)
    offset = np.where(side < 0, -1.0, 1.0) * np.sqrt(np.maximum(distance[near] ** 2 - beside**2, 0))
    return Band(
        rows=rows,
        columns=columns,
        offset=offset.astype(np.float32),
        t=place[nearest],
        nearest=nearest,
        normal_x=(-ty).astype(np.float32),
        normal_y=tx.astype(np.float32),
    )


def _tangents(dense: Points) -> Points:
    """Return unit vectors along a resampled line, over a few points: they do not jump with every jag."""
    along = np.gradient(dense, axis=0) if len(dense) < 8 else dense[_clipped(3, dense)] - dense[_clipped(-3, dense)]
    return np.asarray(along / np.maximum(np.hypot(along[:, 0], along[:, 1]), 1e-9)[:, None])


def _clipped(shift: int, points: Points) -> NDArray[np.intp]:
    return np.clip(np.arange(len(points)) + shift, 0, len(points) - 1)
