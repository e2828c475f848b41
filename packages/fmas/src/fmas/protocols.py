"""What a component of each kind can do; plugins implement these, the core calls them.

All five are stated in numpy terms (see :mod:`fmas.types`), never in torch or an SDK's. A component's result depends on
its arguments and its own options alone. Whatever it raises concerns the batch it was given; the core retries the
samples of that batch one by one, so that an error stays with the sample that caused it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from fmas.types import (
    BoolMask,
    Fingerprint,
    FloatMap,
    Foreground,
    InpaintJob,
    NormalSyntheticMask,
    PlanRequest,
    PromptPlan,
    RGBImage,
)

__all__ = ["LLM", "BatchSegmenter", "Component", "Detector", "Inpainter", "Segmenter", "Selector"]


@runtime_checkable
class Component(Protocol):
    """What all components share."""

    def fingerprint(self) -> Fingerprint:
        """Return name, version and options: everything a result depends on besides the input."""
        ...


@runtime_checkable
class LLM(Component, Protocol):
    """Writes what can go wrong with a product."""

    def plan(self, request: PlanRequest) -> PromptPlan:
        """Return at least one defect for ``request.object``; asked once per product."""
        ...


@runtime_checkable
class Segmenter(Component, Protocol):
    """Finds the product."""

    def segment(self, image: RGBImage) -> Foreground:
        """Return the foreground of ``image`` (``(H, W, 3)`` uint8); its mask has the image's size and is not empty."""
        ...


@runtime_checkable
class BatchSegmenter(Segmenter, Protocol):
    """A segmenter that is faster with several photographs at once; found by ``isinstance``."""

    @property
    def batch_size(self) -> int:
        """How many photographs it likes at once, from 1; it must take fewer as well."""
        ...

    def segment_many(self, images: Sequence[RGBImage]) -> Sequence[Foreground]:
        """Return for each image, in order, what :meth:`segment` would; the images may differ in size."""
        ...


@runtime_checkable
class Inpainter(Component, Protocol):
    """Paints defects into crops."""

    @property
    def multiple(self) -> int:
        """Crop sides are padded to a multiple of this, by reflection; 1 for no demand, 8 for SD, 16 for Flux."""
        ...

    @property
    def working_size(self) -> int | None:
        """The longer side, in pixels, that crops are resized to; ``None`` to work at native size."""
        ...

    def inpaint(self, jobs: Sequence[InpaintJob]) -> Sequence[RGBImage]:
        """Return one crop per job, of the same size, ``(H, W, 3)`` uint8, in the order of ``jobs``.

        Changes outside ``job.region`` are allowed; the core composites. ``job.image`` must not be written to.
        """
        ...


@runtime_checkable
class Selector(Component, Protocol):
    """Measures how strong a defect looks."""

    def score(self, original: RGBImage, candidate: RGBImage, mask: BoolMask) -> float:
        """Return a finite perceptual distance inside the mask's box; 0 = same, larger = more different."""
        ...


@runtime_checkable
class Detector(Component, Protocol):
    """Learns from synthetic pairs and inspects photographs."""

    def fit(self, pairs: Iterable[NormalSyntheticMask]) -> None:
        """Learn from pairs; what ``pairs`` yields is read once."""
        ...

    def score(self, images: Iterable[RGBImage]) -> Iterator[tuple[FloatMap, float]]:
        """Yield for each image, in order, its anomaly map (same height and width) and image score; larger is worse."""
        ...

    def save(self, directory: Path) -> None:
        """Write everything :meth:`load` needs into ``directory``."""
        ...

    def load(self, directory: Path) -> None:
        """Read what :meth:`save` wrote."""
        ...
