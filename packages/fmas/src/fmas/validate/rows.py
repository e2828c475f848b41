"""The shape of what a run writes as JSON: the identity in ``run.json`` and the two kinds of metadata rows.

Written from DESIGN sections 4 and 5, not from the code that writes it. Unknown fields are let pass.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, JsonValue

__all__ = ["AttemptRow", "CandidateRow", "ControlRow", "HeldOutRow", "Identity", "PairRow", "RefineLimits", "SourceRow"]

_Sha256: TypeAlias = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Count: TypeAlias = Annotated[int, Field(ge=0)]
_Positive: TypeAlias = Annotated[int, Field(ge=1)]
_Finite: TypeAlias = Annotated[float, Field(allow_inf_nan=False)]
_Text: TypeAlias = Annotated[str, Field(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class _Component(_Strict):
    name: _Text
    version: str


class RefineLimits(_Strict):
    """The part of ``identity.refine`` that rows can be held to."""

    min_noise_floor: int = Field(ge=4)
    min_peak: int = Field(ge=8)
    min_changed: float = Field(ge=0.9, le=1.0)
    attempts: _Positive


class PaintLimits(_Strict):
    """The part of ``identity.paint`` that rows can be held to."""

    severity_spread: float = Field(ge=0.0, le=1.0)


class RegionLimits(_Strict):
    """The part of ``identity.region`` that rows can be held to."""

    placements: _Positive


class _Select(_Strict):
    band: list[_Finite] = Field(min_length=2, max_length=2)


class Identity(_Strict):
    """What makes a run that run, as far as its output can be held to it."""

    fmas_version: _Text
    category: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")
    object: _Text
    seed: int
    per_image: _Positive
    candidates: _Positive
    holdout_good: float = Field(ge=0.0, lt=1.0)
    controls: float = Field(default=0.0, ge=0.0, le=1.0)
    max_pixels: _Positive
    segmenter: _Component
    inpainter: _Component
    selector: _Component
    region: RegionLimits
    paint: PaintLimits
    refine: RefineLimits
    select: _Select
    plan: _Sha256
    sources: _Sha256

    @property
    def attempts(self) -> int:
        """How often a candidate may be painted: so many times in each placement."""
        return self.refine.attempts * self.region.placements


class AttemptRow(_Strict):
    """One painted candidate."""

    candidate: _Count
    attempt: _Count
    seed: _Count


class CandidateRow(AttemptRow):
    """One that was accepted."""

    severity: float = Field(ge=0.0, le=1.0)
    score: _Finite
    box: list[_Count] = Field(min_length=4, max_length=4)
    mask_area: _Count
    noise_floor: _Count
    high: _Count


class _RejectionRow(AttemptRow):
    reason: _Text


class SourceRow(_Strict):
    """What the rows of pairs and of held-out photographs share."""

    stem: _Count
    category: str
    object: str
    source: _Text
    source_sha256: _Sha256
    width: _Positive
    height: _Positive
    fmas_version: str
    file_name: str
    image_sha256: _Sha256


class HeldOutRow(SourceRow):
    """A good photograph in ``test/good``."""

    defect: Literal["good"]
    mask_file_name: None
    normal_file_name: None


class ControlRow(SourceRow):
    """A negative control in ``train/good``."""

    control: Literal[True]
    defect: Literal["good"]
    mask_file_name: None
    normal_file_name: str
    normal_sha256: _Sha256
    prompt: _Text
    negative_prompt: str
    seed: _Count
    candidate: _Count
    attempt: _Count
    score: _Finite
    rejections: list[_RejectionRow]
    region_shape: _Text
    region_box: list[_Count] = Field(min_length=4, max_length=4)
    region_area: _Positive
    foreground_area: _Positive
    mask_area: _Positive
    components: dict[str, dict[str, JsonValue]]


class PairRow(SourceRow):
    """A synthetic image, its mask and its twin."""

    pair: _Count
    generation: _Count
    defect: str = Field(pattern=r"^[a-z0-9_]+$")
    defect_name: _Text
    kind: str
    severity: _Finite
    planned_severity: _Finite
    prompt: str
    negative_prompt: str
    seed: _Count
    candidate: _Count
    attempt: _Count
    score: _Finite
    band: list[_Finite] = Field(min_length=2, max_length=2)
    candidates: list[CandidateRow] = Field(min_length=1)
    rejections: list[_RejectionRow]
    noise_floor: _Count
    high_threshold: _Count
    region_shape: _Text
    region_box: list[_Count] = Field(min_length=4, max_length=4)
    region_area: _Positive
    foreground_kind: Literal["object", "texture"]
    foreground_confidence: float = Field(ge=0.0, le=1.0)
    foreground_area: _Positive
    mask_file_name: str
    mask_area: _Count
    mask_sha256: _Sha256
    normal_file_name: str
    normal_sha256: _Sha256
    components: dict[str, dict[str, JsonValue]]
