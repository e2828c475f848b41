"""What flows through the pipeline: a photograph on its way to becoming one or more (normal, defective, mask) pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Self

from fmas.secrecy import one_line
from fmas.sources import Source
from fmas.types import BoolMask, Defect, Foreground, RGBImage

__all__ = ["Box", "Candidate", "Failure", "Pair", "Region", "RejectReason", "Rejection", "Sample"]


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of pixels, right and bottom exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """Pixels across."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Pixels down."""
        return self.bottom - self.top

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of this box into an ``(H, W, …)`` array."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


class RejectReason(StrEnum):
    """Why a candidate was not accepted."""

    BLACK = "black"
    SATURATED = "saturated"
    UNCHANGED = "unchanged"
    TOO_SMALL = "too_small"
    OFF_OBJECT = "off_object"
    UNTRUE_MASK = "untrue_mask"


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """Where a defect may be painted.

    Attributes:
        shape: Its name.
        box: Its bounding box in the photograph.
        mask: ``(box.height, box.width)`` bool.
    """

    shape: str
    box: Box
    mask: BoolMask


@dataclass(frozen=True, slots=True)
class Rejection:
    """One painted candidate that was not accepted."""

    candidate: int
    attempt: int
    seed: int
    reason: RejectReason


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """One accepted candidate.

    Attributes:
        index: Which candidate, from 0.
        attempt: Which attempt was accepted, from 0.
        seed: The seed it was painted with.
        box: Where the crop lies in the photograph.
        image: The composite crop, ``(box.height, box.width, 3)`` uint8.
        mask: ``(box.height, box.width)`` bool, the truthful mask.
        noise_floor: Grey levels that the backend changes by itself.
        high: Grey levels that every component of the mask reaches somewhere.
        severity: The severity it was painted with.
        score: The selector's distance, once measured.
    """

    index: int
    attempt: int
    seed: int
    box: Box
    image: RGBImage
    mask: BoolMask
    noise_floor: int
    high: int
    severity: float
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why something could not be finished.

    Attributes:
        stage: The stage it happened in.
        reason: A short word to count by: ``rejected``, ``no_region`` or the error's class.
        message: One line for the user.
    """

    stage: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """One pair to be made of a photograph.

    Attributes:
        index: Which pair of this photograph, from 0.
        stem: Its number in the data set.
        generation: How many pictures of this place were dropped in review and made anew before.
        control: Whether it is the photograph's negative control: a defect's place and shape, painted intact.
        defect: What goes wrong.
        defect_slug: The defect's folder.
        placements: Where it may go; the next one is used when nothing was accepted in the one before.
        region: Where it went.
        candidates: The accepted candidates.
        rejections: The candidates that were not accepted.
        chosen: The candidate that is kept.
        failure: Why this pair cannot be made.
        files: Once written: relative path -> SHA-256 of the file.
        sizes: Once written: relative path -> bytes of the file.
        row: Once written: its metadata.
        kept: Once written: path relative to ``OUT`` -> SHA-256 of the file, of every candidate that was kept.
    """

    index: int
    stem: int
    generation: int = 0
    control: bool = False
    defect: Defect | None = None
    defect_slug: str = ""
    placements: tuple[Region, ...] = ()
    region: Region | None = None
    candidates: tuple[Candidate, ...] = ()
    rejections: tuple[Rejection, ...] = ()
    chosen: Candidate | None = None
    failure: Failure | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    row: Mapping[str, object] | None = None
    kept: Mapping[str, str] = field(default_factory=dict)

    @property
    def seeds_as(self) -> int:
        """The pair whose seeds it has: a control those of the photograph's first."""
        return 0 if self.control else self.index


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A photograph and the pairs wanted of it.

    Attributes:
        source: Where it comes from.
        pairs: What is to be made.
        known_sha256: SHA-256 of the source file that its finished pairs were made of; empty if there are none.
        held_out: Whether it goes to ``test/good`` as it is.
        image: ``(H, W, 3)`` uint8 RGB, once decoded.
        source_sha256: SHA-256 of the source file, once read.
        foreground: Where the product is, once segmented.
        failure: Why nothing can be made of it.
        usage: What the inpainter used since an earlier sample told, whichever it was for.
    """

    source: Source
    pairs: tuple[Pair, ...]
    known_sha256: str = ""
    held_out: bool = False
    image: RGBImage | None = None
    source_sha256: str = ""
    foreground: Foreground | None = None
    failure: Failure | None = None
    usage: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Whether the remaining stages have nothing to do."""
        return self.failure is not None

    @property
    def active(self) -> tuple[Pair, ...]:
        """The pairs that have not failed."""
        return tuple(pair for pair in self.pairs if pair.failure is None)

    def with_failure(self, stage: str, error: BaseException) -> Self:
        """Return this sample as failed by ``error``, without its pixels."""
        return replace(self, failure=Failure(stage, type(error).__name__, one_line(error))).without_pixels()

    def with_pair(self, pair: Pair) -> Self:
        """Return this sample with ``pair`` in the place of the one of the same index."""
        return replace(self, pairs=tuple(pair if old.index == pair.index else old for old in self.pairs))

    def without_pixels(self) -> Self:
        """Return this sample without anything large, to be sent between processes."""
        pairs = tuple(replace(pair, placements=(), region=None, candidates=(), chosen=None) for pair in self.pairs)
        return replace(self, image=None, foreground=None, pairs=pairs)
