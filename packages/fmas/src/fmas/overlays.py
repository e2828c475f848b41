"""Photographs with their anomaly map on top: heat where the map is high, an outline where it is above the threshold.

All overlays of an inspection share one scale, so that a colour means the same in each of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from fmas.calibration import Calibration, Verdict
from fmas.types import FloatMap, RGBImage

__all__ = ["MapScale", "draw_overlay"]

_LONGEST_SIDE = 1280  # of the drawn photograph, pixels: enough for a screen, and quick to write
_LEAST_SIDE = 256  # smaller photographs are enlarged by a whole factor
_LEAST_WIDTH = 480  # of the whole picture, so that the line of text fits
_PNG = [
    cv2.IMWRITE_PNG_COMPRESSION,
    1,
    cv2.IMWRITE_PNG_STRATEGY,
    cv2.IMWRITE_PNG_STRATEGY_DEFAULT,
]  # twice as fast as 3
_STRONGEST = 0.65  # opacity of the hottest colour; the photograph stays visible below
_INK, _PAPER = (235, 235, 235), (24, 24, 24)
_VERDICT_INK: dict[Verdict, tuple[int, int, int]] = {"good": (120, 220, 140), "anomalous": (255, 120, 100)}


@dataclass(frozen=True, slots=True)
class MapScale:
    """Which values of a map get which colour.

    Attributes:
        start: Values up to this one stay uncoloured.
        threshold: The outline runs here.
        end: This value and higher ones get the last colour.
    """

    start: float
    threshold: float
    end: float

    @classmethod
    def from_calibration(cls, calibration: Calibration, threshold: float) -> MapScale:
        """Return the scale of an inspection.

        Colour begins half-way between what is usual of good pictures (the median of their scores) and the threshold,
        and ends as far above the threshold as that way. A map is taken to have its image score's unit.

        Args:
            calibration: Of the model.
            threshold: Scores above it are anomalous.
        """
        usual = calibration.quantiles()["0.5"]
        way = threshold - usual
        if way <= 0:  # one good picture to calibrate with, or a threshold of the user's own below the usual
            way = max(abs(threshold), 1e-6) / 2
        return cls(threshold - way / 2, threshold, threshold + way)

    def position(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return where values lie between start, 0, and end, 1; clipped."""
        wide = np.float32(self.end - self.start)
        position: NDArray[np.float32] = np.clip((values - np.float32(self.start)) / wide, 0, 1).astype(np.float32)
        return position


def draw_overlay(image: RGBImage, map_: FloatMap, scale: MapScale, *, score: float, verdict: Verdict) -> bytes:
    """Return the overlay as a PNG; the same arguments give the same bytes with the same libraries.

    A large photograph is shrunk, its map by the largest value of what becomes one pixel, so that nothing small is
    lost; a small one is enlarged.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.
        map_: ``(H, W)`` float32.
        scale: Of the inspection.
        score: Image score, for the caption.
        verdict: For the caption.
    """
    size = _shown_size(image.shape[1], image.shape[0])
    picture = _resized(image, size)
    values = _resized_map(map_, size)
    _heat(picture, scale.position(values))
    _outline(picture, values > scale.threshold)
    return _png(_captioned(picture, scale, score, verdict))


def _shown_size(width: int, height: int) -> tuple[int, int]:
    longer = max(width, height)
    if longer > _LONGEST_SIDE:
        factor = _LONGEST_SIDE / longer
        return max(round(width * factor), 1), max(round(height * factor), 1)
    times = max(math.ceil(_LEAST_SIDE / longer), 1)
    return width * times, height * times


def _resized(image: RGBImage, size: tuple[int, int]) -> NDArray[np.uint8]:
    if size == (image.shape[1], image.shape[0]):
        return image.copy()
    shrinks = size[0] < image.shape[1]
    resized = cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_NEAREST)
    return np.ascontiguousarray(resized, dtype=np.uint8)


def _resized_map(map_: FloatMap, size: tuple[int, int]) -> NDArray[np.float32]:
    if size[0] < map_.shape[1] or size[1] < map_.shape[0]:
        window = (math.ceil(map_.shape[0] / size[1]), math.ceil(map_.shape[1] / size[0]))
        # Nearest sampling takes the first pixel of each window, so the window begins there.
        map_ = cv2.dilate(map_, np.ones(window, dtype=np.uint8), anchor=(0, 0)).astype(np.float32)
    resized = cv2.resize(map_, size, interpolation=cv2.INTER_NEAREST)
    return np.asarray(resized, dtype=np.float32)


def _heat(picture: NDArray[np.uint8], position: NDArray[np.float32]) -> None:
    """Lay colour over the picture where the map is above the scale's start."""
    warm = position > 0  # most pixels are not
    if not warm.any():
        return
    where = position[warm]
    opacity = (np.float32(_STRONGEST) * np.sqrt(where))[:, np.newaxis]
    below = picture[warm].astype(np.float32)
    picture[warm] = np.rint(below + opacity * (_colours(where[np.newaxis])[0] - below)).astype(np.uint8)


def _colours(position: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return RGB colours of positions ``[0, 1]``: violet, red, yellow; tells apart also for the colour-blind."""
    coloured = cv2.applyColorMap(np.rint(55 + 200 * position).astype(np.uint8), cv2.COLORMAP_PLASMA)
    return np.ascontiguousarray(coloured[..., ::-1], dtype=np.uint8)


def _outline(picture: NDArray[np.uint8], inside: NDArray[np.bool_]) -> None:
    """Draw a white line with a black one around it, visible on any colour."""
    contours, _ = cv2.findContours(inside.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    width = max(round(max(picture.shape) / 640), 1)
    cv2.drawContours(picture, contours, -1, (0, 0, 0), 2 * width + 1)
    cv2.drawContours(picture, contours, -1, (255, 255, 255), width)


def _captioned(picture: NDArray[np.uint8], scale: MapScale, score: float, verdict: Verdict) -> NDArray[np.uint8]:
    """Put a line below: verdict, score and threshold at the left, the scale at the right."""
    height, width = picture.shape[:2]
    whole = max(width, _LEAST_WIDTH)
    text = max(round(whole / 45), 14)
    canvas = Image.new("RGB", (whole, height + 4 * text), _PAPER)
    canvas.paste(Image.fromarray(picture), ((whole - width) // 2, 0))
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=text)
    top = height + text // 2
    draw.text((text, top), verdict, font=font, fill=_VERDICT_INK[verdict])
    numbers = f"score {score:.3g}, threshold {scale.threshold:.3g}"
    draw.text((text, top + round(1.5 * text)), numbers, font=font, fill=_INK)
    _draw_scale(canvas, draw, font, scale, left=whole * 3 // 5, top=top, right=whole - text, text=text)
    return np.asarray(canvas)


def _draw_scale(
    canvas: Image.Image,
    draw: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    scale: MapScale,
    *,
    left: int,
    top: int,
    right: int,
    text: int,
) -> None:
    bar = _colours(np.linspace(0, 1, right - left, dtype=np.float32)[np.newaxis]).repeat(text, axis=0)
    canvas.paste(Image.fromarray(bar), (left, top + text // 4))
    mark = left + round(float(scale.position(np.array([scale.threshold], dtype=np.float32))[0]) * (right - left - 1))
    draw.line((mark, top, mark, top + round(1.5 * text)), fill=(255, 255, 255), width=max(text // 7, 1))
    below = top + round(1.5 * text)
    draw.text((mark, below), f"{scale.threshold:.3g}", font=font, fill=_INK, anchor="ma")
    draw.text((right, below), f"{scale.end:.3g} +", font=font, fill=_INK, anchor="ra")


def _png(pixels: NDArray[np.uint8]) -> bytes:
    # OpenCV lets go of Python's lock while it encodes, so that a detector fed by this process is not held up.
    encoded, content = cv2.imencode(".png", pixels[..., ::-1], _PNG)
    if not encoded:
        raise ValueError("expected OpenCV to encode a PNG, got nothing; check its installation")
    return content.tobytes()
