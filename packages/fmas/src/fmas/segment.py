"""Stage 2: find the product in the photograph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fmas.components import ComponentHandle
from fmas.errors import ComponentError
from fmas.protocols import BatchSegmenter, Segmenter
from fmas.samples import Sample
from fmas.stages import Resources
from fmas.types import Fingerprint, Foreground, RGBImage

__all__ = ["SegmentStage", "checked_foreground"]

_KINDS = ("object", "texture")


class SegmentStage:
    """Gives every photograph its foreground; several at once where the segmenter can do that.

    Args:
        segmenter: The component.
    """

    name = "segment"

    def __init__(self, segmenter: ComponentHandle[Segmenter]) -> None:
        self._segmenter = segmenter

    @property
    def batch_size(self) -> int:
        """As many as the component likes, one if it takes them one by one; creates the component.

        Raises:
            ComponentError: If the component likes no number of them.
        """
        component = self._segmenter.get()
        size: object = component.batch_size if isinstance(component, BatchSegmenter) else 1
        if not isinstance(size, int) or size < 1:
            raise ComponentError(
                f"expected a whole number from 1 as the segmenter's batch_size, got {size!r}; check it with "
                "fmas.testing.check_segmenter"
            )
        return size

    @property
    def resources(self) -> Resources:
        """What the component asks for."""
        return self._segmenter.resources()

    def setup(self) -> None:
        """Create the segmenter, and see that its batch size is one."""
        _ = self.batch_size

    def process(self, batch: Sequence[Sample]) -> list[Sample]:
        """Segment each sample but those held out."""
        images = [sample.image for sample in batch if sample.image is not None and not sample.held_out]
        foregrounds = iter(self._segment(images))
        return [
            sample
            if sample.image is None or sample.held_out
            else replace(sample, foreground=checked_foreground(next(foregrounds), sample.image))
            for sample in batch
        ]

    def fingerprint(self) -> Fingerprint:
        """Return the segmenter's."""
        return self._segmenter.fingerprint()

    def _segment(self, images: Sequence[RGBImage]) -> Sequence[Foreground]:
        component = self._segmenter.get()
        if len(images) < 2 or not isinstance(component, BatchSegmenter):
            return [component.segment(image) for image in images]
        found = component.segment_many(images)
        if len(found) != len(images):
            raise ComponentError(
                f"expected {len(images)} foregrounds from the segmenter, got {len(found)}; check it with "
                "fmas.testing.check_segmenter"
            )
        return found


def checked_foreground(foreground: Foreground, image: RGBImage) -> Foreground:
    """Return a copy of ``foreground`` if it keeps the segmenter's contract.

    Raises:
        ComponentError: If the mask has another size or dtype than promised, or is empty, or kind or confidence is
            none.
    """
    mask = foreground.mask
    if mask.dtype != np.bool_ or mask.shape != image.shape[:2]:
        raise ComponentError(
            f"expected a bool mask of shape {image.shape[:2]} from the segmenter, got {mask.dtype} {mask.shape}; "
            "check it with fmas.testing.check_segmenter"
        )
    confidence: object = foreground.confidence
    if not isinstance(confidence, (int, float)) or not 0.0 <= confidence <= 1.0 or foreground.kind not in _KINDS:
        raise ComponentError(
            f"expected kind object or texture and a confidence in [0, 1] from the segmenter, got {foreground.kind!r} "
            f"and {confidence!r}; check it with fmas.testing.check_segmenter"
        )
    if not mask.any():
        raise ComponentError("expected a foreground, got an empty mask from the segmenter; try another --segmenter")
    mask = mask.copy()  # a segmenter may use its buffer again
    mask.flags.writeable = False
    return replace(foreground, mask=mask)
