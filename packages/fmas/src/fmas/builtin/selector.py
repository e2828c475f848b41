"""The built-in selector: how clearly a defect can be seen, without a trained network.

Computed inside the mask's bounding box and 8 pixels around it, at ``scales`` sizes, each half the one before. At each
size, for pixel p::

    colour(p)    = dE / (dE + 20 + min(s_a, s_b))      dE: Euclidean distance in CIE Lab
    structure(p) = (1 - cs) / 2                        cs = (2 s_ab + 9) / (s_a^2 + s_b^2 + 9)
    d(p)         = m(p) ((1 - w) colour(p) + w structure(p))
    D            = sqrt(sum of the 64 largest d(p)^2 / 64)
    score        = (mean of D^4 over the sizes)^(1/4)

``s_a``, ``s_b`` are the standard deviations of lightness in a Gaussian window of 1.5 pixels, ``s_ab`` the covariance;
``cs`` is the contrast-structure term of SSIM (Wang et al., 2004), its constant being (0.03 * 100)^2 for L in 0..100;
``m`` is the mask, at coarser sizes the share of masked pixels. A dE of about 2 is just visible, 20 is a strong stain;
hence the constant that puts 20 half way. A busy surface hides what a smooth one shows (contrast masking), hence the
contrast that both pictures have.

What is seen is the clearest part of a defect, not its average: a scratch is no harder to see for a faint shadow beside
it. So only the 64 largest distances of each size count, and faint pixels added to a mask never lower the score; a mark
of fewer pixels counts the rest as unchanged. The power mean over the sizes lets the size at which a defect is clearest
speak loudest: a hairline at full size, a shallow dent at an eighth.

The score is 0 for identical pictures, symmetric in them, and below 1. ``benchmarks/bench_selector.py`` measures how
well it follows the severity of every built-in kind of defect.
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

_VERSION = "2"  # raise it whenever the same pictures would get another score, and measure fmas.intensity anew
_HALF_WAY = 20.0  # dE at which the colour term is one half
_STABILISER = 9.0  # (0.03 * 100)^2, SSIM's second constant for L in 0..100
_WINDOW_SIGMA = 1.5  # SSIM's own window
_SMALLEST_SIDE = 4  # the coarsest size must still have a few pixels to compare
_MARGIN = 8  # pixels; more than the window reaches at full size
_CLEAREST = 64  # pixels: about the patch that the eye takes in as one at reading distance
_STRIDE = 16
_POWER = 4  # over the sizes; the larger, the more the clearest one decides

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
        """Return the perceptual distance inside the mask's box; what lies around it gives the contrast at its edge.

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
        # With a margin: the contrast of a scratch that lies straight in its box is that with what is beside it.
        box = np.s_[
            max(rows[0] - _MARGIN, 0) : rows[-1] + 1 + _MARGIN, max(columns[0] - _MARGIN, 0) : columns[-1] + 1 + _MARGIN
        ]
        first, second = self._lab(original[box]), self._lab(candidate[box])
        # Halving is linear, so of the colours only the differences have to go through all sizes.
        hue = np.ascontiguousarray(first[..., 1:] - second[..., 1:])
        planes = [np.ascontiguousarray(first[..., 0]), np.ascontiguousarray(second[..., 0]), hue]
        weights = self._weights(mask[box])
        total = 0.0
        for scale in range(self._options.scales):
            if scale > 0:
                planes, weights = [_halve(plane) for plane in planes], _halve(weights)
            total += _clearest(self._difference(*planes) * weights) ** _POWER
        return float((total / self._options.scales) ** (1 / _POWER))

    def _lab(self, crop: RGBImage) -> FloatArray:
        """Return ``crop`` in Lab, L in 0..100, at most ``working_size`` a side before it is padded."""
        size = self._size(crop.shape)
        crop = np.ascontiguousarray(crop)
        if size is not None:
            crop = np.asarray(cv2.resize(crop, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        # In 8 bits: whole-number arithmetic is the same on every processor, and a step is less than half a dE.
        lab = cv2.cvtColor(crop, cv2.COLOR_RGB2LAB).astype(np.float32)
        lab[..., 0] *= np.float32(100 / 255)
        return self._padded(lab, cv2.BORDER_REPLICATE)

    def _weights(self, mask: BoolMask) -> FloatArray:
        """Return the share of masked pixels, ``(h, w)`` in [0, 1], 0 where it is padded."""
        weights = np.ascontiguousarray(mask, dtype=np.float32)  # 8 bits would lose a lone pixel in a large box
        size = self._size(mask.shape)
        if size is not None:
            weights = np.asarray(cv2.resize(weights, size, interpolation=cv2.INTER_AREA), dtype=np.float32)
        return self._padded(weights, cv2.BORDER_CONSTANT)

    def _padded(self, field: FloatArray, border: int) -> FloatArray:
        """Return ``field`` with sides that halve evenly to every scale: a thin box has as many as a square one."""
        step = 2 ** (self._options.scales - 1)
        down, right = (max(-side % step, _SMALLEST_SIDE * step - side) for side in field.shape[:2])
        return np.asarray(cv2.copyMakeBorder(field, 0, down, 0, right, border, value=0), dtype=np.float32)

    def _size(self, shape: tuple[int, ...]) -> tuple[int, int] | None:
        """Return the (width, height) to reduce a box of ``shape`` to, or ``None`` when it is small enough."""
        scale = self._options.working_size / max(shape[:2])
        return None if scale >= 1 else (max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale)))

    def _difference(self, first: FloatArray, second: FloatArray, hue: FloatArray) -> FloatArray:
        """Return d(p) of the module's formula before ``m``, ``(h, w)`` in [0, 1).

        Args:
            first: Lightness of one picture, ``(h, w)``, 0..100.
            second: Lightness of the other.
            hue: Difference of a and b, ``(h, w, 2)``.
        """
        green_red, blue_yellow = cv2.split(hue)
        delta = first - second  # not cv2.magnitude: its last digits depend on where an array lies in memory
        delta_e = np.sqrt(delta * delta + green_red * green_red + blue_yellow * blue_yellow)
        structure, masking = _structure(first, second)
        colour = delta_e / (delta_e + _HALF_WAY + masking)
        weight = np.float32(self._options.structure_weight)
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


def _structure(first: FloatArray, second: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return (1 - cs) / 2 of two lightness fields ``(h, w)``, in [0, 1], and the contrast that both have, in L."""
    # Both fields less one common level: the local variances stay, and float32 keeps their digits.
    level = np.float32((first.mean() + second.mean()) / 2)
    a, b = first - level, second - level
    mean_a, mean_b = _window(a), _window(b)
    variance_a = np.maximum(_window(a * a) - mean_a * mean_a, 0)
    variance_b = np.maximum(_window(b * b) - mean_b * mean_b, 0)
    covariance = _window(a * b) - mean_a * mean_b
    agreement = (2 * covariance + _STABILISER) / (variance_a + variance_b + _STABILISER)
    masking = np.sqrt(np.minimum(variance_a, variance_b))
    return np.clip((1 - agreement) / 2, 0, 1).astype(np.float32), masking.astype(np.float32)


def _clearest(difference: FloatArray) -> float:
    """Return the root mean square of the largest distances; where there are fewer, the rest counts as 0."""
    flat = difference.ravel()
    sample = flat[::_STRIDE]
    if sample.size > _CLEAREST:  # what is below the largest of a sample cannot be among the largest of all
        flat = flat[flat >= np.partition(sample, sample.size - _CLEAREST)[-_CLEAREST]]
    if flat.size > _CLEAREST:
        flat = np.partition(flat, flat.size - _CLEAREST)[-_CLEAREST:]
    return float(np.sqrt(np.square(flat, dtype=np.float64).sum() / _CLEAREST))


def _window(field: FloatArray) -> FloatArray:
    smooth = cv2.GaussianBlur(field, (11, 11), _WINDOW_SIGMA, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(smooth, dtype=np.float32)


def _halve(picture: FloatArray) -> FloatArray:
    height, width = picture.shape[:2]
    reduced = cv2.resize(picture, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    return np.asarray(reduced, dtype=np.float32)
