"""The truthful mask: computed from what really changed, never copied from the region.

1. The noise floor is what the backend changes *outside* the region by itself, at least 4 grey levels.
2. Hysteresis inside the region: pixels over the floor that hang together with one over the high threshold.
3. Clean-up: close gaps of a pixel, fill what changed a little inside, drop specks.
4. The composite takes the cleaned mask's pixels from the backend and everything else from the photograph.
5. It is accepted when at least 90 % of the mask's pixels changed and the largest change is visible.

A texture that the backend painted anew counts as changed: this measures difference, not meaning.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fmas.config import RefineConfig
from fmas.samples import RejectReason
from fmas.types import BoolMask, RGBImage

__all__ = ["Refined", "blank_paint", "grey_level_change", "refine"]

_NEIGHBOURS = np.ones((3, 3), dtype=np.uint8)
_FLOOR_PERCENTILE = 99.0
_LEAST_ON_OBJECT = 0.1
_ALMOST_BLACK = 2
_CLEARLY_LIT = 8
_CLIPPED_SHARE = 0.98


@dataclass(frozen=True, slots=True, eq=False)
class Refined:
    """An accepted composite.

    Attributes:
        image: ``(H, W, 3)`` uint8: the photograph with the mask's pixels replaced.
        mask: ``(H, W)`` bool, not empty.
        noise_floor: Grey levels.
        high: Grey levels; every 8-connected component of ``mask`` reaches it somewhere.
    """

    image: RGBImage
    mask: BoolMask
    noise_floor: int
    high: int


def grey_level_change(before: RGBImage, after: RGBImage) -> NDArray[np.uint8]:
    """Return the largest change over the channels, ``(H, W)`` uint8, 0..255 grey levels."""
    red, green, blue = cv2.split(cv2.absdiff(np.ascontiguousarray(before), np.ascontiguousarray(after)))
    return np.asarray(cv2.max(cv2.max(red, green), blue), dtype=np.uint8)


def refine(
    original: RGBImage, raw: RGBImage, region: BoolMask, foreground: BoolMask, config: RefineConfig
) -> Refined | RejectReason:
    """Turn a backend's raw output into a composite with a truthful mask, or say why it is rejected.

    Args:
        original: The crop of the photograph, ``(H, W, 3)`` uint8.
        raw: The backend's output for it, same shape; may differ anywhere.
        region: ``(H, W)`` bool; the only place where a defect may be.
        foreground: ``(H, W)`` bool.
        config: Thresholds.

    Returns:
        The composite, or the reason for the rejection.
    """
    if raw.max() <= _ALMOST_BLACK and original.mean() > _CLEARLY_LIT:
        return RejectReason.BLACK
    change = grey_level_change(original, raw)
    floor = _noise_floor(change, region, config)
    high = max(2 * floor, config.min_peak)
    mask = _changed_area(change, region, floor=floor, high=high, min_area=config.min_area)
    if mask is None:
        return RejectReason.UNCHANGED
    if not mask.any():
        return RejectReason.TOO_SMALL
    composite = original.copy()
    composite[mask] = raw[mask]
    for array in (composite, mask):
        array.flags.writeable = False  # a selector that works in place must fail, not corrupt what is written
    reason = _objection(original, composite, mask, foreground, config)
    return reason if reason is not None else Refined(composite, mask, floor, high)


def blank_paint(original: RGBImage, raw: RGBImage, region: BoolMask) -> RejectReason | None:
    """Say whether a backend blanked the region out, as safety checkers do; judged before anything is resized.

    Args:
        original: What the backend was given, ``(H, W, 3)`` uint8.
        raw: What it returned, same shape.
        region: ``(H, W)`` bool, not empty.

    Returns:
        ``BLACK`` or ``SATURATED``, or ``None`` if there is something to look at.
    """
    painted, given = raw[region], original[region]
    if painted.max() <= _ALMOST_BLACK and given.mean() > _CLEARLY_LIT:
        return RejectReason.BLACK
    return RejectReason.SATURATED if _clipped(painted) >= _CLIPPED_SHARE > _clipped(given) else None


def _objection(
    original: RGBImage, composite: RGBImage, mask: BoolMask, foreground: BoolMask, config: RefineConfig
) -> RejectReason | None:
    """Return what is wrong with a composite, if anything."""
    before, after = original[mask], composite[mask]
    if (
        np.mean((before[:, 0] != after[:, 0]) | (before[:, 1] != after[:, 1]) | (before[:, 2] != after[:, 2]))
        < config.min_changed
    ):
        return RejectReason.UNTRUE_MASK
    if _clipped(after) >= _CLIPPED_SHARE > _clipped(before):
        return RejectReason.SATURATED
    if np.mean(foreground[mask]) < _LEAST_ON_OBJECT:
        return RejectReason.OFF_OBJECT
    return None


def _noise_floor(change: NDArray[np.uint8], region: BoolMask, config: RefineConfig) -> int:
    """Return what the backend changes by itself, in grey levels."""
    counts = np.bincount(change.ravel(), minlength=256) - np.bincount(change[region], minlength=256)
    outside = int(counts.sum())
    if outside == 0:
        return config.min_noise_floor
    # numpy's percentile, interpolated and rounded up, from the histogram: there are only 256 levels.
    place = _FLOOR_PERCENTILE / 100 * (outside - 1)
    cumulated = np.cumsum(counts)
    low, high = (int(np.searchsorted(cumulated, rank, side="right")) for rank in (int(place), math.ceil(place)))
    return max(math.ceil(low + (place - int(place)) * (high - low)), config.min_noise_floor)


def _changed_area(
    change: NDArray[np.uint8], region: BoolMask, *, floor: int, high: int, min_area: int
) -> BoolMask | None:
    """Return the cleaned mask, empty if only specks are left, ``None`` if nothing reaches the high threshold."""
    mask = np.zeros(change.shape, dtype=np.bool_)
    low_mask = (region & (change > floor)).astype(np.uint8)
    left, top, width, height = cv2.boundingRect(low_mask)
    box = np.s_[top : top + height, left : left + width]  # what changed is mostly much smaller than the crop
    change, region, low_mask = change[box], region[box], low_mask[box]
    strong = change >= high
    seeds = strong & (low_mask > 0)
    if not seeds.any():
        return None
    kept = _holding(low_mask, seeds)
    # A solid mask is the better teacher. What closing takes in without a change is held against the candidate later.
    kept |= (cv2.morphologyEx(np.pad(kept.astype(np.uint8), 1), cv2.MORPH_CLOSE, _NEIGHBOURS)[1:-1, 1:-1] > 0) & region
    kept |= _enclosed(kept) & region & (change >= 1)
    kept = _holding(kept.astype(np.uint8), kept & strong, min_area=min_area)
    mask[box] = kept
    return mask


def _holding(mask: NDArray[np.uint8], seeds: BoolMask, *, min_area: int = 1) -> BoolMask:
    """Return the 8-connected components of ``mask`` that hold a seed and have ``min_area`` pixels."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8, ltype=cv2.CV_32S)
    wanted = np.zeros(len(stats), dtype=np.bool_)
    wanted[labels[seeds]] = True
    wanted &= stats[:, cv2.CC_STAT_AREA] >= min_area
    wanted[0] = False
    return np.asarray(wanted[labels])


def _enclosed(mask: BoolMask) -> BoolMask:
    """Return what of the background cannot be reached from the border, going through pixels' sides."""
    flooded = np.pad(mask.astype(np.uint8), 1)
    cv2.floodFill(flooded, None, (0, 0), (1,), flags=4)
    return np.asarray(flooded[1:-1, 1:-1] == 0)


def _clipped(pixels: NDArray[np.uint8]) -> float:
    """Return the share of ``(N, 3)`` pixels of which every channel is 0, or every channel 255."""
    red, green, blue = pixels.T
    same = (red == green) & (red == blue)
    return float(np.mean(same & ((red == 0) | (red == 255))))
