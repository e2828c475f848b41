"""The truthful mask: computed from what really changed, never copied from the region.

1. The noise floor is what the backend changes *outside* the region by itself, at least 4 grey levels.
2. Hysteresis inside the region: pixels over the floor that hang together with one over the high threshold.
3. Clean-up: close gaps of a pixel, fill what changed a little inside, drop specks.
4. The composite takes the cleaned mask's pixels from the backend and everything else from the photograph.
5. It is accepted when at least 90 % of the mask's pixels changed and the largest change is visible.

A texture that the backend painted anew counts as changed: this measures difference, not meaning.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fmas.config import RefineConfig
from fmas.samples import RejectReason
from fmas.types import BoolMask, RGBImage

__all__ = ["Refined", "blank_paint", "grey_level_change", "refine"]

_EIGHT_CONNECTED = np.ones((3, 3), dtype=np.bool_)
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
    return np.asarray(cv2.absdiff(np.ascontiguousarray(before), np.ascontiguousarray(after)).max(axis=2))


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
    if np.mean(grey_level_change(original, composite)[mask] >= 1) < config.min_changed:
        return RejectReason.UNTRUE_MASK
    if _clipped(composite[mask]) >= _CLIPPED_SHARE > _clipped(original[mask]):
        return RejectReason.SATURATED
    if np.mean(foreground[mask]) < _LEAST_ON_OBJECT:
        return RejectReason.OFF_OBJECT
    return None


def _noise_floor(change: NDArray[np.uint8], region: BoolMask, config: RefineConfig) -> int:
    """Return what the backend changes by itself, in grey levels."""
    outside = change[~region]
    if outside.size == 0:
        return config.min_noise_floor
    return max(int(np.ceil(np.percentile(outside, _FLOOR_PERCENTILE))), config.min_noise_floor)


def _changed_area(
    change: NDArray[np.uint8], region: BoolMask, *, floor: int, high: int, min_area: int
) -> BoolMask | None:
    """Return the cleaned mask, empty if only specks are left, ``None`` if nothing reaches the high threshold."""
    low_mask = region & (change > floor)
    seeds = low_mask & (change >= high)
    if not seeds.any():
        return None
    labels, _ = ndimage.label(low_mask, structure=_EIGHT_CONNECTED)
    kept = np.isin(labels, np.unique(labels[seeds]))
    # A solid mask is the better teacher. What closing takes in without a change is held against the candidate later.
    kept |= ndimage.binary_closing(np.pad(kept, 1), structure=_EIGHT_CONNECTED)[1:-1, 1:-1] & region
    kept |= ndimage.binary_fill_holes(kept) & region & (change >= 1)
    labels, _ = ndimage.label(kept, structure=_EIGHT_CONNECTED)
    areas = np.bincount(labels.ravel())
    lasting = areas >= min_area
    reaches_high = np.zeros_like(lasting)
    reaches_high[np.unique(labels[kept & (change >= high)])] = True
    lasting &= reaches_high
    lasting[0] = False
    return np.asarray(lasting[labels])


def _clipped(pixels: NDArray[np.uint8]) -> float:
    """Return the share of ``(N, 3)`` pixels of which every channel is 0, or every channel 255."""
    return float(np.mean(np.all(pixels == 0, axis=1) | np.all(pixels == 255, axis=1)))
