"""The options of everything after the network; readable without torch, shared by all detectors that score tiles."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["ScoringOptions"]


class ScoringOptions(BaseModel):
    """How pictures are cut, gated and turned into one number.

    Attributes:
        tile: Largest side of a tile in pixels of the photograph; a larger picture is cut into overlapping tiles of
            equal size, a smaller one is a single tile.
        overlap: Of neighbouring tiles, in pixels; at most half a tile. Should be at least the network's reach.
        score_batch: Tiles that go through the network at once.
        gate: Whether only the product counts, not what lies around it.
        gate_margin: How far beyond the product's outline the gate stays open, as a part of the picture's longer side.
        segmenter: Registered name of the segmenter that finds the product.
        flips: Whether a map is the mean over the picture and its mirror images, which costs four times as much and is a
            little better; ``auto`` does so for pictures that are looked at as a whole, where it is cheap.
        top_fraction: Part of the picture whose highest values make the image score; see
            :func:`fmas_providers.detectors.scoring.image_score.image_score` for its limits.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tile: int = Field(default=512, ge=32, le=8192)
    overlap: int = Field(default=64, ge=0, le=4096)
    score_batch: int = Field(default=4, ge=1, le=4096)
    gate: bool = True
    gate_margin: float = Field(default=0.02, ge=0.0, le=0.5, allow_inf_nan=False)
    segmenter: str = Field(default="builtin", min_length=1)
    flips: Literal["auto", "always", "never"] = "auto"
    top_fraction: float = Field(default=0.001, gt=0.0, le=1.0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _overlap_fits(self) -> Self:
        if self.overlap > self.tile // 2:
            raise ValueError(
                f"expected overlap of at most half of tile={self.tile}, got {self.overlap}; lower it or raise tile"
            )
        return self
