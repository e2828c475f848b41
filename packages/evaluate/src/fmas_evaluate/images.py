"""One label and one score per image, beside the pixels."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sized
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fmas_evaluate.auroc import auroc_of_images, read_labels
from fmas_evaluate.errors import InvalidInput
from fmas_evaluate.inputs import Maps, Masks, Pair, as_array, exact_dtype, images_of, pairs
from fmas_evaluate.undefined import warn_of_labels

__all__ = ["ImageScores", "labelled_pairs", "read_image_score", "read_label"]


class ImageScores:
    """The labels and scores of images.

    Attributes:
        labels: For each image, whether it is defective.
        scores: For each image, its score.
    """

    def __init__(self) -> None:
        self.labels: list[bool] = []
        self.scores: list[float] = []

    @classmethod
    def restored(cls, labels: ArrayLike, scores: ArrayLike) -> ImageScores:
        """Return the labels and scores of images that were added before, from ``(N,)`` arrays or lists."""
        restored = cls()
        restored.labels = read_labels(np.asarray(labels, None if np.size(labels) else np.bool_)).tolist()
        restored.scores = _scores(scores).tolist()
        return restored

    def add(self, pair: Pair, label: bool | None = None, score: float | None = None) -> None:
        """Take in one image.

        Args:
            pair: The image.
            label: Whether it is defective; ``None``: whether its mask has a defect pixel.
            score: Its score; ``None``: the largest score of its map.
        """
        self.labels.append(bool(pair.mask.any()) if label is None else label)
        self.scores.append(float(pair.scores.max()) if score is None else score)

    def merge(self, other: ImageScores) -> None:
        """Take in all images of another."""
        self.labels += other.labels
        self.scores += other.scores

    def auroc(self) -> float:
        """Return the image AUROC; NaN, without a warning, unless there are defective and good images."""
        return auroc_of_images(np.array(self.scores, np.float64), np.array(self.labels, np.bool_))


def labelled_pairs(
    maps: Maps,
    masks: Masks,
    labels: ArrayLike | None,
    image_scores: ArrayLike | None,
    *,
    mask_threshold: float | None = None,
    first_index: int = 0,
) -> Iterator[tuple[Pair, bool | None, float | None]]:
    """Yield every image with its label and its score, ``None`` where they were left out.

    Args:
        maps: Score maps, see ``pairs``.
        masks: Masks.
        labels: ``(N,)`` bool or integers 0 and 1, a scalar for a single image, or ``None``.
        image_scores: ``(N,)`` integer or float, a scalar for a single image, or ``None``.
        mask_threshold: For masks of other values than 0 and 1 or 255.
        first_index: What messages call the first image: ``image 0``.

    Yields:
        One image at a time; after the last, a ``RuntimeWarning`` names those that are labelled good although their
        mask has a defect.

    Raises:
        InvalidInput: If there are not as many labels or scores as maps, or a score is NaN.
        InvalidType: If a dtype is not supported.
    """
    maps, masks = images_of(maps, "maps"), images_of(masks, "masks")
    given_labels = None if labels is None else _one_per_image(read_labels(labels), maps, "labels")
    given_scores = None if image_scores is None else _one_per_image(_scores(image_scores), maps, "image_scores")
    names = (f"image {first_index + index}" for index in itertools.count())
    index, contradicting = -1, list[str]()
    for index, pair in enumerate(pairs(maps, masks, mask_threshold=mask_threshold, names=names)):
        for given, what in ((given_labels, "labels"), (given_scores, "image_scores")):
            if given is not None and index >= given.size:
                raise _wrong_number(what, given.size, "more")
        label = None if given_labels is None else bool(given_labels[index])
        if label is False and pair.mask.any():
            contradicting.append(pair.name)
        yield pair, label, None if given_scores is None else float(given_scores[index])
    for given, what in ((given_labels, "labels"), (given_scores, "image_scores")):
        if given is not None and given.size != index + 1:
            raise _wrong_number(what, given.size, str(index + 1))
    warn_of_labels(contradicting)


def read_image_score(score: object, name: str) -> float:
    """Return one image score as a float, or say what is wrong with it."""
    return float(_scores(_single(score, f"image score for {name}"))[0])


def read_label(label: object, name: str) -> bool:
    """Return one label as a bool, or say what is wrong with it."""
    return bool(read_labels(_single(label, f"label for {name}"))[0])


def _single(value: object, what: str) -> NDArray[Any]:
    """Return one value as an array ``(1,)``, or say that there are several or none."""
    array = as_array(value, f"the {what}")
    if array.size != 1:
        raise InvalidInput(f"expected one {what}, got shape {array.shape}; pass a single value")
    return array.reshape(1)


def _one_per_image(values: NDArray[Any], maps: Iterable[Any], what: str) -> NDArray[Any]:
    """Return a flat array, or say at once that there are too many or too few values for the maps."""
    if values.ndim > 1:
        raise InvalidInput(f"expected {what} of shape (N,), got {values.shape}; pass one value per image")
    flat = values.reshape(-1)
    if isinstance(maps, Sized) and flat.size != len(maps):
        raise _wrong_number(what, flat.size, str(len(maps)))
    return flat


def _wrong_number(what: str, got: int, maps: str) -> InvalidInput:
    return InvalidInput(f"expected one value in {what} per map, got {got} for {maps} maps; pass both in the same order")


def _scores(image_scores: ArrayLike) -> NDArray[np.float64]:
    """Return image scores as float64, which holds them exactly, or say what is wrong with them."""
    array = as_array(image_scores, "the image scores")
    exact_dtype(array, "the image scores")
    undefined = np.flatnonzero(np.isnan(array))
    if undefined.size:
        raise InvalidInput(
            f"expected no NaN among the image scores, got NaN at index {undefined[0]}; find out why the detector "
            "returned it, or leave the image out"
        )
    return array.astype(np.float64)
