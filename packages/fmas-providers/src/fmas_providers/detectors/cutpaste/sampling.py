"""Batches of the paper's classes: good photographs, the same with a scar, and their FMAS anomalies."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from fmas.types import BoolMask, NormalSyntheticMask, RGBImage
from fmas_providers.detectors.options import CutPasteOptions
from fmas_providers.detectors.scars import cutpaste_scar
from fmas_providers.detectors.scoring.normalise import normalise
from fmas_providers.detectors.scoring.views import resized
from fmas_providers.detectors.training.batch import LabelledBatch

__all__ = ["FMAS", "NORMAL", "SCAR", "ClassSampler", "FindForeground", "Squares"]

NORMAL, SCAR, FMAS = 0, 1, 2
"""The classes' numbers."""

FindForeground = Callable[[RGBImage], BoolMask | None]
"""A photograph -> where its product is, ``(H, W)`` bool, or ``None`` where that is everywhere."""

_KEPT_BYTES = 1 << 30
_SHIFT = 0.04
_JITTER = 0.1
_ORDER, _PICTURE, _FIXED = 0, 1, 2  # what a random number is for, so that no two uses share a stream


@dataclass(frozen=True, slots=True, eq=False)
class Square:
    """A pair at the network's size.

    Attributes:
        normal: ``(side, side, 3)`` uint8.
        synthetic: ``(side, side, 3)`` uint8.
        foreground: ``(side, side)`` bool, where scars may lie; ``None`` for everywhere.
        defective: Whether there is a defect in ``synthetic``; a negative control has none.
    """

    normal: RGBImage
    synthetic: RGBImage
    foreground: BoolMask | None
    defective: bool

    @property
    def size(self) -> int:
        """Bytes."""
        return self.normal.nbytes + self.synthetic.nbytes + (0 if self.foreground is None else self.foreground.nbytes)


class Squares:
    """Pairs at the network's size, read once where memory allows; up to a gigabyte is kept.

    Args:
        pairs: What to read from.
        side: Of the squares, in pixels.
        find_foreground: Says where scars may lie; ``None`` for everywhere.
    """

    def __init__(
        self, pairs: Sequence[NormalSyntheticMask], *, side: int, find_foreground: FindForeground | None
    ) -> None:
        self._pairs, self._side, self._find = pairs, side, find_foreground
        self._kept: dict[int, Square] = {}
        self._left = _KEPT_BYTES
        self._lock, self._finding = threading.Lock(), threading.Lock()

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> Square:
        kept = self._kept.get(index)
        if kept is not None:
            return kept
        pair = self._pairs[index]
        square = Square(
            resized(pair.normal, self._side),
            resized(pair.synthetic, self._side),
            self._foreground(pair.normal),
            bool(pair.mask.any()),
        )
        with self._lock:
            if index not in self._kept and square.size <= self._left:
                self._kept[index] = square
                self._left -= square.size
        return square

    def _foreground(self, photograph: RGBImage) -> BoolMask | None:
        if self._find is None:
            return None
        with self._finding:  # several threads prepare batches; a segmenter on a GPU is for one
            found = self._find(photograph)
        if found is None:
            return None
        grey = np.where(found, np.uint8(255), np.uint8(0))
        how = cv2.INTER_AREA if min(grey.shape) >= self._side else cv2.INTER_LINEAR
        small = np.asarray(cv2.resize(grey, (self._side, self._side), interpolation=how)) > 127
        return small if small.any() else None


class ClassSampler:
    """Batches of labelled pictures, each depending on the seed and its step alone.

    Every pair gives one picture per class; pairs come in a new order in every round through all of them. Each picture
    is shifted, brightened and changed in contrast by a little.

    Args:
        squares: The pairs.
        options: Batch size, classes and seed.
    """

    def __init__(self, squares: Squares, options: CutPasteOptions) -> None:
        self._squares, self._options = squares, options
        self._classes = 3 if options.fmas else 2

    @property
    def pairs(self) -> int:
        """How many pairs there are."""
        return len(self._squares)

    @property
    def pictures(self) -> int:
        """How many pictures one round has."""
        return len(self._squares) * self._classes

    def __call__(self, step: int) -> LabelledBatch:
        """Return the batch of a step."""
        size = self._options.batch_size
        labels, pictures = [], torch.empty(size, 3, self._options.side, self._options.side)
        planes = pictures.numpy()
        for place, number in enumerate(range(step * size, (step + 1) * size)):
            rng = self._rng(_PICTURE, number)
            around, within = divmod(number, self.pictures)
            index = int(self._order(around)[within // self._classes])
            picture, label = self._picture(index, within % self._classes, rng)
            normalise(_varied(picture, rng), out=planes[place])
            labels.append(label)
        return LabelledBatch(pictures, torch.tensor(labels))

    def fixed(self, pairs: Sequence[int]) -> LabelledBatch:
        """Return every class's picture of the pairs of these indices, not varied and always the same."""
        numbers = [index * self._classes + label for index in pairs for label in range(self._classes)]
        taken = [
            self._picture(number // self._classes, number % self._classes, self._rng(_FIXED, number))
            for number in numbers
        ]
        pictures = torch.from_numpy(np.stack([normalise(picture) for picture, _ in taken]))
        return LabelledBatch(pictures, torch.tensor([label for _, label in taken]))

    def _picture(self, index: int, label: int, rng: np.random.Generator) -> tuple[RGBImage, int]:
        square = self._squares[index]
        if label == SCAR:
            return cutpaste_scar(square.normal, rng, square.foreground)[0], SCAR
        if label == FMAS:
            # A negative control shows the inpainter's traces and no defect: it is as good as its twin.
            return square.synthetic, FMAS if square.defective else NORMAL
        return square.normal, NORMAL

    def _order(self, around: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
        return self._rng(_ORDER, around).permutation(len(self._squares))

    def _rng(self, purpose: int, number: int) -> np.random.Generator:
        return np.random.default_rng((self._options.seed, purpose, number))


def _varied(picture: RGBImage, rng: np.random.Generator) -> RGBImage:
    """Shift by up to 4 % of the side, mirrored at the border; change brightness and contrast by up to a tenth."""
    side = picture.shape[0]
    down, right = rng.uniform(-_SHIFT, _SHIFT, 2) * side
    contrast, brightness = rng.uniform(1 - _JITTER, 1 + _JITTER, 2)
    matrix = np.array([[1, 0, round(right)], [0, 1, round(down)]], np.float64)
    shifted = cv2.warpAffine(picture, matrix, (side, side), flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT_101)
    middle = float(np.mean(cv2.mean(shifted)[:3]))
    gain = contrast * brightness
    levels = np.clip((np.arange(256) - middle) * gain + middle * brightness, 0, 255)
    return np.asarray(cv2.LUT(shifted, np.rint(levels).astype(np.uint8)), np.uint8)
