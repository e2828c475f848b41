"""Crops to learn from: endless variety from a few pairs, because outside the mask the twins are the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from fmas.types import BoolMask, NormalSyntheticMask, RGBImage
from fmas_providers.detectors.options import UNetOptions
from fmas_providers.detectors.scoring.normalise import OFFSET, SCALE
from fmas_providers.detectors.training.batch import Batch
from fmas_providers.detectors.unet.changes import Change, KeptPairs
from fmas_providers.detectors.unet.pictures import chosen_pairs

__all__ = ["CropSampler", "Variety"]

_SOMETIMES = 0.25

Picture = NDArray[np.float32]
Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Variety:
    """In how many ways crops vary; whatever is drawn between two factors is even in its logarithm.

    Attributes:
        moved: Part of the crops whose defect comes from another photograph and lies anywhere; others keep theirs.
        further: Chance of one more defect in a crop, anywhere.
        moved_scale: Factors between which a defect that is laid anywhere is scaled.
        moved_turn: Largest angle by which it is turned, in degrees.
        scale: Factors between which a crop is scaled.
        turn: Largest angle by which a crop is turned, in degrees.
        contrast: Factors between which the contrast changes.
        brightness: Largest change of brightness, in grey levels.
        noise: Largest standard deviation of noise, in grey levels, in a quarter of the crops.
        blur: Largest standard deviation of a blur, in pixels, in a quarter of the crops.
    """

    moved: float = 0.25
    further: float = 0.25
    moved_scale: tuple[float, float] = (0.6, 1.6)
    moved_turn: float = 30.0
    scale: tuple[float, float] = (0.7, 1.4)
    turn: float = 8.0
    contrast: tuple[float, float] = (0.8, 1.25)
    brightness: float = 20.0
    noise: float = 4.0
    blur: float = 1.0


class CropSampler:
    """Step number -> batch; the first half has defects, the second half are the good twins in the same order.

    Every pair comes once before any comes again. What a batch holds depends on the seed and the step alone.

    Args:
        pairs: What to draw from; read when first needed and kept in memory up to ``changes.KEPT_BYTES``.
        options: ``seed``, ``batch_size``, ``crop`` and ``strength``.
        variety: In how many ways crops vary; ``None`` for the defaults.
    """

    def __init__(
        self, pairs: Sequence[NormalSyntheticMask], options: UNetOptions, *, variety: Variety | None = None
    ) -> None:
        self._pairs, self._variety = KeptPairs(pairs), variety or Variety()
        self._seed, self._side, self._strength = options.seed, options.crop, options.strength
        self._half = max(1, options.batch_size // 2)

    def __call__(self, step: int) -> Batch:
        """Return the batch of a step; pictures ``(N, 3, crop, crop)``, masks ``(N, crop, crop)``."""
        rng = np.random.default_rng((self._seed, 0, step))
        pictures = np.empty((2 * self._half, self._side, self._side, 3), np.float32)
        masks = np.zeros(pictures.shape[:3], np.float32)
        chosen = chosen_pairs(step, count=len(self._pairs), each=self._half, seed=self._seed)
        for place, index in enumerate(chosen):
            normal, synthetic, masks[place] = self._crops(index, rng)
            alteration = _Alteration.drawn(rng, self._side, self._variety)
            pictures[place] = alteration(synthetic)
            pictures[self._half + place] = alteration(normal)
        return Batch(torch.from_numpy(pictures).permute(0, 3, 1, 2), torch.from_numpy(masks))

    def _crops(self, index: int, rng: np.random.Generator) -> tuple[Picture, Picture, BoolMask]:
        """Return a good crop, the same with one or two defects, and their mask."""
        variety = self._variety
        photograph, change = self._pairs[index]
        control = None if change.values[..., 3].any() else self._pairs.control(index)
        if control is not None:
            view = _view(photograph.shape, self._side, None, rng, variety)
            nothing = np.zeros((self._side, self._side), np.bool_)
            return _seen(photograph, view, self._side), _seen(control, view, self._side), nothing
        moved = rng.random() < variety.moved
        if moved:
            photograph = self._pairs.normal(int(rng.integers(len(self._pairs))))
        view = _view(photograph.shape, self._side, None if moved else change, rng, variety)
        normal = _seen(photograph, view, self._side)
        matrix = _somewhere(change, self._side, rng, variety) if moved else view
        synthetic, mask = change.laid_onto(normal, matrix, strength=rng.uniform(*self._strength))
        if rng.random() < variety.further:
            _, other = self._pairs[int(rng.integers(len(self._pairs)))]
            matrix = _somewhere(other, self._side, rng, variety)
            synthetic, there = other.laid_onto(synthetic, matrix, strength=rng.uniform(*self._strength))
            mask = mask | there
        return normal, synthetic, mask


@dataclass(frozen=True, slots=True, eq=False)
class _Alteration:
    """Another light and another lens, the same for a crop and its twin.

    Attributes:
        contrast: Factor of the distance to middle grey.
        brightness: Grey levels that are added.
        noise: ``(side, side, 1)`` grey levels that are added, or none.
        blur: Standard deviation in pixels, or 0.
    """

    contrast: float
    brightness: float
    noise: Picture | None
    blur: float

    @classmethod
    def drawn(cls, rng: np.random.Generator, side: int, variety: Variety) -> _Alteration:
        noisy, blurred = rng.random(2) < _SOMETIMES
        noise = None
        if noisy and variety.noise:
            noise = rng.standard_normal((side, side, 1), np.float32) * np.float32(rng.uniform(0, variety.noise))
        return cls(
            contrast=_between(*variety.contrast, rng),
            brightness=rng.uniform(-variety.brightness, variety.brightness),
            noise=noise,
            blur=rng.uniform(variety.blur / 4, variety.blur) if blurred and variety.blur else 0.0,
        )

    def __call__(self, crop: Picture) -> Picture:
        """Return ``crop`` altered and normalised as ``scoring.normalise`` does, without rounding."""
        if self.blur:
            crop = np.asarray(cv2.GaussianBlur(crop, (0, 0), self.blur), np.float32)
        if self.noise is not None:
            crop = crop + self.noise
        gain = SCALE * self.contrast
        return crop * np.float32(gain) + np.float32(OFFSET + SCALE * (128 + self.brightness) - 128 * gain)


def _between(low: float, high: float, rng: np.random.Generator) -> float:
    """Return a factor between two, evenly in its logarithm."""
    return float(math.exp(rng.uniform(math.log(low), math.log(high))))


def _linear(scale: float, turn: float, rng: np.random.Generator) -> Matrix:
    """Return a ``(2, 2)`` matrix that scales, turns by up to ``turn`` degrees and flips by chance."""
    angle = math.radians(rng.uniform(-turn, turn))
    cosine, sine = math.cos(angle), math.sin(angle)
    turned = np.array([[cosine, -sine], [sine, cosine]], np.float64)
    return np.asarray(scale * turned * rng.choice((-1.0, 1.0), size=2), np.float64)


def _view(
    shape: tuple[int, ...], side: int, change: Change | None, rng: np.random.Generator, variety: Variety
) -> Matrix:
    """Return the ``(2, 3)`` matrix from a photograph to a crop somewhere in it, at its defect if one is given.

    The crop lies within the photograph as far as it fits.
    """
    linear = _linear(_between(*variety.scale, rng), variety.turn, rng)
    reach = side / 2 / abs(np.linalg.det(linear)) ** 0.5
    focus = None if change is None else _point(change, rng)
    centre = []
    for axis, length in ((0, shape[1]), (1, shape[0])):
        wanted = rng.uniform(0, length) if focus is None else focus[axis] + rng.uniform(-0.8, 0.8) * reach
        low, high = sorted((reach, length - reach))
        centre.append(min(max(wanted, low), high) - 0.5)
    return np.column_stack([linear, (side - 1) / 2 - linear @ centre])


def _somewhere(change: Change, side: int, rng: np.random.Generator, variety: Variety) -> Matrix:
    """Return the matrix that lays a defect somewhere into a crop, a pixel of it inside."""
    linear = _linear(_between(*variety.moved_scale, rng), variety.moved_turn, rng)
    return np.column_stack([linear, rng.uniform(0, side - 1, size=2) - linear @ _point(change, rng)])


def _point(change: Change, rng: np.random.Generator) -> tuple[float, float]:
    """Return x and y of a random pixel of a defect, in its photograph."""
    rows, columns = np.nonzero(change.values[..., 3])
    if not len(rows):
        return float(change.left), float(change.top)
    at = int(rng.integers(len(rows)))
    return float(columns[at] + change.left), float(rows[at] + change.top)


def _seen(photograph: RGBImage, matrix: Matrix, side: int) -> Picture:
    """Return a crop, ``(side, side, 3)`` float32 in 0..255; beyond the photograph it is reflected."""
    size = (side, side)
    crop = cv2.warpAffine(photograph, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(crop, np.float32)
