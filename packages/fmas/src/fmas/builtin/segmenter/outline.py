"""From distances to a part's mask: threshold, shadow, outline, specks and holes."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from fmas.builtin.segmenter.background import Background, FloatArray
from fmas.types import BoolMask

__all__ = ["part_mask", "rim_of"]

_DISTINCT = 4.5  # spreads; what is nearer to the background belongs to it
_SHADOW_KEEPS = 0.35  # of the light, at least
_SHARP = 0.8  # times the steepness of the part's own outline; what is less steep is the rim of a shadow
_HOLE_PIXELS = 12  # fewer are no hole
_HOLE_SHARP = 0.5  # times the step at the part's outline, at least


def part_mask(calm: NDArray[np.uint8], background: Background, *, min_area: float) -> tuple[BoolMask, BoolMask]:
    """Return what stands out from ``background`` and is no shadow, and the shadow; both may be empty."""
    distance = background.distance
    standing_out = _standing_out(distance)
    lit = _without_shadow(standing_out, calm, background)
    shadow = standing_out & ~lit
    ground = np.where(shadow, np.float32(0), distance)
    mask = _clean(_tighten(lit, ground), ground, min_area=min_area)
    return mask, shadow & ~mask


def _round(size: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)), np.uint8)


def _square(size: int) -> NDArray[np.uint8]:
    return np.ones((size, size), np.uint8)


def _standing_out(distance: FloatArray) -> BoolMask:
    """Return the pixels that stand out, by Otsu's threshold with hysteresis."""
    ceiling = max(float(np.percentile(distance.ravel()[::7], 99.5)), 1.0)
    levels = cv2.convertScaleAbs(distance, alpha=255 / ceiling)
    otsu = cv2.threshold(levels, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)[0] * ceiling / 255
    high = max(min(otsu, 15.0), _DISTINCT)
    count, labels = cv2.connectedComponents((distance > 0.8 * _DISTINCT).astype(np.uint8), connectivity=8)
    strong = np.zeros(count, dtype=bool)
    strong[labels[distance > high]] = True
    strong[0] = False
    return np.asarray(strong[labels], dtype=bool)


def _without_shadow(mask: BoolMask, calm: NDArray[np.uint8], background: Background) -> BoolMask:
    """Take away what is darker ground with a soft rim beside something that is not.

    A shadow keeps the ground's hue and some of its light. Where the part ends and its shadow begins, the picture has an
    edge: watershed from the ground and from the body of the part finds it.
    """
    body = _body(mask, background)
    if body is None:
        return mask
    total = np.count_nonzero(mask)
    core = cv2.morphologyEx(body.astype(np.uint8), cv2.MORPH_OPEN, _round(3))
    if cv2.countNonZero(core) < 0.1 * total:
        return mask
    markers = np.zeros(mask.shape, np.int32)
    markers[cv2.dilate(mask.astype(np.uint8), _round(3)) == 0] = 1
    markers[cv2.erode(core, _round(3), borderValue=1) > 0] = 2
    if not (markers == 2).any():
        return mask
    cv2.watershed(_edges(calm), markers)
    ground = cv2.dilate((markers == 1).astype(np.uint8), _square(3)) > 0
    gone = cv2.morphologyEx((mask & ground & (markers != 2)).astype(np.uint8), cv2.MORPH_OPEN, _square(3)) > 0
    return mask & ~_soft(gone, mask, background.distance)


def _body(mask: BoolMask, background: Background) -> BoolMask | None:
    """Return what of ``mask`` is surely no shadow, or ``None`` when there is nothing like a shadow in it."""
    pixels = np.flatnonzero(mask)
    residual, ground = background.residual.reshape(-1, 3)[pixels], background.colour.reshape(-1, 3)[pixels]
    fall = residual[:, 0] / np.maximum(ground[:, 0], 1.0)
    hue = residual[:, 1:] - fall[:, None] * ground[:, 1:]
    shade = (
        (fall < 0)
        & (fall > _SHADOW_KEEPS - 1)
        & (np.einsum("ij,ij->i", hue, hue) < (4.0 + 0.5 * background.spread) ** 2)
    )
    if np.count_nonzero(shade) < 0.01 * pixels.size:
        return None
    solid = ~shade
    if np.count_nonzero(solid) < 0.15 * pixels.size:
        # All of it is dark and colourless: the darker half of it may be the part.
        depth = cv2.convertScaleAbs(np.minimum(residual[:, 0], 0), alpha=2.55).ravel()
        solid = depth > cv2.threshold(depth, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)[0]
    body = np.zeros(mask.size, dtype=bool)
    body[pixels[solid]] = True
    return body.reshape(mask.shape)


def _edges(calm: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return how steep the picture is, ``(h, w, 3)`` as watershed wants it; the weak edges spread over more levels."""
    red, green, blue = cv2.split(cv2.morphologyEx(calm, cv2.MORPH_GRADIENT, _square(3)))
    steep = cv2.max(cv2.max(red, green), blue)
    return np.asarray(cv2.cvtColor(cv2.convertScaleAbs(steep, alpha=2.0), cv2.COLOR_GRAY2BGR), np.uint8)


def rim_of(mask: BoolMask) -> BoolMask:
    """Return the pixels of ``mask`` beside a pixel outside it; the picture's frame is no rim."""
    return np.asarray(mask & (cv2.erode(mask.astype(np.uint8), _square(3), borderValue=1) == 0), dtype=bool)


def _soft(gone: BoolMask, mask: BoolMask, distance: FloatArray) -> BoolMask:
    """Return the regions of ``gone`` whose rim towards the ground is soft."""
    count, labels = cv2.connectedComponents(gone.astype(np.uint8), connectivity=8)
    rim = gone & rim_of(mask)
    near, far = _step(distance, 5), _step(distance, 15)
    steepness = near / np.maximum(far, 1e-3)
    outline = rim_of(mask) & (cv2.dilate(gone.astype(np.uint8), _square(9)) == 0)
    sharp = _SHARP * (float(np.median(steepness[outline])) if outline.any() else 1.0)
    length = np.bincount(labels[rim], minlength=count)
    soft = np.bincount(labels[rim], weights=steepness[rim], minlength=count) < sharp * np.maximum(length, 1)
    soft[0] = False
    return np.asarray(soft[labels], dtype=bool)


def _step(distance: FloatArray, size: int) -> FloatArray:
    """Return how much ``distance`` rises within ``size`` pixels around each pixel."""
    return np.asarray(cv2.morphologyEx(distance, cv2.MORPH_GRADIENT, _square(size)), np.float32)


def _tighten(candidates: BoolMask, distance: FloatArray) -> BoolMask:
    """Move the outline to where the distance has risen half way; the blur and the low threshold put it outside."""
    core = cv2.erode(candidates.astype(np.uint8), _round(9), borderValue=1) > 0
    return np.asarray(candidates & (core | (distance >= 0.5 * cv2.dilate(distance, _round(9)))))


def _clean(candidates: BoolMask, distance: FloatArray, *, min_area: float) -> BoolMask:
    """Drop specks and parts much smaller than the largest, fill what is no hole."""
    opened = cv2.morphologyEx(candidates.astype(np.uint8), cv2.MORPH_OPEN, _round(3))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(opened, connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA].astype(np.float64)
    areas[0] = 0
    keep = areas >= max(min_area * candidates.size, 0.1 * float(areas.max()), 1.0)
    keep[0] = False
    mask: BoolMask = keep[labels]
    return mask | _no_holes(mask, distance) if mask.any() else mask


def _no_holes(mask: BoolMask, distance: FloatArray) -> BoolMask:
    """Return the enclosed places that are no holes: specks, markings, and highlights that fade into the ground.

    A hole shows the ground, and ends as sharply as the part itself.
    """
    _, labels, stats, _ = cv2.connectedComponentsWithStats((~mask).astype(np.uint8), connectivity=4)
    height, width = mask.shape
    left, top, wide, high, area = stats.T
    inside = (left > 0) & (top > 0) & (left + wide < width) & (top + high < height)
    inside[0] = False
    fill = inside & (area < _HOLE_PIXELS)
    doubtful = np.flatnonzero(inside & ~fill)
    if doubtful.size:
        step, rim = _step(distance, 5), rim_of(mask)
        usual = float(np.median(step[rim]))
        for label in doubtful:
            x, y, x_end, y_end = left[label], top[label], left[label] + wide[label], top[label] + high[label]
            here = labels[y:y_end, x:x_end] == label
            around = np.s_[y - 1 : y_end + 1, x - 1 : x_end + 1]
            beside = cv2.dilate(np.pad(here, 1).astype(np.uint8), _square(3)) > 0
            sharp = np.median(step[around][beside & rim[around]]) > _HOLE_SHARP * usual
            fill[label] = not sharp or np.percentile(distance[y:y_end, x:x_end][here], 35) > 2.0
    return np.asarray(fill[labels], dtype=bool)
