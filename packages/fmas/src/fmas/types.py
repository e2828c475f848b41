"""The values that travel between the core and the components, in numpy terms only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "BoolMask",
    "Defect",
    "DefectKind",
    "Fingerprint",
    "FloatMap",
    "Foreground",
    "InpaintJob",
    "NormalSyntheticMask",
    "Placement",
    "PlanRequest",
    "PromptPlan",
    "RGBImage",
]

RGBImage: TypeAlias = NDArray[np.uint8]
"""``(H, W, 3)`` uint8, RGB order, 0..255."""

BoolMask: TypeAlias = NDArray[np.bool_]
"""``(H, W)`` bool."""

FloatMap: TypeAlias = NDArray[np.float32]
"""``(H, W)`` float32; larger is more anomalous."""

Placement: TypeAlias = Literal["auto", "anywhere", "edge", "inside"]
"""Where on the product a defect lies; ``auto`` leaves it to whoever asks next, in the end to the defect's kind."""


class DefectKind(StrEnum):
    """What a defect physically is; a closed list, so that a renderer can have one drawing for each."""

    SCRATCH = "scratch"
    CRACK = "crack"
    DENT = "dent"
    HOLE = "hole"
    CHIP = "chip"
    BREAK = "break"
    STAIN = "stain"
    CONTAMINATION = "contamination"
    DISCOLORATION = "discoloration"
    FRAY = "fray"
    MISPRINT = "misprint"
    BEND = "bend"
    MISSING = "missing"
    OTHER = "other"

    @property
    def reaches_edge(self) -> bool:
        """Whether such a defect may reach over the foreground's border (a fray stands out, a break takes away)."""
        return self in _EDGE_KINDS

    @property
    def spreads(self) -> bool:
        """Whether such a defect may spread over much of a surface; a fray does where it is a worn patch, no edge."""
        return self in _SPREADING_KINDS


_SPREADING_KINDS = frozenset({DefectKind.STAIN, DefectKind.DISCOLORATION, DefectKind.FRAY})
_EDGE_KINDS = frozenset({DefectKind.CHIP, DefectKind.BREAK, DefectKind.FRAY, DefectKind.BEND})


class Defect(BaseModel):
    """One thing that can go wrong with the product, as an inpainter needs to hear it.

    Attributes:
        name: Free text; the core turns it into the folder name ``<defect>``, numbered when it repeats.
        prompt: What to paint, in English.
        negative_prompt: What to avoid; may be empty.
        kind: The physical kind, from a closed list with ``other``.
        severity: 0 = hardly visible, 1 = as strong as this kind gets.
        placement: Where it lies: ``anywhere`` on the product, at its ``edge``, ``inside`` away from the edge; ``auto``
            is the edge for kinds that reach over it (chip, break, fray, bend), anywhere for the others.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=200, pattern=r"\S")
    prompt: str = Field(min_length=1, max_length=4000, pattern=r"\S")
    negative_prompt: str = Field(default="", max_length=4000)
    kind: DefectKind = DefectKind.OTHER
    severity: float = Field(default=0.5, ge=0.0, le=1.0, allow_inf_nan=False)
    placement: Placement = "auto"

    def identity(self) -> dict[str, object]:
        """Return the fields as JSON values, as digests take them: without a placement that is left open.

        Plans made before there was a placement keep their digests by that.
        """
        return self.model_dump(mode="json", exclude={"placement"} if self.placement == "auto" else None)


class PromptPlan(BaseModel):
    """What an LLM answers once per product: at least one defect."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    defects: tuple[Defect, ...] = Field(min_length=1, max_length=200)


@dataclass(frozen=True, slots=True, eq=False)
class PlanRequest:
    """What an LLM is asked.

    Attributes:
        object: The product in the user's words, e.g. ``magnetic tile``.
        reference: A photograph of a good part, ``(H, W, 3)`` uint8 RGB, or ``None``.
    """

    object: str
    reference: RGBImage | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Foreground:
    """Where the product is.

    Attributes:
        mask: ``(H, W)`` bool, ``True`` on the product; all ``True`` for a texture.
        kind: ``object`` on a background, or ``texture`` that fills the picture.
        confidence: How sure the segmenter is, in ``[0, 1]``.
    """

    mask: BoolMask
    kind: Literal["object", "texture"]
    confidence: float


@dataclass(frozen=True, slots=True, eq=False)
class InpaintJob:
    """One defect to paint into one crop.

    Attributes:
        image: The crop, ``(H, W, 3)`` uint8 RGB; both sides are a multiple of the inpainter's ``multiple``.
        region: ``(H, W)`` bool, never empty; where paint may go. The core discards every change outside it.
        foreground: ``(H, W)`` bool; where the product is in this crop.
        defect: What to paint.
        seed: In ``[0, 2**53)``; the result depends on the job alone, whatever else is in the batch.
    """

    image: RGBImage
    region: BoolMask
    foreground: BoolMask
    defect: Defect
    seed: int


@dataclass(frozen=True, slots=True, eq=False)
class NormalSyntheticMask:
    """One training pair of a detector.

    Attributes:
        normal: ``(H, W, 3)`` uint8 RGB, the good part.
        synthetic: ``(H, W, 3)`` uint8 RGB, the same with a defect.
        mask: ``(H, W)`` bool, ``True`` on the defect.
    """

    normal: RGBImage
    synthetic: RGBImage
    mask: BoolMask


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a result of a component depends on besides its input; goes into run identities and provenance.

    Attributes:
        name: The component's registered name.
        version: Changes whenever the same input would give another result.
        config: The component's resolved options, JSON values only, never a secret.
    """

    name: str
    version: str
    config: Mapping[str, object] = field(default_factory=dict)

    def digest(self) -> str:
        """Return a SHA-256 over name, version and config, as 64 hex digits."""
        canonical = json.dumps(
            {"name": self.name, "version": self.version, "config": dict(self.config)}, sort_keys=True, allow_nan=False
        )
        return hashlib.sha256(canonical.encode()).hexdigest()
