"""One image's share of an evaluation: what resampling images and per-image measures need of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fmas_evaluate.collection import keeps_its_arrays
from fmas_evaluate.counts import DefectCounts, sort_defects
from fmas_evaluate.images import labelled_pairs
from fmas_evaluate.inputs import Maps, Masks, Pair, exact_dtype
from fmas_evaluate.parallel import in_threads
from fmas_evaluate.regions import find_regions

__all__ = ["Sample", "count_samples", "counts_above", "take_apart"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One image, taken apart into sorted scores.

    Attributes:
        name: Its file name, or ``image 3``.
        normal: ``(N,)`` scores of its normal pixels, ascending.
        defects: ``(P,)`` scores of its defect pixels, ascending.
        sizes: ``(P,)`` int64, number of pixels of the region each of them belongs to.
        n_regions: Number of its defect regions.
        defective: Its label; without labels, whether it has a defect pixel.
        score: Its image score; without image scores, the map's maximum.
    """

    name: str
    normal: NDArray[Any]
    defects: NDArray[Any]
    sizes: NDArray[np.int64]
    n_regions: int
    defective: bool
    score: float


def take_apart(
    maps: Maps,
    masks: Masks,
    *,
    labels: ArrayLike | None = None,
    image_scores: ArrayLike | None = None,
    mask_threshold: float | None = None,
) -> tuple[Sample, ...]:
    """Take every image apart; memory grows with the scores, of which one copy is kept.

    Args:
        maps: Score maps, anything that ``fmas_evaluate.inputs.pairs`` takes.
        masks: Defect masks of the same sizes; ``None`` for an image without a defect.
        labels: ``(N,)`` bool or integers 0 and 1, ``True`` marks a defective image; by default, whether its mask marks
            a pixel.
        image_scores: ``(N,)`` one score per image, larger is more anomalous; by default, the map's maximum.
        mask_threshold: A mask value above it is a defect; needed only for masks that are not two-valued.

    Returns:
        One sample per image, in order.

    Raises:
        InvalidInput: If the pairs are, or labels or image scores are not one per image, or a score is NaN.
        InvalidType: If a dtype is not supported.
    """
    # A loader may fill the same array again and again: such an image has to be done before the next one is read.
    given: tuple[Any, Any] = (maps, masks)
    threads = None if all(keeps_its_arrays(images) for images in given) else 1
    images = labelled_pairs(maps, masks, labels, image_scores, mask_threshold=mask_threshold)
    return tuple(in_threads(lambda image: _sample(*image), images, threads=threads))


def _sample(pair: Pair, label: bool | None, score: float | None) -> Sample:
    """Split one image's scores into normal and defect pixels."""
    # Widened: sorting float16 went wrong in numpy 2.4, and images of different dtypes must compare exactly.
    flat = pair.scores.ravel().astype(exact_dtype(pair.scores, pair.name), copy=False)
    regions = find_regions(pair.mask)
    defects = flat[regions.places]
    order = np.argsort(defects, kind="stable")
    return Sample(
        name=pair.name,
        normal=np.sort(flat[~pair.mask.ravel()] if regions.count else flat),
        defects=defects[order],
        sizes=regions.sizes[order],
        n_regions=regions.count,
        defective=regions.count > 0 if label is None else label,
        score=float(flat.max()) if score is None else score,
    )


def counts_above(normal: NDArray[Any], needles: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count the normal pixels above each score, and those at or above it.

    Args:
        normal: ``(N,)`` scores of normal pixels, ascending.
        needles: ``(K,)`` scores, best ascending: neighbours then look at the same memory.

    Returns:
        Two arrays ``(K,)`` int64.
    """
    below = np.searchsorted(normal, needles, side="left")
    reached = normal.size - below
    above = reached.copy()
    if normal.size:
        tied = normal[np.minimum(below, normal.size - 1)] == needles  # mostly none: spares a second search
        above[tied] = normal.size - np.searchsorted(normal, needles[tied], side="right")
    return above, reached


def count_samples(samples: Sequence[Sample]) -> DefectCounts:
    """Count all images together, each once.

    Args:
        samples: The images.

    Returns:
        The counts that every pixel measure follows from.
    """
    scores = [sample.defects for sample in samples]
    dtype = np.result_type(np.float32, *(part.dtype for part in scores))
    pixels = sort_defects(scores, [sample.sizes for sample in samples], dtype)
    needles, place = np.unique(pixels.scores, return_inverse=True)
    above = np.zeros(needles.size, dtype=np.int64)
    reached = np.zeros(needles.size, dtype=np.int64)
    for image_above, image_reached in in_threads(lambda sample: counts_above(sample.normal, needles), samples):
        above += image_above
        reached += image_reached
    n_normal = sum(sample.normal.size for sample in samples)
    return DefectCounts(
        scores=pixels.scores,
        sizes=pixels.sizes,
        above=above[place],
        reached=reached[place],
        n_normal=n_normal,
        n_regions=sum(sample.n_regions for sample in samples),
        n_pixels=n_normal + pixels.scores.size,
        n_images=len(samples),
    )
