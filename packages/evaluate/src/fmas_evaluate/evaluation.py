"""All metrics of a set of images from one call, and one sort of its pixels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from numpy.typing import ArrayLike

from fmas_evaluate import measures
from fmas_evaluate.collection import Collection, keeps_its_arrays
from fmas_evaluate.counts import DefectCounts
from fmas_evaluate.histogram import HistogramCounts, certified
from fmas_evaluate.images import ImageScores, labelled_pairs
from fmas_evaluate.inputs import Maps, Masks
from fmas_evaluate.intervals import Bounded
from fmas_evaluate.limits import DEFAULT_LIMITS, checked_limits
from fmas_evaluate.results import Evaluation, Result, aupro_name, result_of
from fmas_evaluate.undefined import missing_images, missing_pixels, warn

__all__ = ["certified_evaluation", "evaluate", "evaluation_of", "pixel_results", "what_is_undefined"]


def evaluate(
    maps: Maps,
    masks: Masks,
    *,
    labels: ArrayLike | None = None,
    image_scores: ArrayLike | None = None,
    max_fpr: float | Iterable[float] = DEFAULT_LIMITS,
    mask_threshold: float | None = None,
    threads: int | None = None,
) -> Evaluation:
    """Return image AUROC, pixel AUROC, average precision, F1-max and PRO of all images together.

    It takes hardly longer than one of them: all follow from the same counts.

    Args:
        maps: Score maps, larger is more anomalous: ``(N, H, W)``, ``(N, 1, H, W)``, or an iterable of ``(H, W)`` whose
            sizes may differ; integers, float16, float32, float64; numpy, torch or anything that numpy reads.
        masks: The masks, in the same forms: bool, 0 and 1, or 0 and 255; ``None`` for an image without a defect.
        labels: ``(N,)`` bool or integers 0 and 1: which images are defective; left out, those whose mask has a defect.
            A ``RuntimeWarning`` names images that are labelled good although their mask has one.
        image_scores: ``(N,)`` integer or float; left out, the largest score of each map.
        max_fpr: The limit of PRO, or several: the first becomes ``aupro``, another ``aupro@0.05``.
        mask_threshold: Accept masks of other values: a pixel above the threshold is a defect.
        threads: Threads to use; ``None`` for one per processor. The result does not depend on it.

    Returns:
        The metrics, by name and as attributes. One that is not defined is NaN; a ``RuntimeWarning`` says what is
        missing.

    Raises:
        InvalidInput: Naming the image, if values or shapes cannot be evaluated.
        InvalidType: If a dtype is none of these.

    Examples:
        >>> result = evaluate([[[0.1, 0.4], [0.3, 0.2]], [[0.1, 0.4], [0.35, 0.8]]], [None, [[0, 0], [1, 1]]])
        >>> result.image_auroc == 1.0, round(result["pixel_auroc"], 3)
        (True, 0.833)
    """
    limits = checked_limits(max_fpr)
    lent = not keeps_its_arrays(maps)
    collection, images, kept = Collection(), ImageScores(), []
    for pair, label, score in labelled_pairs(maps, masks, labels, image_scores, mask_threshold=mask_threshold):
        collection.add(pair)
        images.add(pair, label, score)
        kept.append(pair.scores.copy() if lent else pair.scores)
    counts = collection.count(kept, threads=threads)
    warn(*what_is_undefined(images, limits, n_defect=counts.scores.size, n_normal=counts.n_normal))
    return evaluation_of(images, counts, pixel_results(counts, limits))


def pixel_results(counts: DefectCounts, limits: Sequence[float]) -> dict[str, Result]:
    """Return the pixel metrics of counts, by name."""
    best, threshold = measures.f1_max(counts)
    results = {
        "pixel_auroc": result_of(measures.auroc(counts), counts),
        "average_precision": result_of(measures.average_precision(counts), counts),
        "f1_max": result_of(best, counts, threshold=threshold),
    }
    for limit in limits:
        results[aupro_name(limit, limits[0])] = result_of(measures.pro(counts, limit), counts, limit=limit)
    return results


def evaluation_of(images: ImageScores, counts: DefectCounts, pixels: dict[str, Result]) -> Evaluation:
    """Put the image metric before the pixel metrics."""
    return Evaluation({"image_auroc": result_of(images.auroc(), counts), **pixels})


def certified_evaluation(images: ImageScores, pixels: HistogramCounts, limits: Sequence[float]) -> Evaluation:
    """Put the image metric, which is exact, before the pixel metrics of a histogram."""
    level = images.auroc()
    found = {"image_auroc": Bounded(level, level, level), **pixels.results(limits)}
    return Evaluation({name: certified(bounded, pixels) for name, bounded in found.items()})


def what_is_undefined(images: ImageScores, limits: Sequence[float], *, n_defect: int, n_normal: int) -> tuple[str, str]:
    """Describe the metrics that are not defined: image level, pixel level; empty where they are."""
    names = ["pixel_auroc", "average_precision", "f1_max", *(aupro_name(limit, limits[0]) for limit in limits)]
    return missing_images(images.labels), missing_pixels(names, n_defect, n_normal)
