"""Metrics of single pixels: AUROC, average precision and the largest F1."""

from __future__ import annotations

from fmas_evaluate import measures
from fmas_evaluate.collection import count
from fmas_evaluate.inputs import Maps, Masks
from fmas_evaluate.results import Result, result_of
from fmas_evaluate.undefined import missing_pixels, warn

__all__ = ["average_precision", "f1_max", "pixel_auroc"]


def pixel_auroc(maps: Maps, masks: Masks, *, mask_threshold: float | None = None, threads: int | None = None) -> Result:
    """Return the chance that a defect pixel scores higher than a normal one; a tie counts one half.

    ``AUROC = 1/P * sum over the P defect pixels of (1 - (a + b)/2)``, with ``a`` the share of normal pixels above the
    defect pixel and ``b`` the share at or above it (Fawcett 2006). All pixels of all images are pooled. The value is
    the correctly rounded one.

    Args:
        maps: Score maps, larger is more anomalous: ``(N, H, W)``, ``(N, 1, H, W)``, or an iterable of ``(H, W)`` whose
            sizes may differ; integers, float16, float32, float64; numpy, torch or anything that numpy reads.
        masks: The masks, in the same forms: bool, 0 and 1, or 0 and 255; ``None`` for an image without a defect.
        mask_threshold: Accept masks of other values: a pixel above the threshold is a defect.
        threads: Threads to use; ``None`` for one per processor. The result does not depend on it.

    Returns:
        A fraction in ``[0, 1]``; NaN, with a ``RuntimeWarning``, without a defect or without a normal pixel.

    Raises:
        InvalidInput: Naming the image, if values or shapes cannot be evaluated.
        InvalidType: If a dtype is none of these.

    Examples:
        >>> print(pixel_auroc([[[0.1, 0.4], [0.35, 0.8]]], [[[0, 0], [1, 1]]]))
        0.75
    """
    counts = count(maps, masks, mask_threshold=mask_threshold, threads=threads)
    warn(missing_pixels(("pixel_auroc",), counts.scores.size, counts.n_normal))
    return result_of(measures.auroc(counts), counts)


def average_precision(
    maps: Maps, masks: Masks, *, mask_threshold: float | None = None, threads: int | None = None
) -> Result:
    """Return the average precision over pixels: the sum of (rise of recall) * precision.

    The sum runs over the distinct scores from the highest down; recall and precision are those when a pixel at or above
    the score counts as defect, and the rise is that since the score before. Nothing is interpolated (as in
    scikit-learn's ``average_precision_score``).

    Args:
        maps: Score maps, see ``pixel_auroc``.
        masks: Masks, see ``pixel_auroc``.
        mask_threshold: Accept masks of other values: a pixel above the threshold is a defect.
        threads: Threads to use; ``None`` for one per processor. The result does not depend on it.

    Returns:
        A fraction in ``[0, 1]``; NaN, with a ``RuntimeWarning``, without a defect or without a normal pixel.

    Raises:
        InvalidInput: Naming the image, if values or shapes cannot be evaluated.
        InvalidType: If a dtype is not supported.

    Examples:
        >>> print(average_precision([[[0.1, 0.4], [0.35, 0.8]]], [[[0, 0], [1, 1]]]))
        0.8333333333333333
    """
    counts = count(maps, masks, mask_threshold=mask_threshold, threads=threads)
    warn(missing_pixels(("average_precision",), counts.scores.size, counts.n_normal))
    return result_of(measures.average_precision(counts), counts)


def f1_max(maps: Maps, masks: Masks, *, mask_threshold: float | None = None, threads: int | None = None) -> Result:
    """Return the largest F1 over all thresholds; the result's ``threshold`` says where.

    ``F1 = 2 TP / (2 TP + FP + FN)``. A pixel at or above the threshold counts as defect. Among thresholds of equal F1
    the highest is returned. It is chosen on the very images it is computed from: an optimistic number for any others.

    Args:
        maps: Score maps, see ``pixel_auroc``.
        masks: Masks, see ``pixel_auroc``.
        mask_threshold: Accept masks of other values: a pixel above the threshold is a defect.
        threads: Threads to use; ``None`` for one per processor. The result does not depend on it.

    Returns:
        A fraction in ``[0, 1]``; NaN, with a ``RuntimeWarning``, without a defect or without a normal pixel.

    Raises:
        InvalidInput: Naming the image, if values or shapes cannot be evaluated.
        InvalidType: If a dtype is not supported.

    Examples:
        >>> best = f1_max([[[0.1, 0.4], [0.35, 0.8]]], [[[0, 0], [1, 1]]])
        >>> print(best, best.threshold)
        0.8 0.35
    """
    counts = count(maps, masks, mask_threshold=mask_threshold, threads=threads)
    warn(missing_pixels(("f1_max",), counts.scores.size, counts.n_normal))
    value, threshold = measures.f1_max(counts)
    return result_of(value, counts, threshold=threshold)
