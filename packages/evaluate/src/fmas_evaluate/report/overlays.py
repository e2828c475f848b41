"""Pictures of one image for the page: the photograph and the score map, with the truth outlined, as PNG data URIs."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fmas_evaluate.extras import extra_module
from fmas_evaluate.flagging import reaches

__all__ = ["LONGEST_SIDE", "map_uri", "photograph_uri", "shrunk_mask", "shrunk_scores"]

LONGEST_SIDE = 300
"""Pixels of an embedded picture."""

_TRUTH = (255, 45, 141)
_ALARM = (70, 220, 255)
_HALO = (20, 0, 12)
# Dark to bright and never back, so that it reads in grey, too.
_STOPS = (0.0, 0.25, 0.5, 0.75, 1.0)
_RED, _GREEN, _BLUE = (8, 58, 150, 238, 252), (10, 32, 44, 118, 246), (20, 92, 96, 48, 200)


def map_uri(scores: NDArray[Any], mask: NDArray[np.bool_], *, threshold: float, low: float, high: float) -> str:
    """Return the score map in colours, the truth and what lies at or above the threshold outlined.

    Args:
        scores: ``(H, W)``.
        mask: ``(H, W)``, the truth.
        threshold: Pixels at or above it count as defect.
        low: Score shown darkest.
        high: Score shown brightest.
    """
    height, width = _fitted(scores.shape)
    small = shrunk_scores(scores, height, width).astype(np.float64)
    scale = high - low if high > low else 1.0
    shade = np.clip(np.nan_to_num((small - low) / scale, posinf=1.0, neginf=0.0), 0, 1)
    picture = np.stack([np.interp(shade, _STOPS, stops) for stops in (_RED, _GREEN, _BLUE)], axis=-1)
    found = shrunk_mask(reaches(scores, threshold), height, width)
    return _uri(_outlined(picture.astype(np.uint8), shrunk_mask(mask, height, width), found))


def photograph_uri(path: Path, scores: NDArray[Any], mask: NDArray[np.bool_], *, threshold: float) -> str | None:
    """Return the photograph with the same outlines; ``None`` if it cannot be read."""
    extra_module("PIL", purpose="to show photographs", distribution="pillow")
    from PIL import Image, ImageOps

    height, width = _fitted(scores.shape)
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image).convert("RGB")
            picture = np.asarray(upright.resize((width, height), Image.Resampling.BOX))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    found = shrunk_mask(reaches(scores, threshold), height, width)
    return _uri(_outlined(picture, shrunk_mask(mask, height, width), found))


def shrunk_mask(mask: NDArray[np.bool_], height: int, width: int) -> NDArray[np.bool_]:
    """Return ``mask`` at a size not larger; however small it gets, no defect pixel is lost."""
    small = np.zeros((height, width), dtype=np.bool_)
    rows, columns = np.nonzero(mask)
    small[rows * height // mask.shape[0], columns * width // mask.shape[1]] = True
    return small


def shrunk_scores(scores: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Return the map at a size not larger; each new pixel is the maximum of those it replaces, so no peak is lost."""
    rows = -(-np.arange(height) * scores.shape[0] // height)
    columns = -(-np.arange(width) * scores.shape[1] // width)
    shrunk: NDArray[Any] = np.maximum.reduceat(np.maximum.reduceat(scores, rows, axis=0), columns, axis=1)
    return shrunk


def _fitted(shape: tuple[int, ...]) -> tuple[int, int]:
    height, width = shape
    longest = max(height, width, LONGEST_SIDE)
    return max(1, height * LONGEST_SIDE // longest), max(1, width * LONGEST_SIDE // longest)


def _outlined(picture: NDArray[np.uint8], mask: NDArray[np.bool_], found: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Draw what was found, then the truth over it: a bright line just outside with a dark one around."""
    result = picture.copy()
    around = np.ones((3, 3), dtype=np.bool_)
    for area, colour in ((found, _ALARM), (mask, _TRUTH)):
        line = ndimage.binary_dilation(area, around)
        result[ndimage.binary_dilation(line, around) & ~line] = _HALO
        result[line & ~area] = colour
    return result


def _uri(picture: NDArray[np.uint8]) -> str:
    extra_module("PIL", purpose="to show images", distribution="pillow")
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
