"""The first pass over the images: keep the defect pixels, and of everything else only how much there was."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmas_evaluate.counter import count_pixels
from fmas_evaluate.counts import DefectCounts, DefectPixels, sort_defects
from fmas_evaluate.errors import InvalidInput
from fmas_evaluate.inputs import Maps, Masks, Pair, exact_dtype, pairs
from fmas_evaluate.regions import find_regions

__all__ = ["Collection", "collect", "count", "keeps_its_arrays"]


class Collection:
    """What the first pass keeps of all images, in memory that grows with the defect pixels alone.

    Attributes:
        n_images: Images so far.
        n_regions: Defect regions so far.
        n_pixels: Pixels so far.
        n_defect_pixels: Defect pixels so far.
        dtype: float32, or float64 once an image needs it.
    """

    def __init__(self) -> None:
        self.n_images = 0
        self.n_regions = 0
        self.n_pixels = 0
        self.n_defect_pixels = 0
        self.dtype: np.dtype[Any] = np.dtype(np.float32)
        self._scores: list[NDArray[np.number[Any]]] = []
        self._sizes: list[NDArray[np.int64]] = []

    def add(self, pair: Pair) -> None:
        """Take in one image."""
        regions = find_regions(pair.mask)
        self.n_images += 1
        self.n_pixels += pair.scores.size
        self.n_regions += regions.count
        self.n_defect_pixels += regions.places.size
        self.dtype = np.promote_types(self.dtype, exact_dtype(pair.scores, pair.name))
        if regions.count:
            self._scores.append(pair.scores[pair.mask])  # row by row, as the regions' pixels are
            self._sizes.append(regions.sizes)

    def merge(self, other: Collection) -> None:
        """Take in all images of another collection."""
        self.n_images += other.n_images
        self.n_pixels += other.n_pixels
        self.n_regions += other.n_regions
        self.n_defect_pixels += other.n_defect_pixels
        self.dtype = np.promote_types(self.dtype, other.dtype)
        self._scores += other._scores
        self._sizes += other._sizes

    @classmethod
    def restored(
        cls,
        maps: Sequence[NDArray[np.number[Any]]],
        scores: Sequence[NDArray[np.number[Any]]],
        sizes: Sequence[NDArray[np.int64]],
        n_regions: int,
    ) -> Collection:
        """Return the collection of maps whose defect pixels were collected before.

        Args:
            maps: All score maps.
            scores: Arrays ``(P_i,)`` of the defect pixels' scores.
            sizes: As many arrays ``(P_i,)``, the size of each one's region.
            n_regions: Defect regions in all.

        Raises:
            InvalidInput: If the sizes do not add up to that number of regions, or the defect pixels exceed the pixels.
        """
        restored = cls()
        restored.n_images, restored.n_regions = len(maps), n_regions
        restored.n_pixels = sum(map_.size for map_ in maps)
        restored.n_defect_pixels = sum(part.size for part in scores)
        for index, map_ in enumerate(maps):
            restored.dtype = np.promote_types(restored.dtype, exact_dtype(map_, f"image {index}"))
        restored._scores, restored._sizes = list(scores), list(sizes)
        if any(np.isnan(part).any() for part in scores):
            raise InvalidInput("expected no NaN among the defect pixels, got NaN; pass what state_dict() returned")
        fits = [part.shape for part in scores] == [part.shape for part in sizes]
        fits = (
            fits
            and restored.n_defect_pixels <= restored.n_pixels
            and all(part.min() > 0 for part in sizes if part.size)
        )
        if not fits or round(math.fsum((1 / part).sum() for part in sizes)) != n_regions:
            raise InvalidInput(
                f"expected {n_regions} regions whose pixels are among those of the maps, got sizes that do not fit; "
                "pass what state_dict() returned, unchanged"
            )
        return restored

    def pixels(self) -> tuple[list[NDArray[np.number[Any]]], list[NDArray[np.int64]]]:
        """Return the defect pixels' scores and region sizes, in arrays that belong together two by two."""
        return list(self._scores), list(self._sizes)

    def defects(self) -> DefectPixels:
        """Return the defect pixels of all images, sorted."""
        defects = sort_defects(self._scores, self._sizes, self.dtype)
        self._scores, self._sizes = [defects.scores], [defects.sizes]  # once is enough; their order never mattered
        return defects

    def count(self, maps: Iterable[NDArray[np.number[Any]]], *, threads: int | None = None) -> DefectCounts:
        """Make the second pass: count all pixels against the defect pixels.

        Args:
            maps: The score maps of the same images, in any order.
            threads: Chunks sorted at the same time; ``None`` for one per processor.

        Returns:
            The counts.
        """
        return count_pixels(maps, self.defects(), n_images=self.n_images, n_regions=self.n_regions, threads=threads)


def keeps_its_arrays(maps: Maps) -> bool:
    """Say whether maps stay what they are while others are read; a loader may fill the same array again and again."""
    return isinstance(maps, list | tuple) or hasattr(maps, "__array__")


def collect(
    maps: Maps, masks: Masks, *, mask_threshold: float | None = None
) -> tuple[Collection, list[NDArray[np.number[Any]]]]:
    """Make the first pass over images in memory and hold on to their maps.

    Maps of an iterator, a loader or a dataset are copied: it may fill the same array again and again.

    Args:
        maps: Score maps, see ``pairs``.
        masks: Masks.
        mask_threshold: For masks of other values than 0 and 1 or 255.

    Returns:
        The collection and the maps.
    """
    lent = not keeps_its_arrays(maps)
    collection, kept = Collection(), []
    for pair in pairs(maps, masks, mask_threshold=mask_threshold):
        collection.add(pair)
        kept.append(pair.scores.copy() if lent else pair.scores)
    return collection, kept


def count(maps: Maps, masks: Masks, *, mask_threshold: float | None = None, threads: int | None = None) -> DefectCounts:
    """Return the counts that every pixel metric follows from.

    Args:
        maps: Score maps, see ``pairs``.
        masks: Masks.
        mask_threshold: For masks of other values than 0 and 1 or 255.
        threads: Chunks sorted at the same time; ``None`` for one per processor.

    Returns:
        The counts.
    """
    collection, kept = collect(maps, masks, mask_threshold=mask_threshold)
    return collection.count(kept, threads=threads)
