"""Stage 1: read the photograph and find the product in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fmas.components import ComponentHandle
from fmas.errors import ComponentError, ImageError
from fmas.images import read_image
from fmas.protocols import Segmenter
from fmas.samples import Sample
from fmas.stages import Resources
from fmas.types import Fingerprint, Foreground, RGBImage

__all__ = ["SegmentStage", "checked_foreground"]

_KINDS = ("object", "texture")


class SegmentStage:
    """Turns a path into pixels and a foreground.

    Args:
        segmenter: The component.
        max_pixels: Larger photographs are refused before they are decoded.
    """

    name = "segment"
    resources = Resources()
    batch_size = 1

    def __init__(self, segmenter: ComponentHandle[Segmenter], *, max_pixels: int) -> None:
        self._segmenter = segmenter
        self._max_pixels = max_pixels

    def setup(self) -> None:
        """Create the segmenter."""
        self._segmenter.get()

    def process(self, batch: Sequence[Sample]) -> list[Sample]:
        """Decode and segment each sample; a held-out one is only decoded."""
        return [self._process_one(sample) for sample in batch]

    def fingerprint(self) -> Fingerprint:
        """Return the segmenter's."""
        return self._segmenter.fingerprint()

    def _process_one(self, sample: Sample) -> Sample:
        image, digest = read_image(sample.source.path, max_pixels=self._max_pixels, shown_as=sample.source.relative)
        if sample.known_sha256 not in ("", digest):
            raise ImageError(
                f"expected the photograph {sample.source.relative!r} that other pairs were made of, got another "
                "content; restore it, or choose another --out"
            )
        image.flags.writeable = False  # a component that writes into its input must fail, not corrupt the twin
        sample = replace(sample, image=image, source_sha256=digest)
        if sample.held_out:
            return sample
        return replace(sample, foreground=checked_foreground(self._segmenter.get().segment(image), image))


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
