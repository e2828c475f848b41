"""Which images were judged worst at a threshold."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fmas_evaluate.flagging import reaches
from fmas_evaluate.inputs import Pair
from fmas_evaluate.regions import find_regions

__all__ = ["Judged", "judge", "worst_alarms", "worst_misses"]


@dataclass(frozen=True, slots=True)
class Judged:
    """One image at the threshold.

    Attributes:
        name: Of the image.
        image_score: Its score.
        sizes: ``(R,)`` int64, pixels of its defect regions.
        covered: ``(R,)`` float64, share of each that lies at or above the threshold.
        false_pixels: Normal pixels at or above the threshold.
        normal_peak: The largest score of a normal pixel; minus infinity without one.
    """

    name: str
    image_score: float
    sizes: NDArray[np.int64]
    covered: NDArray[np.float64]
    false_pixels: int
    normal_peak: float

    @property
    def missed_pixels(self) -> int:
        """Defect pixels below the threshold."""
        return round(float((self.sizes * (1 - self.covered)).sum()))

    @property
    def missed_regions(self) -> int:
        """Regions without any pixel at or above the threshold."""
        return int(np.count_nonzero(self.covered == 0))


def judge(pair: Pair, *, threshold: float, image_score: float) -> Judged:
    """Return how one image looks at a threshold.

    Args:
        pair: The image.
        threshold: Pixels at or above it count as defect.
        image_score: The image's score.
    """
    regions = find_regions(pair.mask)
    inside = pair.scores.ravel()[regions.places]
    sizes = np.bincount(regions.labels, minlength=regions.count)
    hits = np.bincount(regions.labels, weights=reaches(inside, threshold), minlength=regions.count)
    normal = pair.scores[~pair.mask]
    return Judged(
        name=pair.name,
        image_score=image_score,
        sizes=sizes.astype(np.int64),
        covered=hits / np.maximum(sizes, 1),
        false_pixels=int(np.count_nonzero(reaches(normal, threshold))),
        normal_peak=float(normal.max()) if normal.size else -np.inf,
    )


def worst_misses(judged: Iterable[Judged], most: int) -> list[Judged]:
    """Return images with missed regions first, the largest such region first, then those with most pixels missed."""
    candidates = [one for one in judged if one.missed_pixels]
    candidates.sort(key=lambda one: (-_largest_missed(one), -one.missed_pixels, one.name))
    return candidates[:most]


def _largest_missed(one: Judged) -> int:
    return int(one.sizes[one.covered == 0].max(initial=0))


def worst_alarms(judged: Iterable[Judged], most: int) -> list[Judged]:
    """Return the images with most false pixels; good images before others, since there every alarm costs a part."""
    candidates = [one for one in judged if one.false_pixels]
    candidates.sort(key=lambda one: (one.sizes.size > 0, -one.false_pixels, -one.normal_peak, one.name))
    return candidates[:most]
