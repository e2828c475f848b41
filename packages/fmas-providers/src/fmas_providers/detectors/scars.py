"""CutPaste scars: a thin, turned, slightly re-coloured strip of a photograph, pasted somewhere else in it.

C.-L. Li et al., "CutPaste", CVPR 2021, section 3.3 and appendix, written from the paper. Its lengths are pixels of a
256 x 256 picture; here they grow and shrink with the photograph. Numpy and OpenCV alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fmas.errors import ImageError
from fmas.types import BoolMask

__all__ = ["LEAST_SIDE", "cutpaste_scar"]

LEAST_SIDE = 16
"""The shortest side, in pixels, of a photograph that can get a scar."""

_REFERENCE_SIDE = 256
_ACROSS = (2.0, 16.0)
_ALONG = (10.0, 25.0)
_TURN = 45.0
_JITTER = 0.1
_ATTEMPTS = 12
_MOSTLY = 0.75
"""A scar is good if that part of its strip lies where it may and differs from what was there."""

Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class _Scar:
    """One strip at one place; ``paint`` and ``mask`` have the window's size."""

    window: tuple[slice, slice]
    paint: Picture
    mask: BoolMask
    quality: float


def cutpaste_scar(
    photograph: Picture, rng: np.random.Generator, foreground: BoolMask | None = None
) -> tuple[Picture, BoolMask]:
    """Return a photograph with a scar.

    The strip is 2 to 16 pixels wide and 10 to 25 long in a picture of 256 x 256, turned by -45 to 45 degrees; its
    brightness, contrast, saturation and hue change by up to 0.1. A grey photograph stays grey. The same photograph,
    foreground and state of ``rng`` give the same scar.

    Args:
        photograph: ``(H, W, 3)`` or ``(H, W)`` uint8, each side at least 16 pixels; not written to.
        rng: The only source of chance.
        foreground: ``(H, W)`` bool, ``True`` on the product. The scar then changes pixels of the foreground only, and
            the middle of the strip is cut from there as well. ``None`` allows all of the picture, as in the paper.

    Returns:
        The picture, of the photograph's shape, and ``(H, W)`` bool: the pasted pixels, never empty. Where a surface is
        flat, some of them may look as before.

    Raises:
        ImageError: If the photograph is too small or no uint8 picture, or the foreground is empty or of another size.
    """
    _check(photograph, foreground)
    allowed = None if foreground is None else np.flatnonzero(foreground)
    best = _scar(photograph, rng, foreground, allowed)
    for _ in range(_ATTEMPTS - 1):
        if best.quality >= _MOSTLY:
            break
        best = max(best, _scar(photograph, rng, foreground, allowed), key=lambda scar: scar.quality)
    scarred, mask = photograph.copy(), np.zeros(photograph.shape[:2], np.bool_)
    scarred[best.window][best.mask] = best.paint[best.mask]
    mask[best.window] = best.mask
    return scarred, mask


def _check(photograph: Picture, foreground: BoolMask | None) -> None:
    channels = photograph.shape[2:]
    if photograph.dtype != np.uint8 or photograph.ndim not in (2, 3) or channels not in ((), (3,)):
        raise ImageError(
            f"expected a photograph (H, W, 3) or (H, W) of uint8, got {photograph.shape} of {photograph.dtype}; "
            "convert it to 8-bit RGB"
        )
    if min(photograph.shape[:2]) < LEAST_SIDE:
        raise ImageError(
            f"expected a photograph of at least {LEAST_SIDE} x {LEAST_SIDE} pixels for a scar, got "
            f"{photograph.shape[1]} x {photograph.shape[0]}; leave it out"
        )
    if foreground is None:
        return
    if foreground.dtype != np.bool_ or foreground.shape != photograph.shape[:2]:
        raise ImageError(
            f"expected a foreground {photograph.shape[:2]} of bool, got {foreground.shape} of {foreground.dtype}; "
            "pass the segmenter's mask of this photograph"
        )
    if not foreground.any():
        raise ImageError("expected a foreground with at least one pixel, got none; pass None to allow all of it")


def _scar(
    photograph: Picture, rng: np.random.Generator, foreground: BoolMask | None, allowed: NDArray[np.intp] | None
) -> _Scar:
    """Cut a strip, change its colours, turn it and lay it somewhere; ``allowed`` are the foreground's flat indices."""
    height, width = photograph.shape[:2]
    scale = np.sqrt(height * width) / _REFERENCE_SIDE
    across = int(np.clip(round(rng.uniform(*_ACROSS) * scale), 2, width))
    along = int(np.clip(round(rng.uniform(*_ALONG) * scale), 3, height))
    top, left = _corner((height, width), (along, across), rng, allowed)
    # Near the picture's border the strip moves inwards: every pixel of it comes from the photograph.
    top, left = int(np.clip(top, 0, height - along)), int(np.clip(left, 0, width - across))
    strip = _jittered(photograph[top : top + along, left : left + across], rng)
    paint, opaque = _turned(strip, rng.uniform(-_TURN, _TURN))

    top, left = _corner((height, width), opaque.shape, rng, allowed)
    rows = slice(max(top, 0), min(top + opaque.shape[0], height))
    columns = slice(max(left, 0), min(left + opaque.shape[1], width))
    inside = np.s_[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    paint, mask = paint[inside], opaque[inside]
    if foreground is not None:
        mask = mask & foreground[rows, columns]
    changed = paint != photograph[rows, columns]
    seen = mask & (changed.any(axis=2) if changed.ndim == 3 else changed)
    return _Scar((rows, columns), paint, mask, np.count_nonzero(seen) / np.count_nonzero(opaque))


def _corner(
    size: tuple[int, int], patch: tuple[int, ...], rng: np.random.Generator, allowed: NDArray[np.intp] | None
) -> tuple[int, int]:
    """Return the top left corner of a place for ``patch``: whole in the picture, or its middle on an allowed pixel."""
    if allowed is None:
        # A turned strip may be larger than a narrow photograph; it is then cut off at the far side.
        free = (max(size[0] - patch[0], 0), max(size[1] - patch[1], 0))
        return int(rng.integers(free[0] + 1)), int(rng.integers(free[1] + 1))
    row, column = divmod(int(rng.choice(allowed)), size[1])
    return row - (patch[0] - 1) // 2, column - (patch[1] - 1) // 2


def _jittered(strip: Picture, rng: np.random.Generator) -> Picture:
    """Change brightness, contrast, saturation and hue by up to a tenth; the last two mean nothing for a grey strip."""
    brightness, contrast, saturation = (np.float32(factor) for factor in rng.uniform(1 - _JITTER, 1 + _JITTER, 3))
    turn = 360 * rng.uniform(-_JITTER, _JITTER)
    level = strip.astype(np.float32) * brightness
    middle = level.mean()
    level = np.clip(middle + (level - middle) * contrast, 0, 255)
    if strip.ndim == 3 and np.ptp(strip, axis=2).any():
        grey = level.mean(axis=2, keepdims=True)
        level = np.clip(grey + (level - grey) * saturation, 0, 255)
        hsv = np.asarray(cv2.cvtColor(np.ascontiguousarray(level / np.float32(255)), cv2.COLOR_RGB2HSV), np.float32)
        hsv[..., 0] = (hsv[..., 0] + turn) % 360
        level = 255 * np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.float32)
    return np.asarray(np.clip(np.rint(level), 0, 255), np.uint8)


def _turned(strip: Picture, angle: float) -> tuple[Picture, BoolMask]:
    """Turn a strip about its middle, whole; return it and which pixels of the new, larger picture belong to it."""
    height, width = strip.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1.0)
    cosine, sine = abs(matrix[0, 0]), abs(matrix[0, 1])
    size = (int(np.ceil(height * sine + width * cosine)), int(np.ceil(height * cosine + width * sine)))
    matrix[:, 2] += ((size[0] - width) / 2, (size[1] - height) / 2)
    # Continued at its border, so that no black from outside is mixed into the strip's own border.
    paint = cv2.warpAffine(strip, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    solid = np.full((height, width), 255, np.uint8)
    return np.asarray(paint, np.uint8), np.asarray(cv2.warpAffine(solid, matrix, size, flags=cv2.INTER_LINEAR) > 127)
