"""Stage 2: find the product in the photograph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fmas.components import ComponentHandle
from fmas.errors import ComponentError
from fmas.protocols import Segmenter
from fmas.samples import Sample
from fmas.stages import Resources
from fmas.types import Fingerprint, Foreground, RGBImage

__all__ = ["SegmentStage", "checked_foreground"]

_KINDS = ("object", "texture")


class SegmentStage:
    """Gives every photograph its foreground.

    Args:
        segmenter: The component.
    """

    name = "segment"
    batch_size = 1

    def __init__(self, segmenter: ComponentHandle[Segmenter]) -> None:
        self._segmenter = segmenter

    @property
    def resources(self) -> Resources:
        """What the component asks for."""
        return self._segmenter.resources()

    def setup(self) -> None:
        """Create the segmenter."""
        self._segmenter.get()

    def process(self, batch: Sequence[Sample]) -> list[Sample]:
        """Segment each sample but those held out."""
        return [self._process_one(sample) for sample in batch]

    def fingerprint(self) -> Fingerprint:
        """Return the segmenter's."""
        return self._segmenter.fingerprint()

    def _process_one(self, sample: Sample) -> Sample:
        if sample.held_out or sample.image is None:
            return sample
        foreground = self._segmenter.get().segment(sample.image)
        return replace(sample, foreground=checked_foreground(foreground, sample.image))


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
