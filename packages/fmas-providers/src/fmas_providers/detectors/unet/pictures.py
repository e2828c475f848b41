"""Whole pictures to learn from, and what both samplers share: the order of the pairs and the light."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from fmas.types import NormalSyntheticMask, RGBImage
from fmas_providers.detectors.options import UNetOptions
from fmas_providers.detectors.scoring.normalise import OFFSET, SCALE
from fmas_providers.detectors.training.batch import Batch
from fmas_providers.detectors.unet.view import squeezed_pair

__all__ = ["WholeSampler", "chosen_pairs", "strengthened"]

_CONTRAST, _BRIGHTNESS = 0.2, 20.0
_KEPT_BYTES = 1 << 30


def chosen_pairs(step: int, *, count: int, each: int, seed: int) -> list[int]:
    """Return the pairs of a step, ``each`` of ``count``: its part of an endless row of permutations."""
    places = range(step * each, (step + 1) * each)
    orders = {
        number: np.random.default_rng((seed, 1, number)).permutation(count)
        for number in {place // count for place in places}
    }
    return [int(orders[place // count][place % count]) for place in places]


def strengthened(normal: RGBImage, synthetic: RGBImage, factor: float) -> RGBImage:
    """Return ``normal + factor * (synthetic - normal)``, rounded and clipped; equal pixels stay equal.

    Outside the mask the twins are the same, so the difference is the defect and nothing else: no other data set lets a
    trainer do this.

    Args:
        normal: ``(H, W, 3)`` uint8.
        synthetic: ``(H, W, 3)`` uint8.
        factor: 0 for no defect, 1 for the defect as it is.
    """
    difference = synthetic.astype(np.float32) - normal
    return np.asarray(np.clip(np.rint(normal + np.float32(factor) * difference), 0, 255), np.uint8)


class WholeSampler:
    """Step number -> batch of whole pictures; the first half has defects, the second half are their good twins.

    Little is changed, on purpose: flips, contrast, brightness and the strength of the defect. A short training learns
    less from pictures that are also moved, scaled or given other defects (docs/explanation/training-trials.md).

    Args:
        pairs: What to draw from, never empty; read when first needed and kept, squeezed, in memory up to 1 GiB.
        options: ``seed``, ``batch_size``, ``crop`` and ``strength``.
    """

    def __init__(self, pairs: Sequence[NormalSyntheticMask], options: UNetOptions) -> None:
        self._pairs, self._options = pairs, options
        self._half = max(1, options.batch_size // 2)
        self._kept: dict[int, NormalSyntheticMask] = {}
        self._lock = threading.Lock()

    def __call__(self, step: int) -> Batch:
        """Return the batch of a step; pictures ``(N, 3, crop, crop)``, masks ``(N, crop, crop)``."""
        options, half = self._options, self._half
        rng = np.random.default_rng((options.seed, 0, step))
        pictures = np.empty((2 * half, 3, options.crop, options.crop), np.float32)
        masks = np.zeros((2 * half, options.crop, options.crop), np.float32)
        for place, index in enumerate(chosen_pairs(step, count=len(self._pairs), each=half, seed=options.seed)):
            pair = self._squeezed(index)
            factor = rng.uniform(*options.strength)
            # A negative control has no defect; its traces are as strong as they are.
            defective = strengthened(pair.normal, pair.synthetic, factor) if pair.mask.any() else pair.synthetic
            flips = np.s_[:: rng.choice((-1, 1)), :: rng.choice((-1, 1))]
            contrast = rng.uniform(1 - _CONTRAST, 1 + _CONTRAST)
            brightness = rng.uniform(-_BRIGHTNESS, _BRIGHTNESS)
            for where, picture in ((place, defective), (half + place, pair.normal)):
                _lit(picture[flips], contrast, brightness, out=pictures[where])
            masks[place] = pair.mask[flips]
        return Batch(torch.from_numpy(pictures), torch.from_numpy(masks))

    def _squeezed(self, index: int) -> NormalSyntheticMask:
        found = self._kept.get(index)
        if found is None:
            found = squeezed_pair(self._pairs[index], self._options.crop)
            with self._lock:
                size = found.normal.nbytes + found.synthetic.nbytes + found.mask.nbytes
                if (len(self._kept) + 1) * size <= _KEPT_BYTES:
                    self._kept[index] = found
        return found


def _lit(picture: RGBImage, contrast: float, brightness: float, *, out: NDArray[np.float32]) -> None:
    """Write a picture as the network reads it, in another light: ``contrast * grey level + brightness``."""
    picture = np.ascontiguousarray(picture)
    for channel in range(3):
        np.multiply(cv2.extractChannel(picture, channel), np.float32(contrast * SCALE), out=out[channel])
    out += np.float32(brightness * SCALE + OFFSET)
