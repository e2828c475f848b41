"""Image AUROC, exactly, from one score and one label per image."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fmas_evaluate.errors import InvalidInput, InvalidType
from fmas_evaluate.inputs import as_array

__all__ = ["auroc_of_images", "image_auroc", "read_labels"]


def image_auroc(scores: ArrayLike, labels: ArrayLike) -> float:
    """Return the chance that a defective image scores higher than a good one; a tie counts one half.

    ``AUROC = P(defective > good) + P(defective = good)/2``, over all pairs of a defective and a good image.

    It is the Mann-Whitney statistic divided by the number of (defective, good) pairs: exact, without thresholds
    (Fawcett 2006, "An introduction to ROC analysis"). The pairs are counted in integers and divided
    once, so the value is the correctly rounded one.

    Args:
        scores: One score per image, ``(N,)`` integer or float, infinities allowed; larger is more anomalous.
        labels: ``(N,)`` bool, or integers 0 and 1; ``True`` or 1 marks a defective image.

    Returns:
        A fraction in ``[0, 1]``; NaN, with a ``RuntimeWarning``, without a defective or without a good image.

    Raises:
        InvalidType: If the scores are not real numbers or the labels are neither bool nor integers (a ``TypeError``).
        InvalidInput: If either is not one-dimensional, their lengths differ, a score is NaN, or a label is neither 0
            nor 1 (a ``ValueError``).

    Examples:
        >>> image_auroc([0.1, 0.4, 0.35, 0.8], [False, False, True, True])
        0.75
    """
    score_array, defective = _checked(scores, labels)
    value = auroc_of_images(score_array, defective)
    if math.isnan(value):
        defective_count = int(np.count_nonzero(defective))
        warnings.warn(
            f"image AUROC is not defined: expected defective and good images, got {defective_count} defective and "
            f"{defective.size - defective_count} good; returning NaN",
            RuntimeWarning,
            stacklevel=2,
        )
    return value


def auroc_of_images(scores: NDArray[np.number[Any]], defective: NDArray[np.bool_]) -> float:
    """Return the AUROC of checked ``(N,)`` scores and labels; NaN, without a warning, where it is not defined."""
    # float16 sorts wrongly where both zeros occur (numpy 2.4), hence never as such.
    comparable = scores.astype(np.float32) if scores.dtype == np.float16 else scores
    good, bad = np.sort(comparable[~defective]), comparable[defective]
    if not good.size or not bad.size:
        return math.nan
    # Twice the pairs won: those strictly below count two, ties one.
    won = int(good.searchsorted(bad, "left").sum()) + int(good.searchsorted(bad, "right").sum())
    return won / (2 * good.size * bad.size)


def read_labels(labels: ArrayLike) -> NDArray[np.bool_]:
    """Return labels as bool, or say what is wrong with them.

    Args:
        labels: bool, or integers 0 and 1, of any shape.
    """
    array = as_array(labels, "the labels")
    if array.dtype == np.bool_:
        return array
    if array.dtype.kind not in "iu":
        raise InvalidType(
            f"expected labels of dtype bool or integers 0 and 1, got {array.dtype}; compare them with the defective "
            "class first, e.g. labels == 1"
        )
    other = array[(array != 0) & (array != 1)]
    if other.size:
        raise InvalidInput(
            f"expected labels 0 (good) and 1 (defective), got {other.flat[0]}; compare them with the defective class "
            "first, e.g. labels != 0"
        )
    return array.astype(np.bool_)


def _checked(scores: ArrayLike, labels: ArrayLike) -> tuple[NDArray[np.number[Any]], NDArray[np.bool_]]:
    """Return both as arrays, or say what is wrong with them."""
    score_array, label_array = as_array(scores, "the scores"), as_array(labels, "the labels")
    if score_array.ndim != 1 or label_array.ndim != 1 or score_array.shape != label_array.shape:
        raise InvalidInput(
            f"expected scores and labels of equal shape (N,), got {score_array.shape} and {label_array.shape}; "
            "pass one score and one label per image"
        )
    if score_array.dtype.kind not in "iuf":
        raise InvalidType(f"expected scores of an integer or float dtype, got {score_array.dtype}; convert them first")
    defective = read_labels(label_array)
    undefined = np.flatnonzero(np.isnan(score_array))
    if undefined.size:
        raise InvalidInput(
            f"expected no NaN among the scores, got NaN at index {undefined[0]} ({undefined.size} of "
            f"{score_array.size} in all); find out why the detector returned it, or leave these images out"
        )
    return score_array, defective
