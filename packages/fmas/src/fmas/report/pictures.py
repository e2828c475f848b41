"""The pictures of a pair as the page carries them: small, compressed, and true where it matters.

The photograph is there once, whole and reduced, and once more where the defect is, at native size if it fits. The
result is the photograph with a patch on it, because outside the mask it *is* the photograph: two pictures compressed
one by one would differ everywhere. The difference is measured on the exact pixels, before anything is compressed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fmas.errors import ImageError
from fmas.images import decode_png
from fmas.report.encoding import fitted, levels_of, levels_png, mask_png, photograph, resample, resized
from fmas.report.rows import PairRow
from fmas.samples import Box
from fmas.types import BoolMask, RGBImage

__all__ = ["CROP_SIDE", "MASK_SIDE", "WHOLE_SIDE", "PairPictures", "pair_pictures", "zoom_box"]

WHOLE_SIDE = 192
"""Longest side of the whole photograph, in pixels; it says where on the part one is."""
CROP_SIDE = 288
"""Longest side of the surroundings of the defect, in pixels; what one judges by."""
MASK_SIDE = 512
"""The same for the mask, which costs little and whose outline is to be exact."""

_WHOLE_QUALITIES, _WHOLE_BYTES = (75, 50, 25), 3_000
_CROP_QUALITIES, _CROP_BYTES = (90, 83, 75, 64), 8_000
_PATCH_QUALITIES, _PATCH_BYTES = (92, 82, 70), 3_500
_PATCH_MARGIN = 4  # hidden pixels around the patch, so that compression does not bleed in


@dataclass(frozen=True, slots=True)
class PairPictures:
    """What the page draws a pair from: files in base64, ``None`` for what cannot be made.

    Attributes:
        whole: The good photograph, reduced; WebP.
        crop: The same around the defect; WebP.
        crop_box: Where that is, in pixels of the photograph.
        patch: The defective image where it differs, transparent elsewhere; WebP.
        patch_box: Where that is: left, top, right, bottom in pixels of the photograph.
        mask: The mask inside ``crop_box``; 1-bit PNG.
        levels: How much each pixel inside ``crop_box`` changed, as :func:`~fmas.report.encoding.levels_of` codes it.
        peak: Largest change of a channel of a pixel, in grey levels.
        problems: Which file could not be shown or breaks a promise, and how.
    """

    whole: str | None
    crop: str | None
    crop_box: Box
    patch: str | None
    patch_box: tuple[float, float, float, float]
    mask: str | None
    levels: str | None
    peak: int
    problems: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """Return what the page's script reads."""
        return {
            "whole": self.whole,
            "crop": self.crop,
            "box": [self.crop_box.left, self.crop_box.top, self.crop_box.right, self.crop_box.bottom],
            "patch": self.patch,
            "patchBox": list(self.patch_box),
            "mask": self.mask,
            "levels": self.levels,
            "peak": self.peak,
            "problems": list(self.problems),
        }


def pair_pictures(dataset: Path, row: PairRow, *, max_pixels: int) -> PairPictures:
    """Read a pair's three files and make what the page shows of them.

    Args:
        dataset: The category's folder.
        row: The pair.
        max_pixels: Larger files are not decoded.

    Returns:
        The pictures; what cannot be read is ``None`` there and a line in ``problems``.
    """
    problems: list[str] = []

    def read(name: str, mode: Literal["RGB", "L"]) -> NDArray[np.uint8] | None:
        try:
            return _read(dataset, name, mode, size=(row.width, row.height), max_pixels=max_pixels)
        except ImageError as error:
            problems.append(str(error))
            return None

    normal = read(row.normal_file_name, "RGB")
    result = read(row.file_name, "RGB")
    grey = read(row.mask_file_name, "L")
    mask: BoolMask | None = None if grey is None else grey > 0
    change = None if normal is None or result is None else _change(normal, result)
    if change is not None and mask is not None and (outside := int(np.count_nonzero(change[~mask]))):
        problems.append(f"{row.file_name}: {outside:,} pixels outside the mask differ from the photograph")
    everything = Box(0, 0, row.width, row.height)
    focus = _bounds(mask) or (None if change is None else _bounds(change > 0)) or row.focus
    box = zoom_box(focus, everything)
    crop_size = fitted(box.width, box.height, CROP_SIDE)
    patch, patch_box = (None, _edges(box)) if result is None else _patch(result, mask, change, box, crop_size)
    peak = 0 if change is None else int(change.max())
    return PairPictures(
        whole=None if normal is None else _whole(normal),
        crop=None
        if normal is None
        else photograph(resized(normal[box.slices], crop_size), qualities=_CROP_QUALITIES, most_bytes=_CROP_BYTES),
        crop_box=box,
        patch=patch,
        patch_box=patch_box,
        mask=None if mask is None else _mask(mask, box),
        levels=None if change is None else levels_png(_at(levels_of(change[box.slices], peak), crop_size)),
        peak=peak,
        problems=tuple(problems),
    )


def zoom_box(focus: Box, everything: Box, *, margin: float = 0.7, least: int = 96) -> Box:
    """Return the surroundings of ``focus``: a square where the photograph allows it.

    Args:
        focus: What is to be seen, inside ``everything``.
        everything: The photograph.
        margin: Border around the focus, as a fraction of its longer side, both borders together.
        least: Least side in pixels.
    """
    side = max(least, round((1 + margin) * max(focus.width, focus.height)))
    left, right = _around(focus.left, focus.right, min(side, everything.width), everything.width)
    top, bottom = _around(focus.top, focus.bottom, min(side, everything.height), everything.height)
    return Box(left, top, right, bottom)


def _around(start: int, end: int, length: int, limit: int) -> tuple[int, int]:
    """Return an interval of ``length`` in ``[0, limit]`` whose middle is that of ``start..end`` as far as it can be."""
    low = min(max((start + end - length) // 2, 0), limit - length)
    return low, low + length


def _bounds(mask: BoolMask | None) -> Box | None:
    if mask is None or not mask.any():
        return None
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)


def _change(normal: RGBImage, result: RGBImage) -> NDArray[np.uint8]:
    """Return the largest change of a channel of each pixel, ``(H, W)`` uint8."""
    difference = np.maximum(normal, result)
    difference -= np.minimum(normal, result)
    return np.asarray(difference.max(axis=2), dtype=np.uint8)


def _whole(normal: RGBImage) -> str:
    size = fitted(normal.shape[1], normal.shape[0], WHOLE_SIDE)
    return photograph(resized(normal, size), qualities=_WHOLE_QUALITIES, most_bytes=_WHOLE_BYTES)


def _at(values: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    return resample(values, size[1], size[0])


def _mask(mask: BoolMask, box: Box) -> str:
    size = fitted(box.width, box.height, MASK_SIDE)
    return mask_png(_at(mask[box.slices].astype(np.uint8), size) > 0)


def _patch(
    result: RGBImage, mask: BoolMask | None, change: NDArray[np.uint8] | None, box: Box, size: tuple[int, int]
) -> tuple[str, tuple[float, float, float, float]]:
    """Return the defective image where it is to be seen, and where that is.

    That is the mask, and honestly also what differs beside it; everything, if the photograph is not there to tell.
    """
    if change is None:
        shown = np.ones((size[1], size[0]), dtype=np.bool_)
    else:
        differs = change[box.slices] > 0
        shown = _at((differs if mask is None else differs | mask[box.slices]).astype(np.uint8), size) > 0
    part = _bounds(shown) or Box(0, 0, 1, 1)
    part = Box(
        max(part.left - _PATCH_MARGIN, 0),
        max(part.top - _PATCH_MARGIN, 0),
        min(part.right + _PATCH_MARGIN, size[0]),
        min(part.bottom + _PATCH_MARGIN, size[1]),
    )
    pixels = resized(result[box.slices], size)[part.slices]
    content = photograph(pixels, shown[part.slices], qualities=_PATCH_QUALITIES, most_bytes=_PATCH_BYTES)
    across, down = box.width / size[0], box.height / size[1]
    return content, (
        round(box.left + part.left * across, 3),
        round(box.top + part.top * down, 3),
        round(box.left + part.right * across, 3),
        round(box.top + part.bottom * down, 3),
    )


def _edges(box: Box) -> tuple[float, float, float, float]:
    return float(box.left), float(box.top), float(box.right), float(box.bottom)


def _read(dataset: Path, name: str, mode: str, *, size: tuple[int, int], max_pixels: int) -> NDArray[np.uint8]:
    """Return the pixels of one file.

    Raises:
        ImageError: If it is missing, no PNG, of another mode or size, or outside ``dataset``.
    """
    path = dataset / name
    try:
        if not path.resolve().is_relative_to(dataset.resolve()):
            raise ImageError(f"{name}: not a file of the data set")
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise ImageError(f"{name}: missing") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise ImageError(f"{name}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    pixels, found_mode, _ = decode_png(content, what=name, max_pixels=max_pixels)
    if found_mode != mode or pixels.shape[1::-1] != size:
        found = f"{found_mode} {pixels.shape[1]}x{pixels.shape[0]}"
        raise ImageError(f"{name}: expected {mode} {size[0]}x{size[1]}, got {found}")
    return np.asarray(pixels, dtype=np.uint8)
