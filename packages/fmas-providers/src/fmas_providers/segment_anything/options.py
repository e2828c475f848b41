"""The options of the segmenter ``sam``; readable without its package."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from fmas_providers.devices import DTypeName
from fmas_providers.segmentation.ranking import RankingOptions

__all__ = ["SAMOptions"]


class SAMOptions(BaseModel):
    """Options of the segmenter ``sam``.

    Attributes:
        checkpoint: The weights' file, e.g. ``sam_vit_b_01ec64.pth``.
        model: ``vit_b``, ``vit_l`` or ``vit_h``; told by the file's name when not given.
        mode: ``prompt`` points at the centre, away from the corners, and is fast; ``everything`` asks for all masks of
            a grid of points and takes the best.
        points_per_side: Of that grid.
        pred_iou_thresh: Masks that the model itself rates lower are dropped in ``everything``.
        stability_score_thresh: Masks that change more with the threshold are dropped in ``everything``.
        batch_size: Photographs embedded at once in ``prompt``; 4 on a GPU and 1 elsewhere when not given.
            ``everything`` takes them one by one.
        device: ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.
        dtype: The precision of the image encoder, which does nearly all the work; ``auto`` takes bfloat16 on a GPU,
            float32 on a CPU. The decoder always computes in float32.
        ranking: How the product is chosen among the masks.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    checkpoint: Path
    model: str | None = None
    mode: Literal["prompt", "everything"] = "prompt"
    points_per_side: int = Field(default=16, ge=1, le=128)
    pred_iou_thresh: float = Field(default=0.88, allow_inf_nan=False)
    stability_score_thresh: float = Field(default=0.95, allow_inf_nan=False)
    batch_size: int | None = Field(default=None, ge=1, le=256)
    device: str = "auto"
    dtype: DTypeName = "auto"
    ranking: RankingOptions = RankingOptions()
