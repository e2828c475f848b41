"""What the pixels of a pair must show, as functions of arrays alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fmas.types import BoolMask, RGBImage
from fmas.validate.rules import Rule
from fmas.validate.wording import counted

__all__ = ["Objection", "broken_control_rules", "broken_pixel_rules"]

Objection: TypeAlias = tuple[Rule, str]
"""A broken rule, and what was expected and found."""

_LEAST_CHANGED_SHARE = 0.9
_LEAST_LARGEST_CHANGE = 8
_CLIPPED_ANYWAY = 0.98


def broken_pixel_rules(normal: RGBImage, synthetic: RGBImage, mask: BoolMask, *, high: int) -> Iterator[Objection]:
    """Yield every rule about changed and unchanged pixels that a pair breaks.

    Args:
        normal: The twin, ``(H, W, 3)`` uint8.
        synthetic: The image with the defect, same shape.
        mask: ``(H, W)`` bool, not empty.
        high: Grey levels that every 8-connected component of ``mask`` must reach.

    Yields:
        Rule and message.
    """
    change = _largest_channel_change(normal, synthetic)
    outside = (change > 0) & ~mask
    if outside.any():
        row, column = np.unravel_index(int(outside.argmax()), outside.shape)
        number = int(np.count_nonzero(outside))
        yield (
            Rule.UNTOUCHED,
            f"expected the twin's pixels outside the mask, got others: {counted(number, 'pixel')} outside the mask "
            f"{'differs' if number == 1 else 'differ'}, the first at row {row}, column {column}",
        )
    inside = change[mask]
    share = np.count_nonzero(inside) / inside.size
    if share < _LEAST_CHANGED_SHARE:
        yield (
            Rule.CHANGED_SHARE,
            f"expected at least {_LEAST_CHANGED_SHARE:.0%} of the mask's pixels to differ from the twin, "
            f"got {share:.1%}",
        )
    if inside.max() < _LEAST_LARGEST_CHANGE:
        yield (
            Rule.LARGEST_CHANGE,
            f"expected a change of at least {_LEAST_LARGEST_CHANGE} grey levels, got {inside.max()} at most",
        )
    weak = _components_below(change, mask, high)
    if weak:
        yield (
            Rule.COMPONENT_PEAK,
            f"expected every connected part of the mask to reach the high_threshold of {high} grey levels, "
            f"got {weak} that do not",
        )
    if _clipped_share(synthetic[mask]) == 1.0 and _clipped_share(normal[mask]) < _CLIPPED_ANYWAY:
        yield Rule.SATURATED, "expected a painted defect, got nothing but pure black or white"


def broken_control_rules(
    normal: RGBImage, control: RGBImage, region_box: Sequence[int], mask_area: int
) -> Iterator[Objection]:
    """Yield what is wrong with the pixels of a negative control.

    Args:
        normal: The twin, ``(H, W, 3)`` uint8.
        control: The same painted intact somewhere.
        region_box: Where: left, top, right, bottom, the last two exclusive.
        mask_area: How many pixels may differ there.

    Yields:
        Rule and message.
    """
    if normal.shape != control.shape:
        shown = " and ".join(f"{image.shape[1]} x {image.shape[0]}" for image in (control, normal))
        yield Rule.SIZE, f"expected a control of its twin's size, got {shown}"
        return
    changed = _largest_channel_change(normal, control) > 0
    left, top, right, bottom = region_box
    number, inside = int(np.count_nonzero(changed)), int(np.count_nonzero(changed[top:bottom, left:right]))
    if number != inside or not 0 < number <= mask_area:
        yield (
            Rule.CONTROL,
            f"expected 1 to {mask_area} pixels that differ from the twin, all in the region {list(region_box)}, got "
            f"{number}, {number - inside} of them outside",
        )


def _largest_channel_change(one: RGBImage, other: RGBImage) -> NDArray[np.uint8]:
    """Return the largest difference over the channels, ``(H, W)`` uint8, without a wider copy of the image."""
    difference = np.maximum(one, other) - np.minimum(one, other)
    largest: NDArray[np.uint8] = np.maximum(np.maximum(difference[:, :, 0], difference[:, :, 1]), difference[:, :, 2])
    return largest


def _components_below(change: NDArray[np.uint8], mask: BoolMask, high: int) -> int:
    """Return how many 8-connected components of the mask stay below ``high`` everywhere."""
    labels, count = ndimage.label(mask, structure=np.ones((3, 3), dtype=np.bool_))
    peaks = ndimage.maximum(change, labels, index=np.arange(1, count + 1))
    return int(np.count_nonzero(np.asarray(peaks) < high))


def _clipped_share(pixels: NDArray[np.uint8]) -> float:
    """Return the share of ``(N, 3)`` pixels that are pure black or pure white."""
    lowest, highest = pixels.min(axis=1), pixels.max(axis=1)
    return float(np.mean((highest == 0) | (lowest == 255)))
