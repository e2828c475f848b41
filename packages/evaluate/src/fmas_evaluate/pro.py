"""Per-region overlap: every defect counts the same, however large it is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fmas_evaluate import measures
from fmas_evaluate.collection import count
from fmas_evaluate.flagging import checked_threshold, reaches
from fmas_evaluate.inputs import Maps, Masks, pairs
from fmas_evaluate.limits import checked_limit
from fmas_evaluate.regions import find_regions
from fmas_evaluate.results import Result, result_of
from fmas_evaluate.undefined import missing_pixels, warn

__all__ = ["aupro", "per_region_overlap"]


def aupro(
    maps: Maps,
    masks: Masks,
    *,
    max_fpr: float = 0.3,
    mask_threshold: float | None = None,
    threads: int | None = None,
) -> Result:
    """Return the area under the PRO curve up to a false-positive rate, divided by that rate.

    The curve shows the share of a region that is found, averaged over all regions, against the share of all normal
    pixels that are flagged (Bergmann et al. 2021, "The MVTec Anomaly Detection Dataset"). With ``a``
    the share of normal pixels above a defect pixel, ``b`` the share at or above it, and ``R`` regions in all:

    ``PRO(L) = 1/(R L) * sum over defect pixels of A / (size of the pixel's region)``, where

    - ``A = L - (a + b)/2`` if ``b <= L``,
    - ``A = (L - a)**2 / (2 (b - a))`` if ``a < L < b``,
    - ``A = 0`` if ``a >= L``.

    This is the exact integral with equal scores merged and the curve interpolated at the limit. Regions are
    8-connected.

    Args:
        maps: Score maps, larger is more anomalous: ``(N, H, W)``, ``(N, 1, H, W)``, or an iterable of ``(H, W)`` whose
            sizes may differ; integers, float16, float32, float64; numpy, torch or anything that numpy reads.
        masks: The masks, in the same forms: bool, 0 and 1, or 0 and 255; ``None`` for an image without a defect.
        max_fpr: ``L``, in ``(0, 1]``; MVTec AD and VisA are reported at 0.3, MVTec AD 2 at 0.05.
        mask_threshold: Accept masks of other values: a pixel above the threshold is a defect.
        threads: Threads to use; ``None`` for one per processor. The result does not depend on it.

    Returns:
        A fraction in ``[0, 1]``; NaN, with a ``RuntimeWarning``, without a defect or without a normal pixel.

    Raises:
        InvalidInput: Naming the image, if values or shapes cannot be evaluated, or if ``max_fpr`` is out of range.
        InvalidType: If a dtype is none of these.

    Examples:
        >>> print(aupro([[[0.1, 0.4], [0.35, 0.8]]], [[[0, 0], [1, 1]]], max_fpr=1.0))
        0.75
    """
    limit = checked_limit(max_fpr)
    counts = count(maps, masks, mask_threshold=mask_threshold, threads=threads)
    warn(missing_pixels(("aupro",), counts.scores.size, counts.n_normal))
    return result_of(measures.pro(counts, limit), counts, limit=limit)


def per_region_overlap(
    maps: Maps, masks: Masks, *, threshold: float, mask_threshold: float | None = None
) -> NDArray[np.float64]:
    """Return, for each defect region, the share of its pixels that score at least a threshold.

    Args:
        maps: Score maps, see ``aupro``.
        masks: Masks, see ``aupro``.
        threshold: A pixel at or above it counts as found, in the unit of the scores.
        mask_threshold: Accept masks of other values: a pixel above the threshold is a defect.

    Returns:
        ``(R,)`` float64 in ``[0, 1]``: image by image, and within an image in the order of the regions' first pixels.

    Raises:
        InvalidInput: Naming the image, if values or shapes cannot be evaluated, or if the threshold is NaN.
        InvalidType: If a dtype is not supported.

    Examples:
        >>> per_region_overlap([[[0.1, 0.4], [0.35, 0.8]]], [[[0, 0], [1, 1]]], threshold=0.5)
        array([0.5])
    """
    threshold = checked_threshold(threshold)
    overlaps = [np.zeros(0)]
    for pair in pairs(maps, masks, mask_threshold=mask_threshold):
        regions = find_regions(pair.mask)
        if regions.count:
            found = reaches(pair.scores.reshape(-1)[regions.places], threshold)
            overlaps.append(_shares(regions.labels, found, regions.count))
    return np.concatenate(overlaps)


def _shares(labels: NDArray[np.int64], found: NDArray[np.bool_], count: int) -> NDArray[np.float64]:
    """Return the share of the pixels of each label that were found."""
    shares: NDArray[np.float64] = np.bincount(labels[found], minlength=count) / np.bincount(labels, minlength=count)
    return shares
