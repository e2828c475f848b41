"""Exact metrics of images that never fit into memory: read them twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fmas_evaluate.collection import Collection
from fmas_evaluate.counter import PixelCounter, checked_threads
from fmas_evaluate.errors import InvalidInput, InvalidType
from fmas_evaluate.evaluation import evaluation_of, pixel_results, what_is_undefined
from fmas_evaluate.flagging import checked_mask_threshold
from fmas_evaluate.images import ImageScores, read_image_score, read_label
from fmas_evaluate.inputs import Pair, read_mask, read_scores
from fmas_evaluate.limits import DEFAULT_LIMITS, checked_limits
from fmas_evaluate.results import Evaluation
from fmas_evaluate.undefined import warn, warn_of_labels

__all__ = ["Factory", "compute_stream"]

Factory: TypeAlias = Callable[[], Iterable[tuple[Any, ...]]]
"""Gives, at every call, a new iterable of ``(map, mask)`` or ``(map, mask, label, image_score)``."""


def compute_stream(
    factory: Factory,
    *,
    max_fpr: float | Iterable[float] = DEFAULT_LIMITS,
    mask_threshold: float | None = None,
    threads: int | None = None,
) -> Evaluation:
    """Return exact metrics in memory that grows with the defect pixels alone.

    The images are read twice: once to collect the defect pixels, once to count all pixels against them.

    Args:
        factory: Called twice; gives an iterable of ``(map, mask)`` or ``(map, mask, label, image_score)``, the same
            images each time, in any order. Map and mask are ``(H, W)`` as in ``evaluate``; mask,
            label and image score may be ``None``.
        max_fpr: The limit of PRO, or several: the first becomes ``aupro``, another ``aupro@0.05``.
        mask_threshold: Accept masks of other values than 0 and 1 or 255: a pixel above the threshold is a defect.
        threads: Threads to use; ``None`` for one per processor. The result does not depend on it.

    Returns:
        The metrics, by name and as attributes, bit for bit those of ``evaluate``.

    Raises:
        InvalidInput: Naming the image, if values or shapes cannot be evaluated; if the second pass brought other images
            or scores than the first.
        InvalidType: If a dtype is not supported, or ``factory`` does not give such tuples.

    Examples:
        >>> images = [([[0.1, 0.4], [0.3, 0.2]], None), ([[0.1, 0.4], [0.35, 0.8]], [[0, 0], [1, 1]])]
        >>> print(compute_stream(lambda: iter(images)).image_auroc)
        1.0
    """
    limits = checked_limits(max_fpr)
    checked_threads(threads)
    mask_threshold = checked_mask_threshold(mask_threshold)
    if not callable(factory):
        raise InvalidType(
            f"expected a function that gives a new iterable of (map, mask) at each call, got {type(factory).__name__}; "
            "pass e.g. lambda: read(files)"
        )
    collection, images, first = Collection(), ImageScores(), _Fingerprint()
    for pair, label, score in _tuples(factory, mask_threshold):
        collection.add(pair)
        images.add(pair, label, score)
        first.add(pair.scores)
    second = _Fingerprint()
    with PixelCounter(collection.defects(), threads=threads) as counter:
        for index, item in enumerate(_iterable(factory)):
            scores = read_scores(_unpacked(item, index)[0], f"image {index} of the second pass")
            second.add(scores)
            counter.add(scores)
        _check_same(first, second)
        counts = counter.counts(n_images=collection.n_images, n_regions=collection.n_regions)
    warn(*what_is_undefined(images, limits, n_defect=counts.scores.size, n_normal=counts.n_normal))
    return evaluation_of(images, counts, pixel_results(counts, limits))


class _Fingerprint:
    """How many images and pixels there were, and the sum of their bytes: whether two passes read the same scores."""

    def __init__(self) -> None:
        self.n_images = 0
        self.n_pixels = 0
        self.total = 0

    def add(self, scores: NDArray[np.number[Any]]) -> None:
        self.n_images += 1
        self.n_pixels += scores.size
        # The bits as integers: unlike a sum of floats it neither rounds nor depends on the order.
        bits = np.ascontiguousarray(scores).view(f"u{scores.dtype.itemsize}")
        self.total += int(bits.sum(dtype=np.uint64))


def _check_same(first: _Fingerprint, second: _Fingerprint) -> None:
    """Say that the second pass read something else, if it did."""
    if (first.n_images, first.n_pixels) != (second.n_images, second.n_pixels):
        raise InvalidInput(
            f"expected the same images in both passes, got {first.n_images} images of {first.n_pixels} pixels in the "
            f"first and {second.n_images} of {second.n_pixels} in the second; the factory has to give a new iterable "
            "from the start at every call"
        )
    if first.total != second.total:
        raise InvalidInput(
            "expected the same scores in both passes, got others in the second; switch off random augmentation and "
            "dropout, or use Evaluator, which reads the images once"
        )


def _iterable(factory: Factory) -> Iterable[Any]:
    """Call the factory."""
    images: object = factory()
    if not isinstance(images, Iterable):
        raise InvalidType(f"expected the factory to give an iterable, got {type(images).__name__}; yield (map, mask)")
    return images


def _tuples(factory: Factory, mask_threshold: float | None) -> Iterator[tuple[Pair, bool | None, float | None]]:
    """Yield the images of a pass, checked."""
    contradicting: list[str] = []
    for index, item in enumerate(_iterable(factory)):
        name = f"image {index}"
        scores, mask, given_label, image_score = _unpacked(item, index)
        checked = read_scores(scores, name)
        pair = Pair(name, checked, read_mask(mask, checked.shape, name, mask_threshold=mask_threshold))
        label = None if given_label is None else read_label(given_label, name)
        if label is False and pair.mask.any():
            contradicting.append(name)
        yield pair, label, None if image_score is None else read_image_score(image_score, name)
    warn_of_labels(contradicting)


def _unpacked(item: object, index: int) -> tuple[Any, Any, Any, Any]:
    """Return map, mask, label and image score; the last two may be missing."""
    if isinstance(item, tuple | list) and len(item) == 2:
        return item[0], item[1], None, None
    if isinstance(item, tuple | list) and len(item) == 4:
        return item[0], item[1], item[2], item[3]
    got = f"{len(item)} parts" if isinstance(item, tuple | list) else type(item).__name__
    raise InvalidType(
        f"expected (map, mask) or (map, mask, label, image_score) for image {index}, got {got}; yield a tuple per image"
    )
