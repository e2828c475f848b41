"""Small picture files for the page: WebP for what is photographed, PNG for what must not lose a pixel."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fmas.types import BoolMask, RGBImage

__all__ = ["LEVELS", "Effort", "fitted", "levels_of", "levels_png", "mask_png", "photograph", "resample", "resized"]

LEVELS = 15
"""The largest level of :func:`levels_of`; with zero, four bits."""

_METHOD = 2  # WebP effort: 4 takes twice as long and makes the files one per cent smaller
_SHARES = (
    (84, 0.72),
    (76, 0.52),
    (66, 0.44),
    (50, 0.36),
    (30, 0.29),
)  # quality, and size of textures compared with that at 90


@dataclass(frozen=True, slots=True)
class Effort:
    """How good a compressed photograph is to be.

    Attributes:
        quality: WebP quality, if it costs no more than ``aim`` bytes.
        aim: If it does, the quality is lowered once, to about that size.
        least: But not below this one: grass and gravel may cost twice as much.
    """

    quality: int
    aim: int
    least: int


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
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS, reducing_gap=1.5))


def photograph(pixels: RGBImage, alpha: BoolMask | None = None, *, effort: Effort) -> str:
    """Return a WebP file in base64.

    Args:
        pixels: ``(H, W, 3)`` uint8.
        alpha: ``(H, W)``; transparent where false. The hidden pixels are kept, so that none bleed over the edge.
        effort: How good, at what size.
    """
    planes = [pixels] if alpha is None else [pixels, alpha[..., np.newaxis] * np.uint8(255)]
    image = Image.fromarray(np.ascontiguousarray(np.concatenate(planes, axis=2)))
    content = _webp(image, effort.quality, exact=alpha is not None)
    if len(content) > effort.aim:
        fitting = (step for step, share in _SHARES if share * len(content) <= effort.aim)
        lower = max(effort.least, next(fitting, 0))
        if lower < effort.quality:
            content = _webp(image, lower, exact=alpha is not None)
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
    """Return ``values`` (``(H, W)``) at another size; a smaller one keeps the largest of the values it joins."""
    if height >= values.shape[0] and width >= values.shape[1]:
        rows = np.arange(height) * values.shape[0] // height
        columns = np.arange(width) * values.shape[1] // width
        return values[np.ix_(rows, columns)]
    rows, columns = np.nonzero(values)
    reduced = np.zeros((height, width), dtype=np.uint8)
    at = (rows * height // values.shape[0], columns * width // values.shape[1])
    np.maximum.at(reduced, at, values[rows, columns])
    return reduced


def _webp(image: Image.Image, quality: int, *, exact: bool) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=quality, method=_METHOD, exact=exact)
    return buffer.getvalue()


def _png(image: Image.Image, **options: int) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True, **options)
    return _base64(buffer.getvalue())


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
