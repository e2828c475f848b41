"""Pictures that have nothing to do with the product, and what DRAEM does to them; Perlin's noise.

DRAEM takes its textures from the Describable Textures Dataset, which cannot be downloaded here: scikit-image's
photographs and procedural textures stand in for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import cv2
import numpy as np
import skimage.data
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

from fmas.types import FloatMap, RGBImage

__all__ = ["altered", "foreign_textures", "noise_grid", "turned"]

PHOTOGRAPHS = ("brick", "grass", "gravel", "coins", "camera", "coffee", "astronaut", "page", "text", "moon")

ScalarT = TypeVar("ScalarT", np.uint8, np.float32)


def foreign_textures(rng: np.random.Generator, *, procedural: int = 40, side: int = 256) -> list[RGBImage]:
    """Return scikit-image's photographs and as many procedural textures as asked for, ``(h, w, 3)`` uint8 each."""
    found = []
    for name in PHOTOGRAPHS:
        picture = np.asarray(getattr(skimage.data, name)())
        picture = picture if picture.ndim == 3 else picture[..., None].repeat(3, axis=2)
        found.append(np.ascontiguousarray(picture[..., :3], np.uint8))
    return found + [_procedural(number, side, rng) for number in range(procedural)]


def noise_grid(shape: tuple[int, int], cells: tuple[int, int], rng: np.random.Generator) -> FloatMap:
    """Return Perlin's gradient noise.

    Args:
        shape: Height and width in pixels.
        cells: Cells from top to bottom and from left to right.
        rng: Draws the gradients' directions.

    Returns:
        ``shape`` float32, about -1..1, scaled by the square root of two as DRAEM's is.
    """
    angles = rng.uniform(0, 2 * np.pi, (cells[0] + 1, cells[1] + 1))
    slope_y, slope_x = np.sin(angles).astype(np.float32), np.cos(angles).astype(np.float32)
    y = (np.arange(shape[0], dtype=np.float32) + 0.5) * np.float32(cells[0] / shape[0])
    x = (np.arange(shape[1], dtype=np.float32) + 0.5) * np.float32(cells[1] / shape[1])
    row, column = np.minimum(y.astype(int), cells[0] - 1), np.minimum(x.astype(int), cells[1] - 1)
    y, x = (y - row)[:, None], (x - column)[None]

    def corner(down: int, right: int) -> FloatMap:
        at = np.ix_(row + down, column + right)
        return np.asarray(slope_y[at] * (y - down) + slope_x[at] * (x - right), np.float32)

    ease_y, ease_x = y**3 * (y * (6 * y - 15) + 10), x**3 * (x * (6 * x - 15) + 10)
    top = corner(0, 0) * (1 - ease_x) + corner(0, 1) * ease_x
    bottom = corner(1, 0) * (1 - ease_x) + corner(1, 1) * ease_x
    return np.asarray(np.float32(np.sqrt(2)) * (top * (1 - ease_y) + bottom * ease_y), np.float32)


def turned(picture: NDArray[ScalarT], angle: float, *, keep: bool = False) -> NDArray[ScalarT]:
    """Turn a picture about its centre; ``keep`` its size, else grow it so that nothing is cut off. Outside is 0."""
    height, width = picture.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1.0)
    size = (width, height)
    if not keep:
        cosine, sine = abs(matrix[0, 0]), abs(matrix[0, 1])
        size = (int(np.ceil(height * sine + width * cosine)), int(np.ceil(height * cosine + width * sine)))
        matrix[:, 2] += ((size[0] - width) / 2, (size[1] - height) / 2)
    return np.asarray(cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_LINEAR), picture.dtype)


def altered(texture: RGBImage, rng: np.random.Generator) -> RGBImage:
    """Apply three different ones of DRAEM's ten changes."""
    for number in rng.choice(len(_CHANGES), 3, replace=False):
        texture = _CHANGES[int(number)](texture, rng)
    return texture


def _gamma(texture: RGBImage, rng: np.random.Generator) -> RGBImage:
    return np.asarray(255 * np.power(texture / 255.0, rng.uniform(0.5, 2.0, 3)), dtype=np.uint8)


def _brightness(texture: RGBImage, rng: np.random.Generator) -> RGBImage:
    return np.asarray(np.clip(texture * rng.uniform(0.8, 1.2) + rng.uniform(-30, 30), 0, 255), dtype=np.uint8)


def _sharpness(texture: RGBImage, rng: np.random.Generator) -> RGBImage:
    return np.asarray(ImageEnhance.Sharpness(Image.fromarray(texture)).enhance(rng.uniform(0.1, 1.9)))


def _hue_and_saturation(texture: RGBImage, rng: np.random.Generator) -> RGBImage:
    hsv = np.asarray(cv2.cvtColor(texture, cv2.COLOR_RGB2HSV)).astype(int)
    hue, saturation = rng.integers(-50, 51, 2)
    hsv[..., 0] = (hsv[..., 0] + hue * 180 // 255) % 180
    hsv[..., 1] = np.clip(hsv[..., 1] + saturation, 0, 255)
    return np.asarray(cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB), np.uint8)


def _solarize(texture: RGBImage, rng: np.random.Generator) -> RGBImage:
    if rng.random() < 0.5:
        return texture
    return np.asarray(ImageOps.solarize(Image.fromarray(texture), int(rng.integers(32, 129))))


def _posterize(texture: RGBImage, rng: np.random.Generator) -> RGBImage:
    return np.asarray(ImageOps.posterize(Image.fromarray(texture), int(rng.integers(1, 9))))


def _invert(texture: RGBImage, _: np.random.Generator) -> RGBImage:
    return np.asarray(255 - texture, np.uint8)


def _autocontrast(texture: RGBImage, rng: np.random.Generator) -> RGBImage:
    return np.asarray(ImageOps.autocontrast(Image.fromarray(texture), cutoff=float(rng.uniform(0, 20))))


def _equalize(texture: RGBImage, _: np.random.Generator) -> RGBImage:
    return np.asarray(ImageOps.equalize(Image.fromarray(texture)))


def _rotate(texture: RGBImage, rng: np.random.Generator) -> RGBImage:
    return turned(texture, rng.uniform(-45, 45), keep=True)


_CHANGES: tuple[Callable[[RGBImage, np.random.Generator], RGBImage], ...] = (
    _gamma,
    _brightness,
    _sharpness,
    _hue_and_saturation,
    _solarize,
    _posterize,
    _invert,
    _autocontrast,
    _equalize,
    _rotate,
)


def _procedural(number: int, side: int, rng: np.random.Generator) -> RGBImage:
    """Return stripes, a weave, spots, clouds or grain, in two random colours."""
    shape = (side, side)
    y, x = np.mgrid[:side, :side].astype(np.float32)
    angle, period = rng.uniform(0, np.pi), float(np.exp(rng.uniform(np.log(4), np.log(64))))
    across, along = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    cells = int(2 ** rng.integers(2, 6))
    clouds = noise_grid(shape, (cells, cells), rng)
    field = (
        np.sin(2 * np.pi * across / period + 2 * clouds),
        np.sin(2 * np.pi * across / period) * np.sign(np.sin(2 * np.pi * along / period)),
        np.where(clouds > 0.25, 1.0, -1.0),
        clouds + 0.5 * noise_grid(shape, (2 * cells, 2 * cells), rng),
        cv2.GaussianBlur(rng.normal(size=shape).astype(np.float32), (0, 0), period / 8) * period,
    )[number % 5]
    level = np.clip(0.5 + 0.5 * field + 0.05 * rng.normal(size=shape), 0, 1)[..., None]
    dark, bright = rng.uniform(0, 255, 3), rng.uniform(0, 255, 3)
    return np.asarray(np.rint(dark + level * (bright - dark)), np.uint8)
