"""The component: options, sizes, and the decision between a part and a texture."""

from __future__ import annotations

from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from fmas.builtin.segmenter.background import BackgroundFinder, Explanation, FloatArray, background_of
from fmas.builtin.segmenter.evidence import Evidence, belief, turned_round, weigh
from fmas.builtin.segmenter.outline import part_mask
from fmas.builtin.segmenter.surround import dark_surround
from fmas.errors import ImageError
from fmas.options import parse_options
from fmas.specs import Options
from fmas.types import BoolMask, Fingerprint, Foreground, RGBImage

__all__ = ["BuiltinSegmenter", "SegmenterOptions", "create"]

_VERSION = "2"  # raise it whenever the same picture would get another mask
_MOST_ENLARGED = 2.0  # thin parts of small pictures would be lost between the pixels
_SMALLEST_SIDE = 12  # below this the border is most of the picture: nothing to tell apart
_NOISY = 8.0  # grey levels of the second difference, from which on a median is worth the corners it rounds
_MOSTLY_BORDER = 0.4  # share of the border above which the other side may be the background
_SURE = 0.9  # no rival is looked at
_WORTH_HALVING = 200  # pixels
_WORTH_A_LOOK = 0.5  # of belief, from afar
_CERTAIN = 0.95  # a part that nothing can outvote
_PLAINER = 0.95  # ... when the other side has this much more markings and relief

# Lightness 0..100, green to red and blue to yellow. Unlike Lab it is linear, so that a shadow scales all three alike.
_OPPONENT = np.array([[0.299, 0.587, 0.114], [0.7, -0.7, 0.0], [0.35, 0.35, -0.7]], np.float32) / np.float32(2.55)


class SegmenterOptions(BaseModel):
    """Options of the built-in segmenter.

    Attributes:
        mode: ``auto`` decides; ``object`` always looks for a part; ``texture`` takes the whole picture.
        min_area: Parts smaller than this fraction of the picture are dropped.
        working_size: Longer side, in pixels, of the copy that is analysed; the mask has the picture's own size.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Literal["auto", "object", "texture"] = "auto"
    min_area: float = Field(default=0.002, gt=0.0, lt=1.0)
    working_size: int = Field(default=448, ge=64, le=2048)


def create(options: Options) -> BuiltinSegmenter:
    """Return the built-in segmenter; ``options`` are those of :class:`SegmenterOptions`."""
    return BuiltinSegmenter(parse_options(SegmenterOptions, options, section="segmenter"))


class BuiltinSegmenter:
    """Tells a part from its background; see :mod:`fmas.builtin.segmenter` for how."""

    def __init__(self, options: SegmenterOptions | None = None) -> None:
        self._options = options or SegmenterOptions()
        self._backgrounds = BackgroundFinder()

    def fingerprint(self) -> Fingerprint:
        """Return name, version and options."""
        return Fingerprint(name="builtin", version=_VERSION, config=self._options.model_dump(mode="json"))

    def segment(self, image: RGBImage) -> Foreground:
        """Return the part's mask, or the whole picture when it is a texture.

        Args:
            image: ``(H, W, 3)`` uint8 RGB, any size from 1x1.

        Returns:
            ``mask`` ``(H, W)`` bool, never empty; ``confidence`` in ``[0, 1]``, near 0 when nothing speaks either way.

        Raises:
            ImageError: If ``image`` has another shape or dtype.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
            raise ImageError(
                f"expected an image (H, W, 3) of uint8, got {image.shape} of {image.dtype}; convert it to 8-bit RGB"
            )
        height, width = image.shape[:2]
        if self._options.mode == "texture":
            return _whole(height, width, confidence=1.0)
        scale = min(self._options.working_size / max(height, width), _MOST_ENLARGED)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        if min(size) < _SMALLEST_SIDE:
            return _whole(height, width, confidence=0.0)
        calm = _without_noise(_resized(image, size), enlarged=scale)
        if not np.ptp(calm):
            return _whole(height, width, confidence=0.1)
        return self._decide(calm, height, width)

    def _decide(self, calm: RGBImage, height: int, width: int) -> Foreground:
        picture = np.asarray(cv2.transform(calm.astype(np.float32), _OPPONENT), np.float32)
        mask, sure = self._likeliest_part(calm, picture)
        found = mask.any() and (sure >= 0.5 or self._options.mode == "object")
        if found and sure >= _CERTAIN:
            return Foreground(_to_size(mask, height, width), "object", round(sure, 4))
        surround = dark_surround(picture[..., 0])
        if surround.any() and not (found and _same_ground(surround, mask, picture[..., 0])):
            return Foreground(_to_size(~surround, height, width), "object", 0.6)
        if found:
            return Foreground(_to_size(mask, height, width), "object", round(sure, 4))
        if self._options.mode == "object":
            return Foreground(np.ones((height, width), dtype=bool), "object", 0.0)
        # Finding no part proves less than finding one: never quite sure.
        return _whole(height, width, confidence=round(0.9 * (1.0 - sure), 4))

    def _likeliest_part(self, calm: RGBImage, picture: FloatArray) -> tuple[BoolMask, float]:
        """Return the part that the best explanation of the border leaves, maybe empty, and how sure it is one."""
        half: tuple[RGBImage, FloatArray] | None = None
        best, surest = np.zeros(picture.shape[:2], dtype=bool), 0.0
        for number, explanation in enumerate(self._backgrounds.explanations(picture)):
            if number and surest > _SURE:
                break
            if number and min(picture.shape[:2]) > _WORTH_HALVING:  # rivals are rare and costly: a look from afar first
                half = half or (np.asarray(_halved(calm), np.uint8), np.asarray(_halved(picture), np.float32))
                if self._part(*half, explanation)[1] <= max(surest, _WORTH_A_LOOK):
                    continue
            mask, sure = self._part(calm, picture, explanation)
            if mask.any() and sure >= surest:
                best, surest = mask, sure
        return best, surest

    def _part(self, calm: RGBImage, picture: FloatArray, explanation: Explanation) -> tuple[BoolMask, float]:
        """Return the part that ``explanation`` leaves, maybe empty, and how sure it is one."""
        background = background_of(picture, explanation)
        mask, shadow = part_mask(calm, background, min_area=self._options.min_area)
        if not mask.any() or (mask | shadow).all():
            return np.zeros_like(mask), 0.0
        evidence = weigh(mask, shadow, background)
        if _other_way_round(evidence):
            mask, evidence = ~mask, turned_round(evidence)
        return mask, belief(evidence)


def _halved(picture: RGBImage | FloatArray) -> NDArray[Any]:
    """Return ``picture`` at half its size."""
    height, width = picture.shape[:2]
    return np.asarray(cv2.resize(picture, (width // 2, height // 2), interpolation=cv2.INTER_AREA))


def _other_way_round(evidence: Evidence) -> bool:
    """Say whether the supposed part is the ground: it takes much of the border and is plainer than the rest."""
    return evidence.share >= _MOSTLY_BORDER and evidence.crossings <= 2 and evidence.roughness < _PLAINER


def _same_ground(surround: BoolMask, mask: BoolMask, lightness: FloatArray) -> bool:
    """Say whether the ground beside the part ``mask`` is as dark as the rim; else what is darker lies outside it."""
    return bool(np.median(lightness[~mask]) < 1.5 * np.median(lightness[surround]) + 3.0)


def _whole(height: int, width: int, *, confidence: float) -> Foreground:
    return Foreground(np.ones((height, width), dtype=bool), "texture", confidence)


def _resized(image: RGBImage, size: tuple[int, int]) -> RGBImage:
    """Return ``image`` at ``size`` (width, height); whole factors first, for they are fast."""
    height, width = image.shape[:2]
    if size[0] > width or size[1] > height:
        return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_CUBIC), np.uint8)
    whole = min(width // size[0], height // size[1])
    if whole > 1:
        image = np.asarray(cv2.resize(image, (width // whole, height // whole), interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), np.uint8)


def _without_noise(small: RGBImage, *, enlarged: float) -> RGBImage:
    """Return ``small`` without its sensor noise; corners are rounded only where there is much of it."""
    wiggle = cv2.convertScaleAbs(cv2.Laplacian(small[..., 1], cv2.CV_16S))
    if np.median(wiggle[::3, ::3]) < _NOISY / max(1.0, enlarged) ** 2:
        return np.asarray(cv2.GaussianBlur(small, (0, 0), 0.8), np.uint8)
    return np.asarray(cv2.GaussianBlur(cv2.medianBlur(small, 5), (0, 0), 1.0), np.uint8)


def _to_size(mask: BoolMask, height: int, width: int) -> BoolMask:
    """Return ``mask`` at native size with smooth edges; never empty, for ``mask`` is not."""
    if mask.shape == (height, width):
        return mask
    grown = cv2.resize(mask.astype(np.uint8) * 255, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(grown > 127)
