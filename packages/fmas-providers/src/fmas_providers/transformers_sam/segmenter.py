"""The segmenter ``sam-hf``: SAM and SAM 2 are pointed at the centre, SAM 3 is asked for the product by its name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from fmas.errors import ComponentError, ConfigError
from fmas.options import parse_options
from fmas.secrecy import one_line
from fmas.specs import Options
from fmas.types import Fingerprint, Foreground, RGBImage
from fmas_providers.devices import batch_size_for, describe_device, resolve_device, resolve_dtype
from fmas_providers.segmentation.prompts import centre_and_border
from fmas_providers.segmentation.ranking import Proposal, choose_foreground
from fmas_providers.transformers_sam.families import Family, family_for
from fmas_providers.transformers_sam.options import SAMHFOptions
from fmas_providers.weights import weights_on_disk

__all__ = ["SAMHFSegmenter", "create", "diagnose"]

_VERSION = "1"  # raise it whenever the same picture would get another mask


def create(options: Options) -> SAMHFSegmenter:
    """Return the segmenter; ``options`` are those of :class:`SAMHFOptions`. Weights come with the first picture."""
    return SAMHFSegmenter(parse_options(SAMHFOptions, options, section="segmenter"))


def diagnose(options: Options) -> dict[str, str]:
    """Say what a run would segment with; nothing is loaded or fetched.

    Raises:
        ConfigError: If the device or the weights are missing.
    """
    wanted = parse_options(SAMHFOptions, options, section="segmenter")
    return {
        "device": describe_device(wanted.device),
        "weights": weights_on_disk(wanted.model, wanted.revision, section="segmenter"),
    }


class SAMHFSegmenter:
    """Segments with a SAM of transformers.

    Raises:
        ConfigError: If there is no such model, it is no SAM, or SAM 3 is not told what to look for.
    """

    def __init__(self, options: SAMHFOptions) -> None:
        self._options = options
        config = _read_config(options)
        self._family: Family = family_for(str(config.model_type))
        self._commit = str(getattr(config, "_commit_hash", None) or _folder_state(Path(options.model).expanduser()))
        if self._family.text and options.object is None:
            raise ConfigError(
                "expected the product's name for SAM 3, got none; give --object, or --set segmenter.object=…"
            )
        self._loaded: tuple[Any, Any] | None = None

    @property
    def batch_size(self) -> int:
        """How many pictures are embedded at once."""
        return batch_size_for(self._options.batch_size, resolve_device(self._options.device))

    def fingerprint(self) -> Fingerprint:
        """Return name, version, options and the weights' commit; the product's name counts only where it is used."""
        unused = {"device", "batch_size", "local_files_only"} | (
            set() if self._family.text else {"object", "threshold"}
        )
        config = self._options.model_dump(mode="json", exclude=unused)
        return Fingerprint(
            "sam-hf", f"{_VERSION}+transformers{transformers.__version__}", config | {"weights": self._commit}
        )

    def segment(self, image: RGBImage) -> Foreground:
        """Return the product's mask, or the whole picture when SAM finds none.

        Args:
            image: ``(H, W, 3)`` uint8 RGB.

        Raises:
            ComponentError: If the weights cannot be loaded.
        """
        return self.segment_many([image])[0]

    def segment_many(self, images: Sequence[RGBImage]) -> list[Foreground]:
        """Return each picture's product, or the whole picture where SAM finds none.

        Args:
            images: ``(H, W, 3)`` uint8 RGB each, of any sizes; ``batch_size`` of them are embedded at once.

        Raises:
            ComponentError: If the weights cannot be loaded.
        """
        propose = self._named if self._family.text else self._pointed
        found = []
        for start in range(0, len(images), self.batch_size):
            some = [np.ascontiguousarray(image) for image in images[start : start + self.batch_size]]
            with torch.inference_mode():
                proposed = propose(some)
            found += [
                choose_foreground(proposals, image.shape[:2], self._options.ranking)
                for image, proposals in zip(some, proposed, strict=True)
            ]
        return found

    def _model(self) -> tuple[Any, Any]:
        if self._loaded is None:
            self._loaded = _load(self._family, self._options)
        return self._loaded

    def _pointed(self, images: Sequence[RGBImage]) -> list[list[Proposal]]:
        """Ask with and without the corners; pictures are embedded together, once for both questions."""
        model, processor = self._model()
        embeddings: Any = None
        proposed: list[list[Proposal]] = [[] for _ in images]
        for border in (True, False):
            asked = [centre_and_border(*image.shape[:2], border=border) for image in images]
            inputs = processor(
                images=list(images),
                input_points=[[points.tolist()] for points, _ in asked],
                input_labels=[[labels.tolist()] for _, labels in asked],
                return_tensors="pt",
            )
            sizes = [inputs.pop(name) for name in ("original_sizes", "reshaped_input_sizes") if name in inputs]
            pixels = inputs.pop("pixel_values").to(model.device, model.dtype)
            if embeddings is None:
                embeddings = model.get_image_embeddings(pixels)
            questions = {name: value.to(model.device) for name, value in inputs.items() if name.startswith("input_")}
            questions["input_points"] = questions["input_points"].to(model.dtype)
            output = model(**questions, **{self._family.embeds_as: embeddings}, multimask_output=True)
            found = processor.image_processor.post_process_masks(output.pred_masks.float().cpu(), *sizes)
            for proposals, masks, ratings in zip(proposed, found, output.iou_scores.float().cpu(), strict=True):
                alone = masks.reshape(-1, *masks.shape[-2:]).numpy().astype(np.bool_)
                proposals += [
                    Proposal(mask, rating) for mask, rating in zip(alone, ratings.reshape(-1).tolist(), strict=True)
                ]
        return proposed

    def _named(self, images: Sequence[RGBImage]) -> list[list[Proposal]]:
        """Ask for every instance of the product."""
        model, processor = self._model()
        names = [self._options.object] * len(images)
        inputs = processor(images=list(images), text=names, return_tensors="pt").to(model.device)
        if "pixel_values" in inputs:
            inputs["pixel_values"] = inputs["pixel_values"].to(model.dtype)
        found = processor.post_process_instance_segmentation(
            model(**inputs),
            threshold=self._options.threshold,
            mask_threshold=0.5,
            target_sizes=[image.shape[:2] for image in images],
        )
        return [
            [
                Proposal(mask.cpu().numpy().astype(np.bool_), float(score))
                for mask, score in zip(instances["masks"], instances["scores"], strict=True)
            ]
            for instances in found
        ]


def _read_config(options: SAMHFOptions) -> Any:  # noqa: ANN401 (transformers' own classes)
    folder = Path(options.model).expanduser()
    if not folder.is_dir() and options.model.startswith((".", "/", "~")):
        raise ConfigError(
            f"expected a folder or the id of a repository on the Hugging Face hub, got {options.model!r}; mend it"
        )
    try:
        return transformers.AutoConfig.from_pretrained(
            str(folder) if folder.is_dir() else options.model,
            revision=options.revision,
            local_files_only=options.local_files_only,
        )
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(
            f"expected the model {options.model!r} on this machine or the network to fetch it, got "
            f"{one_line(error)[:300]}; check segmenter.model, accept its licence on the hub if it asks for that, or "
            f"fetch it once where there is a network: hf download {options.model}"
        ) from error


def _folder_state(folder: Path) -> str:
    """Return names and sizes of a folder's files, as a text that changes when weights are exchanged."""
    return ",".join(f"{path.name}:{path.stat().st_size}" for path in sorted(folder.glob("*")) if path.is_file())


def _load(family: Family, options: SAMHFOptions) -> tuple[Any, Any]:
    device = resolve_device(options.device)
    folder = Path(options.model).expanduser()
    source = str(folder) if folder.is_dir() else options.model
    where = {"revision": options.revision, "local_files_only": options.local_files_only}
    try:
        model = getattr(transformers, family.model).from_pretrained(
            source, dtype=resolve_dtype(options.dtype, device, half="bfloat16"), **where
        )
        processor = getattr(transformers, family.processor).from_pretrained(source, **where)
    except (OSError, ValueError, KeyError, RuntimeError, AttributeError) as error:
        raise ComponentError(
            f"expected to load {options.model!r} as {family.model}, got {type(error).__name__}: "
            f"{one_line(error)[:300]}; check that all of its files are there"
        ) from error
    return model.to(device).eval(), processor
