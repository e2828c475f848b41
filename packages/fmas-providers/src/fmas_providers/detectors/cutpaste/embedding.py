"""What good parts look like to the trained network: a density of whole pictures and one of the places in them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fmas.types import RGBImage
from fmas_providers.detectors.cutpaste.backbone import ScarClassifier
from fmas_providers.detectors.cutpaste.density import Gaussian, Moments
from fmas_providers.detectors.cutpaste.sampling import Squares
from fmas_providers.detectors.scoring.normalise import normalise
from fmas_providers.detectors.training.surroundings import threads

__all__ = ["Densities", "Embedded", "Embedder", "fit_densities"]


class Embedded(NamedTuple):
    """What the network makes of some pictures.

    Attributes:
        pictures: ``(N, D)`` float32, an embedding each.
        places: ``(N, h, w, C)`` float32, their deepest features.
        subbands: Layer -> ``(N, 4)`` float32, what its WDAM weighed the sub-bands by.
    """

    pictures: NDArray[np.float32]
    places: NDArray[np.float32]
    subbands: Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True, eq=False)
class Embedder:
    """Calls the network in evaluation mode.

    Attributes:
        network: On ``device``.
        device: Where it computes.
        dtype: In what it computes.
        thread_count: Threads on a CPU; ``None`` for torch's choice.
    """

    network: ScarClassifier
    device: torch.device
    dtype: torch.dtype
    thread_count: int | None = None

    def __call__(self, squares: Sequence[RGBImage], *, subbands: bool = False) -> Embedded:
        """Return what the network makes of ``squares``, ``(side, side, 3)`` uint8 each, at least one."""
        pictures = torch.from_numpy(np.stack([normalise(square) for square in squares]))
        half = self.dtype != torch.float32
        with threads(self.thread_count), torch.inference_mode(), torch.autocast(self.device.type, self.dtype, half):
            batch = pictures.to(self.device, memory_format=torch.channels_last)
            if subbands:
                with self.network.watching() as seen:
                    embeddings, features = self.network.embed(batch)
            else:
                seen = {}
                embeddings, features = self.network.embed(batch)
            return Embedded(
                _array(embeddings),
                _array(features.permute(0, 2, 3, 1)),
                {name: _array(weights) for name, weights in seen.items()},
            )


@dataclass(frozen=True, slots=True, eq=False)
class Densities:
    """How good parts are distributed.

    Attributes:
        pictures: Over the embeddings of whole photographs.
        places: Over the deepest features at every place of every photograph, wherever in the picture it is.
    """

    pictures: Gaussian
    places: Gaussian

    def distances(self, embedded: Embedded) -> Iterator[tuple[NDArray[np.float64], float]]:
        """Yield for each picture the distances of its places, ``(h, w)``, and its own."""
        shape = embedded.places.shape
        places = self.places.distances(embedded.places.reshape(-1, shape[-1])).reshape(shape[:-1])
        yield from zip(places, map(float, self.pictures.distances(embedded.pictures)), strict=True)

    def tensors(self) -> dict[str, Tensor]:
        """Return what :meth:`from_tensors` needs, by name."""
        parts = {"pictures": self.pictures, "places": self.places}
        return {
            f"{part}.{name}": torch.from_numpy(array)
            for part, density in parts.items()
            for name, array in density.arrays().items()
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Densities:
        """Read what :meth:`tensors` gave.

        Raises:
            ComponentError: If it is damaged.
        """
        return cls(*(Gaussian.from_arrays(_below(tensors, part)) for part in ("pictures", "places")))


def fit_densities(embedder: Embedder, squares: Squares, *, at_once: int) -> Densities:
    """Fit the densities to the good photographs of ``squares``, each taken once however many pairs it has.

    Args:
        embedder: The trained network.
        squares: At least one pair.
        at_once: How many pictures go through the network together.
    """
    pictures, places = Moments(embedder.network.embedding_size), Moments(embedder.network.feature_size)
    for batch in _distinct(squares, at_once):
        embedded = embedder(batch)
        pictures.add(embedded.pictures)
        places.add(embedded.places.reshape(-1, embedded.places.shape[-1]))
    return Densities(pictures.gaussian(), places.gaussian())


def _distinct(squares: Squares, at_once: int) -> Iterator[list[RGBImage]]:
    seen: set[bytes] = set()
    batch: list[RGBImage] = []
    for index in range(len(squares)):
        normal = squares[index].normal
        digest = hashlib.sha256(normal.tobytes()).digest()
        if digest in seen:
            continue
        seen.add(digest)
        batch.append(normal)
        if len(batch) == at_once:
            yield batch
            batch = []
    if batch:
        yield batch


def _array(tensor: Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(tensor.float().cpu().numpy())


def _below(tensors: Mapping[str, Tensor], part: str) -> dict[str, NDArray[np.float64]]:
    return {
        name.removeprefix(f"{part}."): tensor.numpy() for name, tensor in tensors.items() if name.startswith(f"{part}.")
    }
