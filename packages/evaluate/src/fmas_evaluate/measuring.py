"""Evaluating files: exactly in two passes, or from a histogram in one, as a whole and in groups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal

from fmas_evaluate.collection import Collection
from fmas_evaluate.counter import PixelCounter, checked_threads
from fmas_evaluate.counts import DefectCounts
from fmas_evaluate.errors import InvalidInput
from fmas_evaluate.evaluation import certified_evaluation, evaluation_of, pixel_results, what_is_undefined
from fmas_evaluate.histogram import HistogramCounts
from fmas_evaluate.images import ImageScores
from fmas_evaluate.inputs import Pair
from fmas_evaluate.layouts import GOOD, ImageFiles
from fmas_evaluate.limits import checked_limits
from fmas_evaluate.loading import Images
from fmas_evaluate.report.curves import Curves, curves_of_bins, curves_of_counts
from fmas_evaluate.results import Evaluation
from fmas_evaluate.undefined import warn

__all__ = ["Measured", "groups_of", "measure_images"]

_ALL = ""
_GROUP_CHUNK = 1 << 20  # many groups are counted at once: small chunks bound their memory


@dataclass(frozen=True, slots=True)
class Measured:
    """What came out.

    Attributes:
        evaluation: Of all images together.
        groups: Name -> evaluation of the group.
        curves: Of all images together; ``None`` without a defect or a normal pixel.
        unmarked: Names of images that the layout calls defective and whose mask marks nothing.
    """

    evaluation: Evaluation
    groups: Mapping[str, Evaluation]
    curves: Curves | None
    unmarked: tuple[str, ...]


def groups_of(files: Sequence[ImageFiles]) -> dict[str, frozenset[str]]:
    """Return group -> names of its images: categories if there are several, else kinds of defect.

    Good images belong to every kind of defect: a measure needs both.
    """
    categories = sorted({one.category for one in files})
    if len(categories) > 1:
        return {name: frozenset(one.name for one in files if one.category == name) for name in categories}
    kinds = sorted({one.defect for one in files} - {GOOD})
    good = {one.name for one in files if one.defect == GOOD}
    return {kind: frozenset(good | {one.name for one in files if one.defect == kind}) for kind in kinds}


def measure_images(
    images: Images,
    *,
    limits: Sequence[float] = (0.3, 0.05),
    mode: Literal["exact", "histogram"] = "exact",
    bins: int = 2**20,
    threads: int | None = None,
    groups: Mapping[str, frozenset[str]] | None = None,
) -> Measured:
    """Read the images and measure.

    Args:
        images: Where they are; read twice in exact mode, of which memory grows with the defect pixels alone.
        limits: Of PRO; the first is the one called ``aupro``.
        mode: ``"exact"``, or ``"histogram"``: in one pass and fixed memory, with certified bounds.
        bins: Of the histogram.
        threads: To sort with; ``None`` for one per processor. No result depends on it.
        groups: Name -> names of images to evaluate on their own as well.

    Returns:
        The measures, NaN with a ``RuntimeWarning`` where something is missing among all images together.

    Raises:
        EvaluateError: If an image cannot be evaluated, or ``bins`` or ``threads`` is out of range.
        OSError: If a file cannot be read.
    """
    limits = checked_limits(limits)
    checked_threads(threads)
    members = {_ALL: frozenset(one.name for one in images.files)} | dict(groups or {})
    level = {name: ImageScores() for name in members}
    unmarked: list[str] = []

    def pairs_by_group() -> Iterator[tuple[Pair, tuple[str, ...]]]:
        for files, pair in zip(images.files, images.pairs(), strict=True):
            marked = bool(pair.mask.any())
            if files.defective and not marked:
                unmarked.append(files.name)
            holding = tuple(group for group, names in members.items() if files.name in names)
            score = images.image_score(pair)
            for group in holding:
                level[group].add(pair, marked if files.defective is None else files.defective, score)
            yield pair, holding

    if mode == "exact":
        collections = {name: Collection() for name in members}
        for pair, holding in pairs_by_group():
            for group in holding:
                collections[group].add(pair)
        counts = _counted(images, members, collections, threads=threads)
        curves = curves_of_counts(counts[_ALL])
        n_defect, n_normal = counts[_ALL].scores.size, counts[_ALL].n_normal
        evaluations = {
            name: evaluation_of(level[name], one, pixel_results(one, limits)) for name, one in counts.items()
        }
    else:
        histograms = {name: HistogramCounts(bins) for name in members}
        for pair, holding in pairs_by_group():
            for group in holding:
                histograms[group].add(pair.scores, pair.mask, name=pair.name)
        curves = curves_of_bins(histograms[_ALL].score_bins())
        n_defect = histograms[_ALL].n_defect_pixels
        n_normal = histograms[_ALL].n_pixels - n_defect
        evaluations = {name: certified_evaluation(level[name], one, limits) for name, one in histograms.items()}
    warn(*what_is_undefined(level[_ALL], limits, n_defect=n_defect, n_normal=n_normal))
    return Measured(evaluations.pop(_ALL), evaluations, curves, tuple(unmarked))


def _counted(
    images: Images,
    members: Mapping[str, frozenset[str]],
    collections: Mapping[str, Collection],
    *,
    threads: int | None,
) -> dict[str, DefectCounts]:
    """Make the second pass, for all groups at once."""
    with ExitStack() as stack:
        counters = {
            name: stack.enter_context(
                PixelCounter(
                    collection.defects(),
                    threads=threads if name == _ALL else 1,
                    chunk=None if name == _ALL else _GROUP_CHUNK,
                )
            )
            for name, collection in collections.items()
        }
        for files, scores in zip(images.files, images.maps(), strict=True):
            for name, names in members.items():
                if files.name in names:
                    counters[name].add(scores)
        counts = {
            name: counter.counts(n_images=collections[name].n_images, n_regions=collections[name].n_regions)
            for name, counter in counters.items()
        }
    if counts[_ALL].n_pixels != collections[_ALL].n_pixels:
        raise InvalidInput(
            f"expected the same score maps in both passes, got {collections[_ALL].n_pixels} pixels in the first and "
            f"{counts[_ALL].n_pixels} in the second; wait until all of them are written"
        )
    return counts
