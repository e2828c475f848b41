"""Choosing the product among proposed masks: the largest is often the background, and a texture has no product at all.

A proposal is scored by::

    score = quality * inside * centred * size        each factor in [0, 1]

    quality   predicted IoU times stability, as the model gives them
    inside    1 - 2 * (share of the picture's border that the mask covers), not below 0
    centred   1 at the picture's centre, 1/2 when the mask's centre lies on the border
    size      0 below ``min_area`` and above ``max_area`` of the picture, 1 between

The best one is the product, together with further proposals nearly as good that lie beside it (several parts). When no
proposal scores above ``least_score`` the picture is a texture and everything is foreground.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from fmas.types import BoolMask, Foreground

__all__ = ["Proposal", "RankingOptions", "choose_foreground", "scored"]


class RankingOptions(BaseModel):
    """How the product is chosen among proposals.

    Attributes:
        min_area: Smaller masks, as a share of the picture, are no product.
        max_area: Larger ones are background, or a texture.
        least_score: Below this no proposal is believed and the picture is taken for a texture.
        beside: A further part must score at least this share of the best one.
        fill_holes: Holes up to this share of the product's area are filled; larger ones show the background.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_area: float = Field(default=0.02, gt=0.0, lt=1.0)
    max_area: float = Field(default=0.9, gt=0.0, le=1.0)
    least_score: float = Field(default=0.3, ge=0.0, le=1.0)
    beside: float = Field(default=0.85, gt=0.0, le=1.0)
    fill_holes: float = Field(default=0.01, ge=0.0, lt=1.0)

    @model_validator(mode="after")
    def _ordered(self) -> RankingOptions:
        if self.min_area >= self.max_area:
            raise ValueError(f"expected min_area below max_area, got {self.min_area} and {self.max_area}; swap them")
        return self


@dataclass(frozen=True, slots=True, eq=False)
class Proposal:
    """One mask that a model proposes.

    Attributes:
        mask: ``(H, W)`` bool.
        predicted_iou: What the model thinks of it, about 0..1.
        stability: How little it changes with the threshold, 0..1; 1 where the model does not say.
    """

    mask: BoolMask
    predicted_iou: float
    stability: float = 1.0


def scored(proposal: Proposal, options: RankingOptions) -> float:
    """Return how well a proposal suits as the product, in [0, 1]; the formula stands in the module's first lines."""
    mask = proposal.mask
    area = float(mask.mean())
    if not options.min_area <= area <= options.max_area:
        return 0.0
    border = np.concatenate([mask[0], mask[-1], mask[1:-1, 0], mask[1:-1, -1]])
    inside = max(1.0 - 2.0 * float(border.mean()), 0.0)
    rows, columns = np.nonzero(mask)
    height, width = mask.shape
    away = (
        max(abs(rows.mean() / (height - 1) - 0.5), abs(columns.mean() / (width - 1) - 0.5))
        if height > 1 < width
        else 0.0
    )
    centred = 1.0 - float(min(away, 0.5))
    quality = float(np.clip(proposal.predicted_iou, 0.0, 1.0) * np.clip(proposal.stability, 0.0, 1.0))
    return quality * inside * centred


def choose_foreground(proposals: Sequence[Proposal], shape: tuple[int, int], options: RankingOptions) -> Foreground:
    """Return the product, or the whole picture as a texture.

    Args:
        proposals: Masks of the picture's size; may be empty.
        shape: The picture's height and width.
        options: Thresholds.

    Returns:
        A foreground that is never empty; the confidence is the best score for an object, its complement for a texture.
    """
    scores = [scored(proposal, options) for proposal in proposals]
    best = max(range(len(scores)), key=lambda index: scores[index]) if scores else -1
    if best < 0 or scores[best] < options.least_score:
        doubt = scores[best] if best >= 0 else 0.0
        return Foreground(np.ones(shape, np.bool_), "texture", round(1.0 - doubt, 4))
    mask = proposals[best].mask.copy()
    for index in sorted(range(len(scores)), key=lambda index: -scores[index]):
        other = proposals[index].mask
        overlap = int(np.count_nonzero(other & mask)) / max(int(np.count_nonzero(other)), 1)
        if scores[index] >= options.beside * scores[best] and overlap < 0.1 and not _surrounds(other, mask):
            mask |= other
    return Foreground(_filled(mask, options.fill_holes), "object", round(scores[best], 4))


def _surrounds(other: BoolMask, mask: BoolMask) -> bool:
    """Whether ``other`` lies around ``mask``, as a background with a hole does."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    above, below = other[: rows[0]].any(), other[rows[-1] + 1 :].any()
    left, right = other[:, : columns[0]].any(), other[:, columns[-1] + 1 :].any()
    return bool(above and below and left and right)


def _filled(mask: BoolMask, largest: float) -> BoolMask:
    """Fill holes up to ``largest`` of the mask's area."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats((~mask).astype(np.uint8), connectivity=4)
    height, width = mask.shape
    left, top = stats[:, cv2.CC_STAT_LEFT], stats[:, cv2.CC_STAT_TOP]
    at_border = (
        (left == 0)
        | (top == 0)
        | (left + stats[:, cv2.CC_STAT_WIDTH] == width)
        | (top + stats[:, cv2.CC_STAT_HEIGHT] == height)
    )
    small = (stats[:, cv2.CC_STAT_AREA] <= largest * np.count_nonzero(mask)) & ~at_border
    small[0] = False  # the mask itself
    return np.asarray(mask | small[labels], dtype=np.bool_)
