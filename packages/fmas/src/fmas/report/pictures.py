"""The pictures of a pair as the page carries them: small, compressed, and true where it matters.

The photograph is there once, whole and reduced, and once more where the defect is, at native size if it fits. The
result is the photograph with a patch on it, because outside the mask it *is* the photograph: two pictures compressed
one by one would differ everywhere. The difference is measured on the exact pixels, before anything is compressed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fmas.errors import ImageError
from fmas.images import decode_png
from fmas.report.encoding import Effort, fitted, levels_of, levels_png, mask_png, photograph, resample, resized
from fmas.report.rows import PairRow
from fmas.samples import Box
from fmas.types import BoolMask, RGBImage

__all__ = ["CROP_SIDE", "MASK_SIDE", "WHOLE_SIDE", "PairPictures", "PictureReader", "zoom_box"]

WHOLE_SIDE = 192
"""Longest side of the whole photograph, in pixels; it says where on the part one is."""
CROP_SIDE = 288
"""Longest side of the surroundings of the defect, in pixels; what one judges by."""
MASK_SIDE = 512
"""The same for the mask, which costs little and whose outline is to be exact."""

_WHOLE = Effort(quality=72, aim=3_000, least=30)
_CROP = Effort(quality=90, aim=8_000, least=50)
_PATCH = Effort(quality=90, aim=3_500, least=60)
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


class PictureReader:
    """Makes the pictures of pairs; may be used from several threads.

    Args:
        dataset: The category's folder.
        max_pixels: Larger files are not decoded.
    """

    def __init__(self, dataset: Path, *, max_pixels: int) -> None:
        self._dataset = dataset
        self._max_pixels = max_pixels
        self._latest: tuple[str, RGBImage] | None = None  # pairs of one photograph follow each other

    def read(self, row: PairRow) -> PairPictures:
        """Read a pair's three files and make what the page shows of them.

        Returns:
            The pictures; what cannot be read is ``None`` there and a line in ``problems``.
        """
        problems: list[str] = []
        normal, result = (self._photograph(row, name, problems) for name in (row.normal_file_name, row.file_name))
        mask = self._mask(row, problems)
        changed = None if normal is None or result is None else _changed_box(normal, result)
        if normal is not None and result is not None and mask is not None and changed is not None:
            outside = int(np.count_nonzero(_differs(normal, result, changed) & ~mask[changed.slices]))
            if outside:
                problems.append(f"{row.file_name}: {outside:,} pixels outside the mask differ from the photograph")
        everything = Box(0, 0, row.width, row.height)
        box = zoom_box(_bounds(mask) or changed or row.focus, everything)
        return _drawn(normal, result, mask, box, tuple(problems))

    def _photograph(self, row: PairRow, name: str, problems: list[str]) -> RGBImage | None:
        latest = self._latest
        if latest is not None and latest[0] == name:
            return latest[1]
        pixels = self._file(row, name, "RGB", problems)
        if pixels is not None and name == row.normal_file_name:
            self._latest = (name, pixels)
        return pixels

    def _mask(self, row: PairRow, problems: list[str]) -> BoolMask | None:
        grey = self._file(row, row.mask_file_name, "L", problems)
        return None if grey is None else grey > 0

    def _file(self, row: PairRow, name: str, mode: str, problems: list[str]) -> NDArray[np.uint8] | None:
        try:
            return _read(self._dataset, name, mode, size=(row.width, row.height), max_pixels=self._max_pixels)
        except ImageError as error:
            problems.append(str(error))
            return None


def _drawn(
    normal: RGBImage | None, result: RGBImage | None, mask: BoolMask | None, box: Box, problems: tuple[str, ...]
) -> PairPictures:
    """Return the pictures of what has been read: the whole photograph, and what is inside ``box``."""
    size = fitted(box.width, box.height, CROP_SIDE)
    change = None if normal is None or result is None else _change(normal[box.slices], result[box.slices])
    peak = 0 if change is None else int(change.max())
    part = None if mask is None else mask[box.slices]
    patch, patch_box = (None, _edges(box)) if result is None else _patch(result[box.slices], part, change, box)
    return PairPictures(
        whole=None if normal is None else _whole(normal),
        crop=None if normal is None else photograph(resized(normal[box.slices], size), effort=_CROP),
        crop_box=box,
        patch=patch,
        patch_box=patch_box,
        mask=None if part is None else mask_png(_at(part.astype(np.uint8), _mask_size(box)) > 0),
        levels=None if change is None else levels_png(_at(levels_of(change, peak), size)),
        peak=peak,
        problems=problems,
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


def _differs(normal: RGBImage, result: RGBImage, box: Box) -> BoolMask:
    """Return which pixels inside ``box`` differ."""
    return np.asarray((normal[box.slices] != result[box.slices]).any(axis=2))


def _changed_box(normal: RGBImage, result: RGBImage) -> Box | None:
    """Return the box around all pixels that differ, ``None`` if none does."""
    differs = normal != result
    height, width = differs.shape[:2]
    rows = np.flatnonzero(differs.reshape(height, -1).any(axis=1))
    if rows.size == 0:
        return None
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(differs[top:bottom].reshape(bottom - top, -1).any(axis=0).reshape(width, -1).any(axis=1))
    return Box(int(columns[0]), top, int(columns[-1]) + 1, bottom)


def _change(normal: RGBImage, result: RGBImage) -> NDArray[np.uint8]:
    """Return the largest change of a channel of each pixel, ``(H, W)`` uint8."""
    difference = np.maximum(normal, result) - np.minimum(normal, result)
    return np.asarray(difference.max(axis=2), dtype=np.uint8)


def _whole(normal: RGBImage) -> str:
    size = fitted(normal.shape[1], normal.shape[0], WHOLE_SIDE)
    return photograph(resized(normal, size), effort=_WHOLE)


def _at(values: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    return resample(values, size[1], size[0])


def _mask_size(box: Box) -> tuple[int, int]:
    return fitted(box.width, box.height, MASK_SIDE)


def _patch(
    result: RGBImage, mask: BoolMask | None, change: NDArray[np.uint8] | None, box: Box
) -> tuple[str, tuple[float, float, float, float]]:
    """Return the defective image inside ``box`` where it is to be seen, and where that is.

    That is the mask, and honestly also what differs beside it; everything, if the photograph is not there to tell.
    """
    size = fitted(box.width, box.height, CROP_SIDE)
    if change is None:
        shown = np.ones((size[1], size[0]), dtype=np.bool_)
    else:
        differs = change > 0
        shown = _at((differs if mask is None else differs | mask).astype(np.uint8), size) > 0
    part = _bounds(shown) or Box(0, 0, 1, 1)
    part = Box(
        max(part.left - _PATCH_MARGIN, 0),
        max(part.top - _PATCH_MARGIN, 0),
        min(part.right + _PATCH_MARGIN, size[0]),
        min(part.bottom + _PATCH_MARGIN, size[1]),
    )
    content = photograph(resized(result, size)[part.slices], shown[part.slices], effort=_PATCH)
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
