"""Area under the ROC curve, computed exactly from ranks."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

__all__ = ["image_auroc"]


def image_auroc(scores: ArrayLike, labels: ArrayLike) -> float:
    r"""Return the chance that a defective image scores higher than a good one.

    .. math:: \mathrm{AUROC} = P(s_+ > s_-) + \tfrac12 P(s_+ = s_-)

    It is the Mann-Whitney statistic divided by the number of (defective, good) pairs: exact, without thresholds, and a
    tie counts one half (Fawcett 2006, "An introduction to ROC analysis").

    Args:
        scores: One score per image, ``(N,)`` integer or float, infinities allowed; larger is more anomalous.
        labels: ``(N,)`` bool; ``True`` marks a defective image.

    Returns:
        A fraction in ``[0, 1]``; NaN, with a :class:`RuntimeWarning`, without a defective or without a good image.

    Raises:
        TypeError: If the scores are not real numbers or the labels are not bool.
        ValueError: If either is not one-dimensional, their lengths differ, or a score is NaN.

    Examples:
        >>> image_auroc([0.1, 0.4, 0.35, 0.8], [False, False, True, True])
        0.75
    """
    score_array, defective = _checked(scores, labels)
    defective_count = int(np.count_nonzero(defective))
    good_count = defective.size - defective_count
    if defective_count == 0 or good_count == 0:
        warnings.warn(
            f"image AUROC is not defined: expected defective and good images, got {defective_count} defective and "
            f"{good_count} good; returning NaN",
            RuntimeWarning,
            stacklevel=2,
        )
        return float("nan")
    ranks = np.asarray(rankdata(score_array), dtype=np.float64)
    # Ranks are multiples of one half, so this sum is exact in float64 up to about 10**8 images.
    pairs_won = float(ranks[defective].sum()) - defective_count * (defective_count + 1) / 2
    return pairs_won / (defective_count * good_count)


def _checked(scores: ArrayLike, labels: ArrayLike) -> tuple[NDArray[np.number], NDArray[np.bool_]]:
    """Return both as arrays, or say what is wrong with them."""
    score_array = np.asarray(scores)
    label_array = np.asarray(labels)
    if score_array.ndim != 1 or label_array.ndim != 1 or score_array.shape != label_array.shape:
        raise ValueError(
            f"expected scores and labels of equal shape (N,), got {score_array.shape} and {label_array.shape}; "
            "pass one score and one label per image"
        )
    if score_array.dtype.kind not in "iuf":
        raise TypeError(f"expected scores of an integer or float dtype, got {score_array.dtype}; convert them first")
    if label_array.dtype != np.bool_:
        raise TypeError(
            f"expected labels of dtype bool, got {label_array.dtype}; compare them with the defective class first, "
            "e.g. labels == 1"
        )
    undefined = np.flatnonzero(np.isnan(score_array))
    if undefined.size:
        raise ValueError(
            f"expected no NaN among the scores, got NaN at index {undefined[0]} ({undefined.size} of "
            f"{score_array.size} in all); find out why the detector returned it, or leave these images out"
        )
    return score_array, label_array
