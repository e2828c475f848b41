"""Embedding several pictures at once, which ``SamPredictor.set_image`` cannot (it holds one), and in half precision."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import segment_anything
import torch

from fmas.types import RGBImage

__all__ = ["embedded", "encode_in"]


def encode_in(encoder: torch.nn.Module, dtype: torch.dtype) -> None:
    """Let the image encoder compute in ``dtype`` and still take and return float32, as the decoder wants it."""
    if dtype == torch.float32:
        return
    encoder.to(dtype)
    encoder.register_forward_pre_hook(lambda _, given: tuple(picture.to(dtype) for picture in given))
    encoder.register_forward_hook(lambda _, __, embeddings: embeddings.float())


def embedded(network: Any, images: Sequence[RGBImage], *, batch_size: int) -> Iterator[Any]:  # noqa: ANN401 (untyped)
    """Yield a ``SamPredictor`` for each picture, ready to be asked; the same one each time.

    Every picture is scaled to the encoder's side and padded to a square, as ``set_image`` does, so that pictures of any
    sizes make one batch. What the encoder returns is handed to the predictor picture by picture.

    Args:
        network: A ``segment_anything`` Sam.
        images: ``(H, W, 3)`` uint8 RGB each, contiguous.
        batch_size: How many go through the encoder at once.
    """
    predictor = segment_anything.SamPredictor(network)
    for start in range(0, len(images), batch_size):
        some = images[start : start + batch_size]
        scaled = [
            torch.as_tensor(predictor.transform.apply_image(image), device=network.device).permute(2, 0, 1).contiguous()
            for image in some
        ]
        embeddings = network.image_encoder(torch.stack([network.preprocess(picture) for picture in scaled]))
        for image, picture, embedding in zip(some, scaled, embeddings, strict=True):
            predictor.reset_image()
            predictor.original_size = image.shape[:2]
            predictor.input_size = tuple(picture.shape[-2:])
            predictor.features = embedding[None]
            predictor.is_image_set = True
            yield predictor
