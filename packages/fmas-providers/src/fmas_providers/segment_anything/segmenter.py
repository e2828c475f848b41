"""The segmenter ``sam``: ``segment_anything`` with a checkpoint file, pointed at the centre or asked for everything."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import segment_anything
import torch

from fmas.errors import ComponentError, ConfigError
from fmas.options import parse_options
from fmas.secrecy import one_line
from fmas.specs import Options
from fmas.types import Fingerprint, Foreground, RGBImage
from fmas_providers.devices import batch_size_for, describe_device, resolve_device, resolve_dtype
from fmas_providers.segment_anything.embedding import embedded, encode_in
from fmas_providers.segment_anything.options import SAMOptions
from fmas_providers.segmentation.prompts import centre_and_border
from fmas_providers.segmentation.ranking import Proposal, choose_foreground

__all__ = ["SAMSegmenter", "create", "diagnose"]

_VERSION = "1"  # raise it whenever the same picture would get another mask
_SOURCE = "https://github.com/facebookresearch/segment-anything#model-checkpoints"


def create(options: Options) -> SAMSegmenter:
    """Return the segmenter; ``options`` are those of :class:`SAMOptions`. Weights are loaded with the first picture."""
    if "checkpoint" not in options:
        raise ConfigError(
            f"expected the weights' file in segmenter.checkpoint, got none; fetch one from {_SOURCE} and add "
            "--set segmenter.checkpoint=PATH"
        )
    return SAMSegmenter(parse_options(SAMOptions, options, section="segmenter"))


def diagnose(options: Options) -> dict[str, str]:
    """Say what a run would segment with; nothing is loaded.

    Raises:
        ConfigError: If the device or the weights' file is missing.
    """
    segmenter = create(options)  # checks the file and the model's name
    path = segmenter.weights
    return {
        "device": describe_device(parse_options(SAMOptions, options, section="segmenter").device),
        "weights": f"{path.stat().st_size / 1e9:.2f} GB in {path}",
    }


class SAMSegmenter:
    """Segments with the original SAM.

    Raises:
        ConfigError: If the checkpoint's file is missing or its model is unknown.
    """

    def __init__(self, options: SAMOptions) -> None:
        self._options = options
        self._path = options.checkpoint.expanduser()
        if not self._path.is_file():
            raise ConfigError(
                f"expected the weights' file at segmenter.checkpoint, got nothing at {self._path}; "
                f"fetch it from {_SOURCE}"
            )
        self._model_name = _model_name(options.model, self._path)
        self._network: Any = None
        self._weights: str | None = None

    @property
    def weights(self) -> Path:
        """The checkpoint's file."""
        return self._path

    @property
    def batch_size(self) -> int:
        """How many pictures are embedded at once; one for ``everything``, whose generator embeds each by itself."""
        if self._options.mode == "everything":
            return 1
        return batch_size_for(self._options.batch_size, resolve_device(self._options.device))

    def fingerprint(self) -> Fingerprint:
        """Return name, version, options and the SHA-256 of the weights' file."""
        if self._weights is None:
            with self._path.open("rb") as file:
                self._weights = hashlib.file_digest(file, "sha256").hexdigest()[:16]
        config = self._options.model_dump(mode="json", exclude={"device", "batch_size", "checkpoint"})
        return Fingerprint("sam", _VERSION, config | {"model": self._model_name, "weights": self._weights})

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
        if self._network is None:
            device = resolve_device(self._options.device)
            network = _load(self._model_name, self._path).to(device).eval()
            encode_in(network.image_encoder, resolve_dtype(self._options.dtype, device, half="bfloat16"))
            self._network = network
        images = [np.ascontiguousarray(image) for image in images]
        with torch.inference_mode():
            proposed = map(self._everything, images) if self._options.mode == "everything" else self._pointed(images)
            return [
                choose_foreground(proposals, image.shape[:2], self._options.ranking)
                for image, proposals in zip(images, proposed, strict=True)
            ]

    def _pointed(self, images: Sequence[RGBImage]) -> Iterator[list[Proposal]]:
        """Ask with and without the corners; a picture is embedded once for both, several at once."""
        for predictor in embedded(self._network, images, batch_size=self.batch_size):
            proposals = []
            for border in (True, False):
                points, labels = centre_and_border(*predictor.original_size, border=border)
                masks, ratings, _ = predictor.predict(point_coords=points, point_labels=labels, multimask_output=True)
                proposals += [
                    Proposal(mask.astype(np.bool_), float(iou)) for mask, iou in zip(masks, ratings, strict=True)
                ]
            yield proposals

    def _everything(self, image: RGBImage) -> list[Proposal]:
        options = self._options
        generator = segment_anything.SamAutomaticMaskGenerator(
            self._network,
            points_per_side=options.points_per_side,
            pred_iou_thresh=options.pred_iou_thresh,
            stability_score_thresh=options.stability_score_thresh,
        )
        return [
            Proposal(
                np.asarray(found["segmentation"], np.bool_),
                float(found["predicted_iou"]),
                float(found["stability_score"]),
            )
            for found in generator.generate(image)
        ]


def _model_name(given: str | None, path: Path) -> str:
    known = [name for name in segment_anything.sam_model_registry if name != "default"]
    name = given or next((name for name in known if name in path.name), None)
    if name is None:
        raise ConfigError(
            f"expected the name of a model in the file's name, got {path.name}; add --set segmenter.model=… "
            f"({', '.join(known)})"
        )
    if name not in known:
        raise ConfigError(f"expected segmenter.model as one of {', '.join(known)}, got {name!r}; choose one of these")
    return name


def _load(name: str, path: Path) -> Any:  # noqa: ANN401 (segment_anything has no types)
    """Build the network and load its weights, tensors only: a checkpoint from elsewhere must not run code."""
    try:
        network = segment_anything.sam_model_registry[name](checkpoint=None)
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except (RuntimeError, OSError, KeyError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise ComponentError(
            f"expected the weights of {name} in {path}, got {type(error).__name__}: {one_line(error)[:200]}; check "
            f"segmenter.model, or fetch the file again from {_SOURCE}"
        ) from error
    return network
