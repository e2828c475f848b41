"""Reading the images of an evaluation one after the other, as often as they are needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmas_evaluate.errors import InvalidInput
from fmas_evaluate.files import printable
from fmas_evaluate.inputs import Pair, read_mask, read_scores
from fmas_evaluate.layouts import ImageFiles
from fmas_evaluate.readers import read_map
from fmas_evaluate.readers import read_mask as mask_file

__all__ = ["Images"]


def _nothing() -> None:
    """Report to nobody."""


@dataclass(frozen=True, slots=True)
class Images:
    """The images to evaluate; nothing is kept of one when the next is read.

    Attributes:
        files: Where they are.
        scores: Name -> image score; ``None``: the map's maximum.
        mask_threshold: Mask values above it mark defects; ``None``: masks have two values.
        step: Called after each image that was read.
    """

    files: Sequence[ImageFiles]
    scores: Mapping[str, float] | None = None
    mask_threshold: float | None = None
    step: Callable[[], None] = _nothing

    def __len__(self) -> int:
        return len(self.files)

    def pairs(self) -> Iterator[Pair]:
        """Yield maps with their masks, both checked; an image that is good has a mask without defect."""
        for files in self.files:
            pair = self.pair(files)
            yield pair
            self.step()

    def maps(self) -> Iterator[NDArray[np.number[Any]]]:
        """Yield the maps alone, ``(H, W)``, checked."""
        for files in self.files:
            yield self._map(files)
            self.step()

    def masks(self) -> Iterator[NDArray[np.bool_] | None]:
        """Yield the masks alone, ``(H, W)`` bool; ``None`` for a good image without one."""
        for files in self.files:
            yield None if files.truth_path is None else self._mask(files, None)
            self.step()

    def pair(self, files: ImageFiles) -> Pair:
        """Return one image.

        Raises:
            InvalidInput: Naming the file, if it is broken or cannot be evaluated, or marks a defect in a good image.
            InvalidType: If it holds something other than real numbers.
            OSError: If it cannot be read.
        """
        scores = self._map(files)
        if files.truth_path is None:
            return Pair(files.name, scores, np.zeros(scores.shape, dtype=np.bool_))
        return Pair(files.name, scores, self._mask(files, scores.shape))

    def labels(self) -> NDArray[np.bool_]:
        """Return for each image whether it is defective, ``(N,)``; masks are read where the layout does not say."""
        return np.array(
            [
                files.truth_path is not None and bool(self._mask(files, None).any())
                if files.defective is None
                else files.defective
                for files in self.files
            ],
            dtype=np.bool_,
        )

    def given_scores(self) -> NDArray[np.float64] | None:
        """Return the image scores, ``(N,)``; ``None`` where they are the maps' maxima."""
        if self.scores is None:
            return None
        return np.array([self.scores[files.name] for files in self.files], dtype=np.float64)

    def image_score(self, pair: Pair) -> float:
        """Return an image's score."""
        return float(pair.scores.max()) if self.scores is None else self.scores[pair.name]

    def _map(self, files: ImageFiles) -> NDArray[np.number[Any]]:
        return read_scores(read_map(files.map_path), printable(files.map_path))

    def _mask(self, files: ImageFiles, shape: tuple[int, ...] | None) -> NDArray[np.bool_]:
        path = _given(files.truth_path)
        values = mask_file(path, colours=self.mask_threshold is not None)
        mask = read_mask(values, shape or values.shape, printable(path), mask_threshold=self.mask_threshold)
        if files.defective is False and mask.any():
            raise InvalidInput(
                f"expected no defect in the mask of the good image {printable(files.name)}, got "
                f"{int(np.count_nonzero(mask))} defect pixels in {printable(path)}; move the image to the folder of "
                "its defect"
            )
        return mask


def _given(path: Path | None) -> Path:
    if path is None:
        raise InvalidInput("expected an image with a mask, got a good one; ask for its pair")
    return path
