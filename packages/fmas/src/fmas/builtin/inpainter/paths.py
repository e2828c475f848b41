"""Courses through a region: where a scratch, a crack or a fibre may run without leaving it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from skimage.graph import route_through_array

from fmas.builtin.inpainter.strokes import Points, bent, resample, smoothed
from fmas.builtin.inpainter.surface import Surface

__all__ = ["backbone", "random_place", "stays_inside"]


def random_place(surface: Surface, rng: np.random.Generator, *, deep: float) -> Points:
    """Pick a pixel of the region that is at least ``deep`` (0..1) times as far from its border as can be.

    Returns:
        ``(2,)`` float64, x and y.
    """
    least = max(deep * surface.reach, 1e-3)
    height, width = surface.shape
    # A few shots into the dark find one in nearly every region, at no cost.
    spots = rng.integers(0, height * width, 24)
    hits = np.flatnonzero((surface.room.ravel()[spots] >= least) & surface.region.ravel()[spots])
    if hits.size:
        index = int(spots[hits[0]])
    else:
        inside = np.flatnonzero((surface.room >= least) & surface.region)
        if not inside.size:  # the deepest place lies on open ground beside the region
            inside = np.flatnonzero(surface.region)
        index = int(inside[rng.integers(inside.size)])
    row, column = divmod(index, width)
    return np.array([column, row], dtype=np.float64)


def backbone(
    surface: Surface,
    rng: np.random.Generator,
    *,
    bow: float = 0.12,
    span: tuple[float, float] = (0.6, 1.0),
    heading: float | None = None,
    hold: float = 0.0,
) -> Points:
    """Find a course through the region in any direction: a gentle arc, or around corners where it must.

    Args:
        surface: Holds the region.
        rng: Where the randomness comes from.
        bow: The largest bulge of the arc, as a share of its length.
        span: Least and most share of the room in its direction that the course takes.
        heading: Its direction in radians (x towards y), or any.
        hold: How probable it is that the course clings to the border of its room instead of lying anywhere in it.

    Returns:
        ``(N, 2)`` points inside the region (for one without any bend, the whole course; at worst, nearly all of it).
    """
    best, best_score = None, 0.0
    clings, far_end = rng.random() < hold, float(rng.integers(2))
    share, bulge = rng.uniform(*span), rng.uniform(-bow, bow)
    for _ in range(5):
        place = random_place(surface, rng, deep=0.3)
        angle = rng.uniform(0, 2 * np.pi) if heading is None else heading + rng.normal(0, 0.05)
        shift, luck = rng.uniform(0, 1), rng.uniform(0.55, 1)
        ends = _chord(surface, place, np.array([np.cos(angle), np.sin(angle)]), share, far_end if clings else shift)
        # The factor keeps directions different from seed to seed: the longest alone is always the same diagonal.
        score = float(np.hypot(*(ends[1] - ends[0]))) * luck
        if score > best_score:
            best, best_score = ends, score
    if best is None or best_score < 0.15 * 2 * max(surface.frame.long, surface.frame.short):
        return _around_corners(surface, rng)
    for arc in (bulge, 0.5 * bulge, 0.2 * bulge):
        course = bent(best[0], best[1], arc)
        if stays_inside(surface, course).all():
            return course
    return bent(best[0], best[1], 0.0)


def _chord(surface: Surface, place: Points, towards: Points, share: float, shift: float) -> Points:
    """Return both ends, ``(2, 2)``, of a piece of the straight line through a place that stays in the region."""
    far = int(np.hypot(*surface.shape)) + 1
    steps = np.arange(-far, far + 1)
    keep = min(0.5 + 0.06 * surface.reach, 0.5 * surface.reach)
    free = stays_inside(surface, place + steps[:, None] * towards, keep)
    blocked = np.flatnonzero(~free)
    first = steps[blocked[blocked < far].max(initial=-1) + 1]
    last = steps[blocked[blocked > far].min(initial=2 * far + 1) - 1]
    length = max(0.0, float(last - first))
    start = first + shift * (1 - share) * length
    return np.stack([place + start * towards, place + (start + share * length) * towards])


def stays_inside(surface: Surface, course: Points, keep: float = 0.0) -> NDArray[np.bool_]:
    """Say of each point of a course, ``(N,)``, whether it lies in the region, more than ``keep`` pixels deep."""
    height, width = surface.shape
    x, y = np.round(course[:, 0]).astype(int), np.round(course[:, 1]).astype(int)
    framed = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return np.asarray(framed & (surface.room[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)] > keep))


def _around_corners(surface: Surface, rng: np.random.Generator) -> Points:
    """Return the easiest way between two far places of a region no straight line gets through."""
    step = max(1, max(surface.shape) // 64)
    room = surface.room[::step, ::step]
    if not (room > 0).any():
        step, room = 1, surface.room
    inside = np.flatnonzero(room > 0)
    along = (inside % room.shape[1] * surface.frame.ux + inside // room.shape[1] * surface.frame.uy).round(6)
    order = inside[np.argsort(along, kind="stable")]
    margin = max(1, order.size // 8)
    start, end = order[rng.integers(margin)], order[-1 - rng.integers(margin)]
    # Dear near the border and, at random, anywhere: so that the way is neither cut nor always the same.
    cost = np.where(room > 0, rng.uniform(0.5, 1.5, room.shape) + 2 * surface.reach / (room + 0.5), 1e4)
    ends = divmod(int(start), room.shape[1]), divmod(int(end), room.shape[1])
    route, _ = route_through_array(cost, *ends)  # type: ignore[no-untyped-call]
    points = np.array(route, dtype=np.float64)[:, ::-1] * step
    if len(points) < 2:
        return np.asarray(np.repeat(points, 2, axis=0) + np.array([[-0.5, -0.5], [0.5, 0.5]]), dtype=np.float64)
    return smoothed(resample(points, max(2.0, 3.0 * step)), 2)
