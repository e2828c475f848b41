"""The options of the segmenter ``sam-hf``; readable without transformers."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from fmas_providers.devices import DTypeName
from fmas_providers.segmentation.ranking import RankingOptions

__all__ = ["SAMHFOptions"]


class SAMHFOptions(BaseModel):
    """Options of the segmenter ``sam-hf``.

    Attributes:
        model: A repository on the Hugging Face hub, or a folder that ``save_pretrained`` wrote.
        revision: The commit, tag or branch to load; the commit that it turned out to be is recorded.
        object: What SAM 3 is asked for; the run's ``--object`` when not given.
        threshold: Instances that SAM 3 is less sure of are left out.
        batch_size: Photographs embedded at once; 4 on a GPU and 1 elsewhere when not given.
        device: ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.
        dtype: ``auto`` takes bfloat16 on a GPU, float32 on a CPU.
        local_files_only: Never ask the network; the weights must be there.
        ranking: How the product is chosen among the masks.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(default="facebook/sam2.1-hiera-base-plus", min_length=1)
    revision: str | None = None
    object: str | None = Field(default=None, min_length=1)
    threshold: float = Field(default=0.3, ge=0.0, le=1.0)
    batch_size: int | None = Field(default=None, ge=1, le=256)
    device: str = "auto"
    dtype: DTypeName = "auto"
    local_files_only: bool = False
    ranking: RankingOptions = RankingOptions()
