"""The built-in selector: how different a candidate looks from its original, without a trained network.

The distance is computed inside the mask's bounding box only, at up to ``scales`` sizes, each half the one before::

    colour(p)    = dE / (dE + 20)                      dE: Euclidean distance in CIE Lab
    structure(p) = (1 - cs) / 2                        cs = (2 s_ab + 9) / (s_aa + s_bb + 9)
    d(p)         = (1 - w) colour(p) + w structure(p)
    score        = mean over scales of sqrt(sum m(p) d(p)^2 / sum m(p))

``cs`` is the contrast-structure term of SSIM (Wang et al., 2004) on lightness in a Gaussian window of 1.5 pixels, its
constant being (0.03 * 100)^2 for L in 0..100; ``m`` is the mask, at coarser scales the share of masked pixels. A dE of
about 2 is just visible, 20 is a strong stain; hence the constant that puts 20 half way. The root mean square lets a
narrow, clear mark count for more than the same sum spread thin.

The score is 0 for identical pictures, symmetric in them, and below 1. On plain and photographed surfaces a stain that
can just be seen scores about 0.07 and a black hole about 0.5 (``tests/fmas/test_builtin_selector.py``).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from fmas.errors import ImageError
from fmas.options import parse_options
from fmas.specs import Options
from fmas.types import BoolMask, Fingerprint, RGBImage

__all__ = ["BuiltinSelector", "SelectorOptions", "create"]

_VERSION = "1"  # raise it whenever the same pictures would get another score
_HALF_WAY = 20.0  # dE at which the colour term is one half
_STABILISER = 9.0  # (0.03 * 100)^2, SSIM's second constant for L in 0..100
_WINDOW_SIGMA = 1.5  # SSIM's own window
_SMALLEST_SIDE = 4  # a coarser scale must still have a few pixels to compare

FloatArray = NDArray[np.float32]


class SelectorOptions(BaseModel):
    """Options of the built-in selector.

    Attributes:
        scales: At how many sizes to compare, the first being the picture's own.
        structure_weight: 0 compares colours only, 1 structure only.
        working_size: Larger boxes are reduced to this longer side, in pixels, before anything is compared.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    scales: int = Field(default=4, ge=1, le=8)
    structure_weight: float = Field(default=0.5, ge=0.0, le=1.0, allow_inf_nan=False)
    working_size: int = Field(default=512, ge=64, le=4096)


def create(options: Options) -> BuiltinSelector:
    """Return the built-in selector; ``options`` are those of :class:`SelectorOptions`."""
    return BuiltinSelector(parse_options(SelectorOptions, options, section="selector"))


class BuiltinSelector:
    """Measures how strong a defect looks; the formula stands in the module's first lines."""

    def __init__(self, options: SelectorOptions | None = None) -> None:
        self._options = options or SelectorOptions()

    def fingerprint(self) -> Fingerprint:
        """Return name, version and options."""
        return Fingerprint(name="builtin", version=_VERSION, config=self._options.model_dump(mode="json"))

    def score(self, original: RGBImage, candidate: RGBImage, mask: BoolMask) -> float:
        """Return the perceptual distance inside the mask's box.

        Args:
            original: The good part, ``(H, W, 3)`` uint8 RGB.
            candidate: The same with a defect, ``(H, W, 3)`` uint8 RGB.
            mask: ``(H, W)`` bool, at least one pixel ``True``.

        Returns:
            A finite number in ``[0, 1)``; 0 = same, larger = more different.

        Raises:
            ImageError: If shapes or dtypes differ from these, or the mask is empty.
        """
        _check(original, candidate, mask)
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        first, second = self._lab(original[box]), self._lab(candidate[box])
        weights = self._weights(mask[box])
        distances = []
        for _ in range(self._options.scales):
            difference = self._difference(first, second)
            distances.append(float(np.sqrt(np.average(difference**2, weights=weights))))
            if min(weights.shape) < 2 * _SMALLEST_SIDE:
                break
            first, second, weights = _halve(first), _halve(second), _halve(weights)
        return float(np.mean(distances))

    def _lab(self, crop: RGBImage) -> FloatArray:
        """Return ``crop`` in Lab, L in 0..100, at most ``working_size`` a side."""
        size = self._size(crop.shape)
        if size is not None:
            crop = np.asarray(cv2.resize(crop, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        scaled = np.ascontiguousarray(crop, dtype=np.float32) / np.float32(255)
        return np.asarray(cv2.cvtColor(scaled, cv2.COLOR_RGB2LAB), dtype=np.float32)

    def _weights(self, mask: BoolMask) -> FloatArray:
        """Return the share of masked pixels, ``(h, w)`` in [0, 1], at most ``working_size`` a side."""
        weights = np.ascontiguousarray(mask, dtype=np.float32)  # 8 bits would lose a lone pixel in a large box
        size = self._size(mask.shape)
        if size is None:
            return weights
        return np.asarray(cv2.resize(weights, size, interpolation=cv2.INTER_AREA), dtype=np.float32)

    def _size(self, shape: tuple[int, ...]) -> tuple[int, int] | None:
        """Return the (width, height) to reduce a box of ``shape`` to, or ``None`` when it is small enough."""
        scale = self._options.working_size / max(shape[:2])
        return None if scale >= 1 else (max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale)))

    def _difference(self, first: FloatArray, second: FloatArray) -> FloatArray:
        """Return d(p) of the module's formula, ``(h, w)`` in [0, 1), for two Lab pictures ``(h, w, 3)``."""
        delta = first - second
        delta_e = np.sqrt(np.einsum("ijk,ijk->ij", delta, delta))
        colour = delta_e / (delta_e + _HALF_WAY)
        structure = _structure(first[..., 0], second[..., 0])
        weight = self._options.structure_weight
        return np.asarray((1 - weight) * colour + weight * structure, dtype=np.float32)


def _check(original: RGBImage, candidate: RGBImage, mask: BoolMask) -> None:
    for name, picture in (("original", original), ("candidate", candidate)):
        if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
            raise ImageError(
                f"expected {name} (H, W, 3) of uint8, got {picture.shape} of {picture.dtype}; convert it to 8-bit RGB"
            )
    if original.shape != candidate.shape or mask.shape != original.shape[:2]:
        raise ImageError(
            f"expected original, candidate and mask of equal size, got {original.shape[:2]}, {candidate.shape[:2]} and "
            f"{mask.shape}; resize them to the original's size"
        )
    if mask.dtype != np.bool_:
        raise ImageError(f"expected a mask of bool, got {mask.dtype}; pass mask > 0")
    if not mask.any():
        raise ImageError("expected a mask with at least one pixel, got an empty one; reject such a candidate before")


def _structure(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return (1 - cs) / 2 of two lightness fields ``(h, w)``, in [0, 1]."""
    # Both fields less one common level: the local variances stay, and float32 keeps their digits.
    level = np.float32((first.mean() + second.mean()) / 2)
    a, b = first - level, second - level
    mean_a, mean_b = _window(a), _window(b)
    variance_a = np.maximum(_window(a * a) - mean_a * mean_a, 0)
    variance_b = np.maximum(_window(b * b) - mean_b * mean_b, 0)
    covariance = _window(a * b) - mean_a * mean_b
    agreement = (2 * covariance + _STABILISER) / (variance_a + variance_b + _STABILISER)
    return np.asarray(np.clip((1 - agreement) / 2, 0, 1), dtype=np.float32)


def _window(field: FloatArray) -> FloatArray:
    smooth = cv2.GaussianBlur(field, (11, 11), _WINDOW_SIGMA, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(smooth, dtype=np.float32)


def _halve(picture: FloatArray) -> FloatArray:
    height, width = picture.shape[:2]
    reduced = cv2.resize(picture, (max(1, width // 2), max(1, height // 2)), interpolation=cv2.INTER_AREA)
    return np.asarray(reduced, dtype=np.float32)
