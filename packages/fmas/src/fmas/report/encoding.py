"""Small picture files for the page: WebP for what is photographed, PNG for what must not lose a pixel."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fmas.types import BoolMask, RGBImage

__all__ = ["LEVELS", "fitted", "levels_of", "levels_png", "mask_png", "photograph", "resample", "resized"]

LEVELS = 15
"""The largest level of :func:`levels_of`; with zero, four bits."""

_METHOD = 4  # WebP effort: higher ones take twice as long for two per cent


def fitted(width: int, height: int, longest: int) -> tuple[int, int]:
    """Return the size reduced, never enlarged, so that no side is longer than ``longest``; at least 1 x 1."""
    larger = max(width, height)
    if larger <= longest:
        return width, height
    return max(1, round(width * longest / larger)), max(1, round(height * longest / larger))


def resized(pixels: RGBImage, size: tuple[int, int]) -> RGBImage:
    """Return ``pixels`` (``(H, W, 3)`` uint8) at ``size`` (width, height)."""
    if pixels.shape[1::-1] == size:
        return pixels
    image = Image.fromarray(np.ascontiguousarray(pixels))
    # The box filter first, where much is left out: as good to look at and several times faster on large photographs.
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0))


def photograph(
    pixels: RGBImage, alpha: BoolMask | None = None, *, qualities: tuple[int, ...], most_bytes: int = 0
) -> str:
    """Return a WebP file in base64.

    Args:
        pixels: ``(H, W, 3)`` uint8.
        alpha: ``(H, W)``; transparent where false. The hidden pixels are kept, so that none bleed over the edge.
        qualities: WebP qualities, falling; the first whose file has at most ``most_bytes`` is taken, else the last.
        most_bytes: Size to aim at.
    """
    planes = [pixels] if alpha is None else [pixels, alpha[..., np.newaxis] * np.uint8(255)]
    image = Image.fromarray(np.ascontiguousarray(np.concatenate(planes, axis=2)))
    content = b""
    for quality in qualities:
        buffer = io.BytesIO()
        image.save(buffer, "WEBP", quality=quality, method=_METHOD, exact=alpha is not None)
        content = buffer.getvalue()
        if len(content) <= most_bytes:
            break
    return _base64(content)


def mask_png(mask: BoolMask) -> str:
    """Return a 1-bit PNG in base64, white where ``mask`` is true."""
    return _png(Image.fromarray(mask))


def levels_png(levels: NDArray[np.uint8]) -> str:
    """Return a grey 4-bit PNG in base64: a viewer shows the values 0 to 15 as 0, 17, 34, … 255."""
    image = Image.fromarray(levels)
    image.putpalette([value for level in range(LEVELS + 1) for value in (17 * level,) * 3])
    return _png(image, bits=4)


def levels_of(change: NDArray[np.uint8], peak: int) -> NDArray[np.uint8]:
    """Return a change of 0 to 255 grey levels as 0 to 15, by square roots so that faint changes keep their steps.

    Args:
        change: ``(H, W)``; how much each pixel changed.
        peak: What is to become 15.

    Returns:
        ``(H, W)`` uint8; 0 where nothing changed and only there.
    """
    # A hair less than the root, lest rounding lift an exact level to the next.
    table = np.ceil(LEVELS * np.sqrt(np.arange(256) / max(peak, 1)) - 1e-9)
    return np.asarray(table.clip(0, LEVELS).astype(np.uint8)[change], dtype=np.uint8)


def resample(values: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Return ``values`` (``(H, W)``) at another size; however small it gets, a pixel keeps the largest of its values."""
    if height >= values.shape[0] and width >= values.shape[1]:
        rows = np.arange(height) * values.shape[0] // height
        columns = np.arange(width) * values.shape[1] // width
        return values[np.ix_(rows, columns)]
    rows, columns = np.nonzero(values)
    reduced = np.zeros((height, width), dtype=np.uint8)
    at = (rows * height // values.shape[0], columns * width // values.shape[1])
    np.maximum.at(reduced, at, values[rows, columns])
    return reduced


def _png(image: Image.Image, **options: int) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True, **options)
    return _base64(buffer.getvalue())


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
