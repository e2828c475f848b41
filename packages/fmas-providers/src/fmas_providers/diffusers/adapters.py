"""What each family of inpainting pipelines wants, in one table: a family that behaves otherwise gets a row, no code.

Everything here is told by a pipeline's class name, which ``model_index.json`` holds, so that sizes and options are
known before any weight is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from fmas.errors import ConfigError, suggest

__all__ = ["ADAPTERS", "Adapter", "adapter_for"]

Guidance: TypeAlias = Literal["guidance_scale", "true_cfg_scale"]


@dataclass(frozen=True, slots=True)
class Adapter:
    """One family.

    Attributes:
        family: Its name, for messages.
        pipeline: The class in ``diffusers`` that inpaints; ``None`` lets ``AutoPipelineForInpainting`` find it.
        multiple: What the sides of an image must be a multiple of: the VAE's factor, times two where latents are packed
            in 2 x 2 patches (diffusers would resize without asking).
        working_size: Longer side, in pixels, that the family was trained at.
        negative_prompt: Whether it takes one.
        guidance: The name of its guidance argument. Distilled families take a second one for real negative prompts.
        strength: Whether it takes one.
        half: The half precision in which it gives no NaN.
        tokens: How many tokens of a prompt it reads.
    """

    family: str
    pipeline: str | None
    multiple: int
    working_size: int
    negative_prompt: bool = True
    guidance: Guidance = "guidance_scale"
    strength: bool = True
    half: Literal["float16", "bfloat16"] = "float16"
    tokens: int = 77


_SD = Adapter("Stable Diffusion", "StableDiffusionInpaintPipeline", 8, 512)
_SDXL = Adapter("Stable Diffusion XL", "StableDiffusionXLInpaintPipeline", 8, 1024)  # its VAE is upcast by diffusers
_SD3 = Adapter("Stable Diffusion 3", "StableDiffusion3InpaintPipeline", 16, 1024, tokens=256)
_FLUX = Adapter("Flux", "FluxInpaintPipeline", 16, 1024, guidance="true_cfg_scale", half="bfloat16", tokens=512)
_FLUX_FILL = Adapter("Flux Fill", "FluxFillPipeline", 16, 1024, negative_prompt=False, half="bfloat16", tokens=512)
_KONTEXT = Adapter(
    "Flux Kontext", "FluxKontextInpaintPipeline", 16, 1024, guidance="true_cfg_scale", half="bfloat16", tokens=512
)
_FLUX2 = Adapter("Flux 2", "Flux2KleinInpaintPipeline", 16, 1024, negative_prompt=False, half="bfloat16", tokens=512)
_QWEN = Adapter(
    "Qwen-Image", "QwenImageInpaintPipeline", 16, 1024, guidance="true_cfg_scale", half="bfloat16", tokens=512
)
_QWEN_EDIT = Adapter(
    "Qwen-Image-Edit", "QwenImageEditInpaintPipeline", 16, 1024, guidance="true_cfg_scale", half="bfloat16", tokens=512
)
_CHROMA = Adapter("Chroma", "ChromaInpaintPipeline", 16, 1024, half="bfloat16", tokens=512)
_ZIMAGE = Adapter("Z-Image", "ZImageInpaintPipeline", 16, 1024, half="bfloat16", tokens=512)
_KANDINSKY = Adapter("Kandinsky 2.2", "KandinskyV22InpaintCombinedPipeline", 64, 768, strength=False)
_OTHER = Adapter("another family", None, 16, 512)

ADAPTERS: dict[str, Adapter] = {
    "StableDiffusionPipeline": _SD,
    "StableDiffusionImg2ImgPipeline": _SD,
    "StableDiffusionInpaintPipeline": _SD,
    "StableDiffusionXLPipeline": _SDXL,
    "StableDiffusionXLImg2ImgPipeline": _SDXL,
    "StableDiffusionXLInpaintPipeline": _SDXL,
    "StableDiffusion3Pipeline": _SD3,
    "StableDiffusion3Img2ImgPipeline": _SD3,
    "StableDiffusion3InpaintPipeline": _SD3,
    "FluxPipeline": _FLUX,
    "FluxImg2ImgPipeline": _FLUX,
    "FluxInpaintPipeline": _FLUX,
    "FluxFillPipeline": _FLUX_FILL,
    "FluxKontextPipeline": _KONTEXT,
    "FluxKontextInpaintPipeline": _KONTEXT,
    "Flux2KleinPipeline": _FLUX2,
    "Flux2KleinInpaintPipeline": _FLUX2,
    "QwenImagePipeline": _QWEN,
    "QwenImageImg2ImgPipeline": _QWEN,
    "QwenImageInpaintPipeline": _QWEN,
    "QwenImageEditPipeline": _QWEN_EDIT,
    "QwenImageEditInpaintPipeline": _QWEN_EDIT,
    "ChromaPipeline": _CHROMA,
    "ChromaImg2ImgPipeline": _CHROMA,
    "ChromaInpaintPipeline": _CHROMA,
    "ZImagePipeline": _ZIMAGE,
    "ZImageInpaintPipeline": _ZIMAGE,
    "KandinskyV22CombinedPipeline": _KANDINSKY,
    "KandinskyV22InpaintCombinedPipeline": _KANDINSKY,
    "KandinskyV22DecoderPipeline": _KANDINSKY,
}
"""The class that ``model_index.json`` names -> how to use it for inpainting."""


def adapter_for(class_name: str) -> Adapter:
    """Return how to inpaint with a pipeline of this class.

    Raises:
        ConfigError: If it is certainly no pipeline that paints pictures.
    """
    if class_name in ADAPTERS:
        return ADAPTERS[class_name]
    if any(word in class_name for word in ("Audio", "Video", "Upscale", "Music")) or not class_name.endswith(
        "Pipeline"
    ):
        raise ConfigError(
            f"expected a pipeline that can inpaint, got {class_name!r}: {suggest(class_name, ADAPTERS)}; choose "
            "another inpainter.model"
        )
    return _OTHER
