"""The inpainter ``openai-images``: OpenAI's image model edits a crop, guided by a mask.

The service regenerates the whole crop and takes the mask as a hint only; the core keeps nothing but what changed inside
the region more than the rest did. It knows no seed, so that painting again gives another picture: a finished pair is
never painted again, but two runs into two folders differ.
"""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from PIL import Image

from fmas.errors import ComponentError, PlanError
from fmas.options import parse_options
from fmas.specs import Options
from fmas.types import Fingerprint, InpaintJob, RGBImage
from fmas_providers.llm.asking import ask
from fmas_providers.llm.backoff import Backoff
from fmas_providers.llm.usage import Tokens, UsageMeter
from fmas_providers.openai.options import OpenAIImagesOptions
from fmas_providers.openai.service import ERRORS, connect

__all__ = ["OpenAIImages", "create"]

_VERSION = "1"  # raise it whenever the same options would send another request


def create(options: Options) -> OpenAIImages:
    """Return the inpainter; the key comes from ``OPENAI_API_KEY``."""
    return OpenAIImages(parse_options(OpenAIImagesOptions, options, section="inpainter"))


class OpenAIImages:
    """Sends each job as one edit; see the module's first lines."""

    def __init__(self, options: OpenAIImagesOptions, *, backoff: Backoff | None = None) -> None:
        self._options = options
        self._backoff = backoff or Backoff(options.patience)
        self._meter = UsageMeter()
        self._client, self._service = connect(
            base_url=options.base_url, timeout=options.timeout, model=options.model, section="inpainter"
        )

    @property
    def multiple(self) -> int:
        """No demand: crops are brought to the service's square here."""
        return 1

    @property
    def working_size(self) -> int | None:
        """Native size."""
        return None

    def fingerprint(self) -> Fingerprint:
        """Return name, version and the options that a picture depends on."""
        config = self._options.model_dump(mode="json", exclude={"parallel", "timeout", "patience"})
        return Fingerprint("openai-images", _VERSION, config)

    def usage(self) -> Mapping[str, object]:
        """Return the totals of all calls so far."""
        return self._meter.as_dict()

    def inpaint(self, jobs: Sequence[InpaintJob]) -> list[RGBImage]:
        """Edit every job's crop.

        Raises:
            ComponentError: If the service gives no picture; the message names the fix.
        """
        with ThreadPoolExecutor(min(self._options.parallel, max(len(jobs), 1))) as pool:
            return list(pool.map(self._edit, jobs))

    def _edit(self, job: InpaintJob) -> RGBImage:
        options = self._options
        picture, mask = _square(job, options.size)
        try:
            answer = ask(
                lambda: self._client.images.edit(
                    model=options.model,
                    image=("image.png", picture, "image/png"),
                    mask=("mask.png", mask, "image/png"),
                    prompt=_prompt(job),
                    size=f"{options.size}x{options.size}",
                    quality=options.quality,
                    n=1,
                ),
                self._service,
                self._backoff.renewed(),
                ERRORS,
            )
        except PlanError as error:  # what is no plan here
            raise ComponentError(str(error)) from error
        usage = getattr(answer, "usage", None)
        self._meter.add(Tokens(getattr(usage, "input_tokens", None), getattr(usage, "output_tokens", None)))
        return _back(self._decoded(answer), job)

    def _decoded(self, answer: Any) -> Image.Image:  # noqa: ANN401 (what a server really sent)
        images = list(getattr(answer, "data", None) or [])
        content = getattr(images[0], "b64_json", None) if images else None
        try:
            if not content:
                raise ValueError("an answer without a picture")
            picture = Image.open(io.BytesIO(base64.b64decode(content, validate=True)))
            return picture.convert("RGB")
        except (ValueError, OSError, binascii.Error) as error:
            raise ComponentError(
                f"expected a picture from {self._service.name} at {self._service.host}, got {error}; check "
                "inpainter.model and inpainter.base_url"
            ) from error


def _prompt(job: InpaintJob) -> str:
    avoid = f" Avoid: {job.defect.negative_prompt}." if job.defect.negative_prompt else ""
    return (
        f"{job.defect.prompt}. Change only the transparent part of the mask; keep everything else, light, focus and "
        f"grain exactly as they are.{avoid}"
    )


def _square(job: InpaintJob, size: int) -> tuple[bytes, bytes]:
    """Return image and mask as PNG files of ``size`` x ``size``; the mask is transparent where paint may go."""
    image, region = _padded(job.image), _padded(job.region)
    alpha = np.where(region, 0, 255).astype(np.uint8)
    picture = Image.fromarray(image).resize((size, size), Image.Resampling.LANCZOS)
    hole = Image.fromarray(alpha).resize((size, size), Image.Resampling.NEAREST)
    mask = picture.copy()
    mask.putalpha(hole)
    return _png(picture), _png(mask)


def _padded(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Pad at the right and below to a square: pictures by reflection, regions by nothing."""
    side = max(array.shape[:2])
    pad = [(0, side - array.shape[0]), (0, side - array.shape[1])] + [(0, 0)] * (array.ndim - 2)
    return np.pad(array, pad) if array.ndim == 2 else np.pad(array, pad, mode="symmetric")


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _back(picture: Image.Image, job: InpaintJob) -> RGBImage:
    """Return the crop's part of the square, at the crop's size."""
    height, width = job.image.shape[:2]
    side = max(height, width)
    square = picture.resize((side, side), Image.Resampling.LANCZOS)
    return np.array(square, dtype=np.uint8)[:height, :width].copy()
