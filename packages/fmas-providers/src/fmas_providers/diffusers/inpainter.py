"""The inpainter ``diffusers``: jobs in, batches of equal size through the pipeline, crops out."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import diffusers
import numpy as np
import torch
from PIL import Image

from fmas.errors import ComponentError
from fmas.options import parse_options
from fmas.specs import Options
from fmas.types import BoolMask, Fingerprint, InpaintJob, RGBImage
from fmas_providers.devices import describe_device
from fmas_providers.diffusers.loading import find_model, load_pipeline
from fmas_providers.diffusers.options import DiffusersOptions
from fmas_providers.weights import weights_on_disk

__all__ = ["DiffusersInpainter", "create", "diagnose"]

_VERSION = "1"  # raise it whenever the same options would paint another picture


def create(options: Options) -> DiffusersInpainter:
    """Return the inpainter; ``options`` are those of :class:`DiffusersOptions`. No weight is loaded yet."""
    return DiffusersInpainter(parse_options(DiffusersOptions, options, section="inpainter"))


def diagnose(options: Options) -> dict[str, str]:
    """Say what a run would paint with; nothing is loaded or fetched.

    Raises:
        ConfigError: If the device or the weights are missing, or the model is no pipeline that paints.
    """
    wanted = parse_options(DiffusersOptions, options, section="inpainter")
    device = describe_device(wanted.device)
    weights = weights_on_disk(wanted.model, wanted.revision, section="inpainter")
    found = find_model(wanted.model_copy(update={"local_files_only": True}))
    return {"device": device, "pipeline": found.class_name, "weights": weights}


class DiffusersInpainter:
    """Paints with a diffusion model; its weights are loaded when the first job arrives.

    Each candidate has a generator of its own, seeded with the job's seed, so that a picture does not depend on what
    else is in its batch (but for the last bits, where a device's arithmetic depends on the batch's size).
    """

    def __init__(self, options: DiffusersOptions) -> None:
        self._options = options
        self._found = find_model(options)
        self._pipeline: Any = None
        self._warned: set[str] = set()

    @property
    def multiple(self) -> int:
        """What the family's sides must be a multiple of."""
        return self._found.adapter.multiple

    @property
    def working_size(self) -> int | None:
        """Longer side in pixels."""
        return self._options.size or self._found.adapter.working_size

    def fingerprint(self) -> Fingerprint:
        """Return name, version, the options that a picture depends on, the weights' identity and diffusers' version."""
        return Fingerprint(
            "diffusers",
            _VERSION,
            {
                **self._options.identity(),
                "weights": self._found.identity,
                "pipeline": self._found.class_name,
                "diffusers": diffusers.__version__,
            },
        )

    def inpaint(self, jobs: Sequence[InpaintJob]) -> list[RGBImage]:
        """Paint every job.

        Raises:
            ComponentError: If the weights cannot be loaded, memory runs out or the model gives no numbers.
        """
        if self._pipeline is None:
            self._pipeline = load_pipeline(self._options, self._found)
        painted: dict[int, RGBImage] = {}
        for batch in self._batches(jobs):
            results = self._paint([job for _, job in batch])
            painted.update({number: result for (number, _), result in zip(batch, results, strict=True)})
        return [painted[number] for number in range(len(jobs))]

    def _batches(self, jobs: Sequence[InpaintJob]) -> Iterator[list[tuple[int, InpaintJob]]]:
        """Group jobs by size, whichever photographs they come from."""
        by_size = sorted(enumerate(jobs), key=lambda item: item[1].image.shape[:2])
        for _, group in groupby(by_size, key=lambda item: item[1].image.shape[:2]):
            same = list(group)
            for start in range(0, len(same), self._options.batch_size):
                yield same[start : start + self._options.batch_size]

    def _paint(self, jobs: Sequence[InpaintJob]) -> list[RGBImage]:
        try:
            with torch.inference_mode():
                output = self._pipeline(**self._arguments(jobs)).images
        except torch.OutOfMemoryError as error:
            raise ComponentError(
                f"expected {len(jobs)} candidates of {jobs[0].image.shape[1]} x {jobs[0].image.shape[0]} to fit into "
                "memory, got out of memory; lower inpainter.batch_size or set inpainter.cpu_offload=true"
            ) from error
        pictures = np.asarray(output, dtype=np.float32)
        expected = (len(jobs), *jobs[0].image.shape)
        if pictures.shape != expected:
            raise ComponentError(
                f"expected pictures of shape {expected} from the pipeline, got {pictures.shape}; this is no inpainting "
                "pipeline that fmas knows, choose another inpainter.model"
            )
        if not np.isfinite(pictures).all():
            raise ComponentError(
                "expected numbers from the pipeline, got NaN; half precision overflows in this model: set "
                "inpainter.dtype=float32 or bfloat16"
            )
        return list(np.round(np.clip(pictures, 0, 1) * 255).astype(np.uint8))

    def _arguments(self, jobs: Sequence[InpaintJob]) -> Mapping[str, object]:
        adapter, options = self._found.adapter, self._options
        height, width = jobs[0].image.shape[:2]
        arguments: dict[str, object] = {
            "prompt": [self._within_tokens(job.defect.prompt) for job in jobs],
            "image": [Image.fromarray(np.ascontiguousarray(job.image)) for job in jobs],
            "mask_image": [Image.fromarray(_latent_mask(job.region, adapter.multiple)) for job in jobs],
            "height": height,
            "width": width,
            "num_inference_steps": options.steps,
            # On the CPU, so that a seed gives the same noise on every device.
            "generator": [torch.Generator("cpu").manual_seed(job.seed) for job in jobs],
            "output_type": "np",
        }
        if adapter.negative_prompt:
            arguments["negative_prompt"] = [self._within_tokens(job.defect.negative_prompt) for job in jobs]
        if options.guidance is not None:
            arguments[adapter.guidance] = options.guidance
        if options.strength is not None and adapter.strength:
            arguments["strength"] = options.strength
        return arguments

    def _within_tokens(self, prompt: str) -> str:
        """Return the prompt; say once, on stderr, when the model will not read its end."""
        tokenizer = getattr(self._pipeline, "tokenizer", None)
        limit = self._found.adapter.tokens
        if tokenizer is not None and prompt not in self._warned:
            self._warned.add(prompt)
            count = len(tokenizer(prompt, truncation=False, verbose=False)["input_ids"])
            if count > limit:
                warnings.warn(
                    f"the prompt {prompt[:60]!r}… has {count} tokens, this model reads {limit}: its end has no effect",
                    UserWarning,
                    stacklevel=2,
                )
        return prompt


def _latent_mask(region: BoolMask, cell: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return the mask that the model sees, 0 or 255: those cells of its latents that lie wholly in the region.

    Latents are 8 or 16 times coarser than pixels. A cell that reaches out of the region would be painted beyond it, and
    the core, which measures there what the model changes by itself, would take the defect for noise. A region without
    one whole cell gets the cells that it touches.
    """
    height, width = region.shape
    cells = region.reshape(height // cell, cell, width // cell, cell)
    inside = cells.all(axis=(1, 3))
    if not inside.any():
        inside = cells.any(axis=(1, 3))
    return inside.repeat(cell, axis=0).repeat(cell, axis=1).astype(np.uint8) * np.uint8(255)
