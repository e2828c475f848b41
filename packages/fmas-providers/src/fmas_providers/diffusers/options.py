"""The options of the inpainter ``diffusers``."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from fmas_providers.devices import DTypeName

__all__ = ["DiffusersOptions"]

_SPEED_ONLY = {"batch_size", "cpu_offload", "attention_slicing", "compile", "local_files_only", "device"}


class DiffusersOptions(BaseModel):
    """Options of the inpainter ``diffusers``.

    Attributes:
        model: A repository on the Hugging Face hub, or a folder that ``save_pretrained`` wrote.
        revision: The commit, tag or branch to load; the commit that it turned out to be is recorded.
        variant: A variant of the weights' files, e.g. ``fp16``.
        steps: Denoising steps.
        guidance: How strictly prompts are followed; the pipeline's own default when not given.
        strength: How much of the original may be forgotten, 1 for all of it; the pipeline's own default when not given.
        size: Longer side, in pixels, that crops are brought to; the size that the family was trained at by default.
        device: ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.
        dtype: ``auto`` takes the half precision that is safe for the family on a GPU, float32 on a CPU.
        batch_size: Candidates painted at once, across photographs.
        cpu_offload: Keep on the GPU only the part of the model that works: slower, a fraction of the memory.
        attention_slicing: Compute attention in slices: slower, less memory.
        compile: Compile the denoiser with ``torch.compile``: slow start, faster steps.
        safety_checker: Keep the checker of Stable Diffusion 1 and 2; its black pictures are painted again.
        local_files_only: Never ask the network; the weights must be there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(default="stable-diffusion-v1-5/stable-diffusion-inpainting", min_length=1)
    revision: str | None = None
    variant: str | None = None
    steps: int = Field(default=30, ge=1, le=1000)
    guidance: float | None = Field(default=None, ge=0.0, allow_inf_nan=False)
    strength: float | None = Field(default=None, gt=0.0, le=1.0, allow_inf_nan=False)
    size: int | None = Field(default=None, ge=64, le=4096, multiple_of=64)
    device: str = "auto"
    dtype: DTypeName = "auto"
    batch_size: int = Field(default=4, ge=1, le=256)
    cpu_offload: bool = False
    attention_slicing: bool = False
    compile: bool = False
    safety_checker: bool = True
    local_files_only: bool = False

    def identity(self) -> dict[str, object]:
        """Return the options that a picture depends on, as JSON values."""
        return self.model_dump(mode="json", exclude=_SPEED_ONLY)
