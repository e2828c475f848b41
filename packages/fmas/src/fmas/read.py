"""Stage 1: read the photograph, and make sure that it is the one that earlier pairs were made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fmas.errors import ImageError
from fmas.images import read_image
from fmas.samples import Sample
from fmas.stages import Resources
from fmas.types import Fingerprint

__all__ = ["ReadStage"]


class ReadStage:
    """Turns a path into pixels.

    Args:
        max_pixels: Larger photographs are refused before they are decoded.
    """

    name = "read"
    resources = Resources()
    batch_size = 1

    def __init__(self, *, max_pixels: int) -> None:
        self._max_pixels = max_pixels

    def setup(self) -> None:
        """Nothing to load."""

    def process(self, batch: Sequence[Sample]) -> list[Sample]:
        """Decode each sample."""
        return [self._read(sample) for sample in batch]

    def fingerprint(self) -> Fingerprint:
        """Return the limit."""
        return Fingerprint(self.name, "1", {"max_pixels": self._max_pixels})

    def _read(self, sample: Sample) -> Sample:
        image, digest = read_image(sample.source.path, max_pixels=self._max_pixels, shown_as=sample.source.relative)
        if sample.known_sha256 not in ("", digest):
            raise ImageError(
                f"expected the photograph {sample.source.relative!r} that other pairs were made of, got another "
                "content; restore it, or choose another --out"
            )
        image.flags.writeable = False  # a component that writes into its input must fail, not corrupt the twin
        return replace(sample, image=image, source_sha256=digest)
