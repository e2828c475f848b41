"""The pictures of a pair as data URIs: reduced, compressed, with outlines drawn where the mask ends."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from fmas.errors import ImageError
from fmas.images import decode_png
from fmas.report.rows import PairRow
from fmas.samples import Box
from fmas.types import BoolMask, RGBImage

__all__ = ["PairPictures", "View", "outline_uri", "pair_pictures", "photo_uri", "resample", "zoom_box"]

LONGEST_SIDE = 320
"""Pixels of an embedded picture; a column of the page is about that wide."""

_WHOLE_QUALITY = 82
_ZOOM_QUALITY = 90  # what one judges a defect by
_MASK_COLOUR = (255, 45, 141)
_HALO_COLOUR = (20, 0, 12)


@dataclass(frozen=True, slots=True)
class View:
    """One part of the photograph, three times.

    Attributes:
        box: Which part, in pixels of the photograph.
        normal: Data URI of the good photograph; ``None`` if it cannot be read.
        result: Data URI of the defective image; ``None`` if it cannot be read.
        outline: Data URI of the mask's outline, transparent elsewhere; ``None`` if the mask cannot be read.
        magnified: Whether the part is smaller than it is shown, so that single pixels are to be seen.
    """

    box: Box
    normal: str | None
    result: str | None
    outline: str | None
    magnified: bool


@dataclass(frozen=True, slots=True)
class PairPictures:
    """What a row shows.

    Attributes:
        whole: The whole photograph.
        zoom: The surroundings of the mask at native resolution.
        problems: Which file could not be shown, and why.
    """

    whole: View
    zoom: View
    problems: tuple[str, ...]


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
    everything = Box(0, 0, row.width, row.height)
    focus = _bounds(mask) or _inside(Box(*row.region_box), everything)
    return PairPictures(
        whole=_view(everything, normal, result, mask, quality=_WHOLE_QUALITY, line_width=2),  # to be found at a glance
        zoom=_view(zoom_box(focus, everything), normal, result, mask, quality=_ZOOM_QUALITY, line_width=1),
        problems=tuple(problems),
    )


def zoom_box(focus: Box, everything: Box, *, margin: float = 0.6, least: int = 48) -> Box:
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


def _inside(box: Box, everything: Box) -> Box:
    """Return the part of ``box`` inside the photograph; everything if there is none (a row may have been edited)."""
    left, right = max(box.left, 0), min(box.right, everything.right)
    top, bottom = max(box.top, 0), min(box.bottom, everything.bottom)
    return Box(left, top, right, bottom) if left < right and top < bottom else everything


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


def _view(
    box: Box, normal: RGBImage | None, result: RGBImage | None, mask: BoolMask | None, *, quality: int, line_width: int
) -> View:
    width, height = _fitted(box.width, box.height)
    # A small part gets an outline finer than its pixels: it is to lie beside the defect, not on it.
    fineness = max(1, LONGEST_SIDE // max(box.width, box.height))
    return View(
        box,
        normal=None if normal is None else photo_uri(normal[box.slices], (width, height), quality=quality),
        result=None if result is None else photo_uri(result[box.slices], (width, height), quality=quality),
        outline=None
        if mask is None
        else outline_uri(resample(mask[box.slices], height * fineness, width * fineness), line_width=line_width),
        magnified=fineness > 1,
    )


def _fitted(width: int, height: int) -> tuple[int, int]:
    """Return the size reduced, never enlarged, to the longest side that is embedded."""
    longest = max(width, height)
    if longest <= LONGEST_SIDE:
        return width, height
    return max(1, round(width * LONGEST_SIDE / longest)), max(1, round(height * LONGEST_SIDE / longest))


def photo_uri(pixels: RGBImage, size: tuple[int, int], *, quality: int) -> str:
    """Return ``pixels`` (``(H, W, 3)`` uint8) at ``size`` (width, height) as a WebP data URI."""
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if image.size != size:
        image = image.resize(size, Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=quality, method=4)
    return _data_uri("image/webp", buffer.getvalue())


def resample(mask: BoolMask, height: int, width: int) -> BoolMask:
    """Return ``mask`` at another size; however small it gets, no defect pixel is lost."""
    if height >= mask.shape[0] and width >= mask.shape[1]:
        rows = np.arange(height) * mask.shape[0] // height
        columns = np.arange(width) * mask.shape[1] // width
        return mask[np.ix_(rows, columns)]
    reduced = np.zeros((height, width), dtype=np.bool_)
    rows, columns = np.nonzero(mask)
    reduced[rows * height // mask.shape[0], columns * width // mask.shape[1]] = True
    return reduced


def outline_uri(mask: BoolMask, *, line_width: int) -> str:
    """Return a PNG data URI of ``mask``'s size: a bright line just outside the mask, a thin dark one around that."""
    around = np.ones((3, 3), dtype=np.bool_)  # diagonals too: the line is to close at corners
    line = ndimage.binary_dilation(mask, around, iterations=line_width)
    halo = ndimage.binary_dilation(line, around)
    colours = (line & ~mask).astype(np.uint8) + 2 * (halo & ~line).astype(np.uint8)
    image = Image.fromarray(colours)
    image.putpalette([0, 0, 0, *_MASK_COLOUR, *_HALO_COLOUR])
    buffer = io.BytesIO()
    image.save(buffer, "PNG", transparency=bytes([0, 255, 130]), bits=2, optimize=True)
    return _data_uri("image/png", buffer.getvalue())


def _data_uri(media_type: str, content: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"
