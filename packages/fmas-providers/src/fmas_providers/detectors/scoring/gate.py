"""Look where the product is: what lies around it is certainly no defect of it.

The segmenter finds the product; the gate is 1 on it and up to a margin beyond its outline (a fray stands out, and no
outline is exact to the pixel), falls smoothly to 0 across another half margin, and multiplies the map. Maps are at
least 0, which is the least anomalous value of any picture, so outside the product pixels of all pictures rank equally
low. The image score is taken after that.

The gate stays open everywhere for a texture, when the segmenter is unsure, and when it contradicts what the good parts
showed in training (:class:`GateReference`): a segmenter that takes a stain for the part, or half of the part for all
of it, must not hide a defect.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Self

import cv2
import numpy as np

from fmas.plugins import load_plugins
from fmas.segment import checked_foreground
from fmas.types import Fingerprint, FloatMap, Foreground, RGBImage

if TYPE_CHECKING:
    from fmas.protocols import Segmenter

__all__ = ["LEAST_CONFIDENCE", "Gate", "GateReference", "apply_gate"]

LEAST_CONFIDENCE = 0.5
"""Below this the segmenter is not believed."""

_LONGEST_SIDE = 1024  # pixels of the copy that a segmenter is given; it may look at a smaller one yet
# For an outline that is widened by a margin anyhow, the built-in segmenter need not look as closely as for a data set.
_COARSE: Mapping[str, Mapping[str, object]] = {"builtin": {"working_size": 256}}
_MOSTLY = 0.5  # share of the good parts that must be objects for the gate to be used at all
_MOST_THREADS = 4
_SHRUNK = 0.6  # of the usual area: less was found than there must be


@dataclass(frozen=True, slots=True)
class GateReference:
    """What the segmenter says of good parts; kept with a trained model.

    Attributes:
        objects: Share of the photographs on which it found an object and was sure of it, in ``[0, 1]``.
        area: Median share of the picture that these objects take, in ``[0, 1]``; 0 when there were none.
    """

    objects: float
    area: float

    @property
    def is_of_use(self) -> bool:
        """Whether the product is mostly an object; a gate for a texture stays open, whatever a photograph shows."""
        return self.objects >= _MOSTLY

    def believes(self, foreground: Foreground) -> bool:
        """Say whether ``foreground`` may close the gate."""
        return self.is_of_use and float(np.mean(foreground.mask)) >= _SHRUNK * self.area

    def to_json(self) -> dict[str, float]:
        """Return the fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, object]) -> Self:
        """Read what :meth:`to_json` gave.

        Raises:
            ValueError: If a field is missing or no number in ``[0, 1]``.
        """
        numbers = [values.get(name) for name in ("objects", "area")]
        for name, number in zip(("objects", "area"), numbers, strict=True):
            if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0.0 <= number <= 1.0:
                raise ValueError(f"expected a number in [0, 1] for {name} of the gate, got {number!r}")
        return cls(*(float(number) for number in numbers if isinstance(number, (int, float))))


class Gate:
    """Finds where on a picture its map counts.

    May be asked from as many threads at once as it has segmenters.

    Args:
        segmenters: Find the product; more than one of a kind where several threads are to find it, for a segmenter may
            keep things from one call to the next.
        margin: How far beyond the outline the gate stays open, as a part of the picture's longer side.
        reference: What is usual for this product; without one every sure object is believed.
    """

    def __init__(self, *segmenters: Segmenter, margin: float, reference: GateReference | None = None) -> None:
        self.threads = len(segmenters)
        self._free: SimpleQueue[Segmenter] = SimpleQueue()
        for segmenter in segmenters:
            self._free.put(segmenter)
        self._margin = margin
        self._reference = reference

    @classmethod
    def named(cls, segmenter: str, *, margin: float, reference: GateReference | None = None) -> Self:
        """Return a gate with the segmenter of that registered name.

        One that requires nothing beyond ``fmas`` is created once per thread, four at the most; others hold a model, and
        are created once.

        Raises:
            UnknownComponentError: If there is none of that name.
            PluginError: If it cannot be created.
        """
        plugins = load_plugins()
        count = 1 if plugins.spec("segmenter", segmenter).requires else min(os.cpu_count() or 1, _MOST_THREADS)
        each = (plugins.create("segmenter", segmenter, _COARSE.get(segmenter, {})) for _ in range(count))
        return cls(*each, margin=margin, reference=reference)

    def fingerprint(self) -> Fingerprint:
        """Return the segmenter's."""
        with self._segmenter() as segmenter:
            return segmenter.fingerprint()

    def find(self, image: RGBImage) -> FloatMap | None:
        """Return how much each pixel counts.

        Args:
            image: ``(H, W, 3)`` uint8 RGB.

        Returns:
            ``(H, W)`` float32 in ``[0, 1]``, or ``None`` where all of it counts.

        Raises:
            ComponentError: If the segmenter breaks its contract.
        """
        if self._reference and not self._reference.is_of_use:
            return None
        foreground = self._segment(image)
        if not _sure_object(foreground) or (self._reference and not self._reference.believes(foreground)):
            return None
        height, width = foreground.mask.shape
        weights = _soft(foreground, self._margin * max(height, width))
        if weights is None or weights.shape == image.shape[:2]:
            return weights
        size = image.shape[1], image.shape[0]
        return np.asarray(cv2.resize(weights, size, interpolation=cv2.INTER_LINEAR), np.float32)

    def learn(self, images: Iterable[RGBImage]) -> GateReference:
        """Return what the segmenter says of these photographs of good parts; a few dozen are enough."""
        areas, seen = [], 0
        for image in images:
            foreground = self._segment(image)
            seen += 1
            if _sure_object(foreground):
                areas.append(float(np.mean(foreground.mask)))
        return GateReference(len(areas) / seen if seen else 0.0, float(np.median(areas)) if areas else 0.0)

    def _segment(self, image: RGBImage) -> Foreground:
        height, width = image.shape[:2]
        scale = _LONGEST_SIDE / max(height, width)
        if scale < 1.0:
            size = max(1, round(width * scale)), max(1, round(height * scale))
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        with self._segmenter() as segmenter:
            return checked_foreground(segmenter.segment(image), image)

    @contextmanager
    def _segmenter(self) -> Iterator[Segmenter]:
        """Lend a segmenter that no other thread is using."""
        segmenter = self._free.get()
        try:
            yield segmenter
        finally:
            self._free.put(segmenter)


def _sure_object(foreground: Foreground) -> bool:
    return foreground.kind == "object" and foreground.confidence >= LEAST_CONFIDENCE


def _soft(foreground: Foreground, margin: float) -> FloatMap | None:
    """Return 1 up to ``margin`` pixels from the product, 0 from one and a half of it on; ``None`` if 1 everywhere."""
    outside = (~foreground.mask).view(np.uint8)
    if not outside.any():
        return None
    distance = cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_5)
    if float(distance.max()) <= margin:
        return None
    width = max(margin / 2, 1.0)  # without a margin one pixel is soft
    rising = np.clip((margin + width - np.asarray(distance, np.float32)) / np.float32(width), 0.0, 1.0)
    return np.asarray(rising * rising * (3.0 - 2.0 * rising), np.float32)


def apply_gate(anomaly_map: FloatMap, weights: FloatMap | None) -> None:
    """Close the gate over ``anomaly_map``, ``(H, W)`` float32 of values from 0, in place."""
    if weights is not None and not math.isclose(float(weights.min()), 1.0):
        anomaly_map *= weights
