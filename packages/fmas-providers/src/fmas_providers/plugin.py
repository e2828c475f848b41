"""What this package brings to fmas: names and one line each; no SDK is imported here, nor before one is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fmas import hookimpl
from fmas.specs import DetectorSpec, InpainterSpec, LLMSpec, SegmenterSpec, SelectorSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from fmas.specs import Options

__all__ = [
    "fmas_register_detectors",
    "fmas_register_inpainters",
    "fmas_register_llms",
    "fmas_register_segmenters",
    "fmas_register_selectors",
]


def _install(extra: str) -> str:
    return f"pip install 'fmas-providers[{extra}]'"


def _create(module: str) -> Callable[[Options], Any]:
    """Return what imports ``fmas_providers.<module>`` when it is called, and calls its ``create``."""

    def create(options: Options) -> Any:  # noqa: ANN401 (a component of whichever kind the spec is of)
        return import_module(f"fmas_providers.{module}").create(options)

    return create


def _diagnose(module: str) -> Callable[[Options], Any]:
    """Return what imports ``fmas_providers.<module>`` when it is called, and calls its ``diagnose``."""

    def diagnose(options: Options) -> Any:  # noqa: ANN401 (words by words)
        return import_module(f"fmas_providers.{module}").diagnose(options)

    return diagnose


@hookimpl
def fmas_register_llms() -> list[LLMSpec]:
    """Return the language models."""
    return [
        LLMSpec(
            "openai",
            "GPT, or any server that speaks OpenAI's language (vLLM, Ollama, LM Studio).",
            _create("openai.llm"),
            requires=("openai",),
            install=_install("openai"),
        ),
        LLMSpec(
            "anthropic",
            "Claude.",
            _create("anthropic.llm"),
            requires=("anthropic",),
            install=_install("anthropic"),
        ),
    ]


@hookimpl
def fmas_register_segmenters() -> list[SegmenterSpec]:
    """Return the segmenters."""
    return [
        SegmenterSpec(
            "sam",
            "Segment Anything (ViT-B, L or H) from a checkpoint file.",
            _create("segment_anything.segmenter"),
            requires=("torch", "torchvision", "segment_anything"),
            install=_install("sam"),
            diagnose=_diagnose("segment_anything.segmenter"),
            elsewhere=True,
        ),
        SegmenterSpec(
            "sam-hf",
            "SAM, SAM 2 or SAM 3 from the Hugging Face hub; SAM 3 is asked for the product by its name.",
            _create("transformers_sam.segmenter"),
            requires=("torch", "torchvision", "transformers"),
            install=_install("sam-hf"),
            diagnose=_diagnose("transformers_sam.segmenter"),
            elsewhere=True,
            takes_object=True,
        ),
    ]


@hookimpl
def fmas_register_inpainters() -> list[InpainterSpec]:
    """Return the inpainters."""
    return [
        InpainterSpec(
            "diffusers",
            "Stable Diffusion, SDXL, SD 3, Flux, Qwen-Image or another inpainting pipeline, by id or folder.",
            _create("diffusers.inpainter"),
            requires=("torch", "diffusers", "transformers"),
            install=_install("diffusers"),
            diagnose=_diagnose("diffusers.inpainter"),
            elsewhere=True,
        ),
        InpainterSpec(
            "openai-images",
            "OpenAI's image model; it knows no seed and repaints the whole crop.",
            _create("openai.images"),
            requires=("openai",),
            install=_install("openai"),
            elsewhere=True,
        ),
    ]


@hookimpl
def fmas_register_selectors() -> list[SelectorSpec]:
    """Return the selectors."""
    return [
        SelectorSpec(
            "lpips",
            "The learned perceptual distance of the paper.",
            _create("lpips.selector"),
            requires=("torch", "torchvision", "lpips"),
            install=_install("lpips"),
            diagnose=_diagnose("lpips.selector"),
            elsewhere=True,
        ),
    ]


@hookimpl
def fmas_register_detectors() -> list[DetectorSpec]:
    """Return the detectors."""
    return [
        DetectorSpec(
            "unet",
            "A compact U-Net that looks through WDAM and learns from the masks; from scratch, in minutes on a CPU.",
            _create("detectors.unet.detector"),
            requires=("torch", "wdam", "safetensors"),
            install=_install("detector"),
            diagnose=_diagnose("detectors.unet.detector"),
        ),
        DetectorSpec(
            "cutpaste",
            "The paper's: normal, CutPaste scar or FMAS anomaly, by a WideResNet that looks through WDAM.",
            _create("detectors.cutpaste.detector"),
            requires=("torch", "wdam", "safetensors", "timm"),
            install=_install("cutpaste"),
            diagnose=_diagnose("detectors.cutpaste.detector"),
        ),
        DetectorSpec(
            "onnx",
            "What `fmas export --onnx` wrote, without torch.",
            _create("detectors.onnx.detector"),
            requires=("onnxruntime",),
            install=_install("onnx"),
            diagnose=_diagnose("detectors.onnx.detector"),
        ),
    ]
