"""What an inpainter gets to see: a crop around the region, sized as its model needs it, and the way back.

The core does all of this so that a provider never has to: models differ in multiples, sizes and in whether they paste.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from fmas.config import CropConfig
from fmas.errors import ComponentError
from fmas.protocols import Inpainter
from fmas.samples import Box, Region
from fmas.types import BoolMask, Defect, InpaintJob, RGBImage

__all__ = ["Crop", "cut_crop"]

_LEAST_WORKING_SIZE = 16

ScalarT = TypeVar("ScalarT", bound=np.generic)


@dataclass(frozen=True, slots=True, eq=False)
class Crop:
    """A crop of a photograph on its way to a model and back.

    Attributes:
        box: Where it lies in the photograph.
        image: ``(box.height, box.width, 3)`` uint8, native size.
        region: ``(box.height, box.width)`` bool.
        foreground: ``(box.height, box.width)`` bool.
        multiple: What the model's sides must be a multiple of.
        working_size: What the longer side is resized to, or ``None``.
    """

    box: Box
    image: RGBImage
    region: BoolMask
    foreground: BoolMask
    multiple: int
    working_size: int | None

    def job(self, defect: Defect, seed: int) -> InpaintJob:
        """Return the crop as the model wants it: resized, then padded by reflection."""
        image, region, foreground = self.image, self.region, self.foreground
        size = self._resized_size()
        if size != (self.box.width, self.box.height):
            shrinks = size[0] < self.box.width
            image = np.asarray(
                cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC), dtype=np.uint8
            )
            region = _resize_region(region, size)
            foreground = np.asarray(cv2.resize(foreground.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0)
        pad = ((0, -image.shape[0] % self.multiple), (0, -image.shape[1] % self.multiple))
        if any(after for _, after in pad):
            image = np.pad(image, (*pad, (0, 0)), mode="symmetric")
            region = np.pad(region, pad)
            foreground = np.pad(foreground, pad, mode="symmetric")
        return InpaintJob(_frozen(image), _frozen(region), _frozen(foreground), defect, seed)

    def restore(self, output: object) -> RGBImage:
        """Bring a model's output back to the crop's native size.

        Raises:
            ComponentError: If the output is not what the protocol promises: the job's size, three channels, uint8.
        """
        width, height = self._resized_size()
        expected = (height + -height % self.multiple, width + -width % self.multiple, 3)
        if not isinstance(output, np.ndarray) or output.shape != expected or output.dtype != np.uint8:
            got = f"{output.dtype} {output.shape}" if isinstance(output, np.ndarray) else type(output).__name__
            raise ComponentError(
                f"expected a uint8 array of shape {expected} from the inpainter, got {got}; "
                "check it with fmas.testing.check_inpainter"
            )
        output = output[:height, :width]
        if (width, height) != (self.box.width, self.box.height):
            shrinks = self.box.width < width
            interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
            resized = cv2.resize(output, (self.box.width, self.box.height), interpolation=interpolation)
            return np.asarray(resized, dtype=np.uint8)
        return output

    def _resized_size(self) -> tuple[int, int]:
        """Return width and height before padding."""
        if self.working_size is None:
            return self.box.width, self.box.height
        scale = self.working_size / max(self.box.width, self.box.height)
        return max(round(self.box.width * scale), 1), max(round(self.box.height * scale), 1)


def cut_crop(image: RGBImage, foreground: BoolMask, region: Region, config: CropConfig, inpainter: Inpainter) -> Crop:
    """Cut what an inpainter needs to see around a region.

    Args:
        image: The photograph, ``(H, W, 3)`` uint8.
        foreground: ``(H, W)`` bool.
        region: Where to paint.
        config: How much context.
        inpainter: Whose ``multiple`` and ``working_size`` count.

    Returns:
        The crop, inside the photograph.
    """
    _check_traits(inpainter)
    height, width = image.shape[:2]
    border = round(config.context * max(region.box.width, region.box.height))
    left, right = _span(region.box.left, region.box.right, border, config.min_side, width)
    top, bottom = _span(region.box.top, region.box.bottom, border, config.min_side, height)
    box = Box(left, top, right, bottom)
    allowed = np.zeros((box.height, box.width), dtype=np.bool_)
    inner = region.box
    allowed[inner.top - top : inner.bottom - top, inner.left - left : inner.right - left] = region.mask
    return Crop(
        box=box,
        image=image[box.slices],
        region=allowed,
        foreground=foreground[box.slices],
        multiple=inpainter.multiple,
        working_size=inpainter.working_size,
    )


def _check_traits(inpainter: Inpainter) -> None:
    multiple: object = inpainter.multiple  # whatever a plugin really has there
    size: object = inpainter.working_size
    if not isinstance(multiple, int) or multiple < 1:
        raise ComponentError(
            f"expected an inpainter's multiple as a whole number >= 1, got {multiple!r}; mend the plugin"
        )
    if size is not None and (not isinstance(size, int) or size < _LEAST_WORKING_SIZE):
        raise ComponentError(
            f"expected an inpainter's working_size as a whole number >= {_LEAST_WORKING_SIZE} or None, got {size!r}; "
            "mend the plugin"
        )


def _span(low: int, high: int, border: int, least: int, size: int) -> tuple[int, int]:
    """Grow ``low..high`` by a border, to a least length, inside ``0..size``."""
    low, high = low - border, high + border
    missing = max(least - (high - low), 0)
    low, high = low - missing // 2, high + missing - missing // 2
    # Push back into the picture before cutting, so that a region at the frame keeps its context on the other side.
    if low < 0:
        low, high = 0, high - low
    if high > size:
        low, high = low - (high - size), size
    return max(low, 0), high


def _resize_region(region: BoolMask, size: tuple[int, int]) -> BoolMask:
    """Resize so that every pixel that holds some of the region belongs to it: a thin one must not vanish."""
    shrinks = size[0] < region.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(region.astype(np.float32), size, interpolation=interpolation) > 0)


def _frozen(array: NDArray[ScalarT]) -> NDArray[ScalarT]:
    array = np.ascontiguousarray(array)
    view = array.view()
    view.flags.writeable = False
    return view
