"""The five measures of a set of images in which each image counts ``w`` times, for many weightings at once.

Drawing images with replacement gives image ``i`` a whole weight ``w_i``, so a bootstrap replicate is a weighted
evaluation, and all of them are one matrix product. Let the distinct scores of all defect pixels, in descending order,
be cut into cells. Per image and cell four numbers are counted once: the normal pixels above the cell, those at or above
its lowest score, its defect pixels, and the sum of ``1 / (size of its region)`` over these. Weighted by ``w`` they are
the counts of the resampled set, and the measures follow from the counts as they do for the whole set.

With one distinct score in every cell the result is exact: that of the literally resampled set. Fewer cells quantise the
scores: in a cell of several scores the curves are taken as straight. Such a cell holds at most a share
``4 / cells`` of the defect pixels or of the region weight, which bounds the error of the unweighted AUROC and PRO by
``2 / cells``; what is measured is far smaller, because errors of cells cancel.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fmas_evaluate.parallel import in_threads
from fmas_evaluate.results import METRICS
from fmas_evaluate.samples import Sample, counts_above

__all__ = ["CellTable", "weighted_image_auroc", "weighted_measures"]

_ROWS_AT_A_TIME: Final = 500
_CELLS_AT_A_TIME: Final = 128  # temporaries of 500 x 128 numbers stay in the cache
_PRODUCTS_AT_A_TIME: Final = 4 << 16  # multiplications up to which OpenBLAS starts no threads of its own
_CELLS_PER_PAGE: Final = 1 << 13  # counted at a time: bounds the memory to some 64 KiB per image and array

Floats = NDArray[np.float64]
Counts = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class _Block:
    """Counts per image ``(N, K)`` of ``K`` consecutive cells; ``reached`` is ``above`` itself where nothing ties."""

    above: Counts
    reached: Counts
    hits_before: Counts
    hits: Counts
    region_weight: Counts
    distinct: Counts

    def parts(self, width: int) -> Iterator[_Block]:
        """Yield at most ``width`` cells at a time."""
        for first in range(0, self.distinct.size, width):
            part = np.s_[:, first : first + width]
            above, reached = self.above[part], self.reached[part]
            yield _Block(
                above,
                above if np.array_equal(above, reached) else reached,
                self.hits_before[part],
                self.hits[part],
                self.region_weight[part],
                self.distinct[first : first + width],
            )


class CellTable:
    """Where the cells lie, and the scores to count in them.

    Args:
        samples: The images.
        cells: About how many cells to make, at most twice as many are made; ``None`` for one per distinct defect score,
            which is exact.

    Attributes:
        n_cells: Number of cells.
        n_normal: ``(N,)`` normal pixels per image, as float64.
        n_defects: ``(N,)`` defect pixels per image, as float64.
        n_regions: ``(N,)`` regions per image, as float64.
    """

    def __init__(self, samples: Sequence[Sample], cells: int | None = None) -> None:
        self._samples = tuple(samples)
        self.n_normal: Floats = np.array([sample.normal.size for sample in samples], dtype=np.float64)
        self.n_defects: Floats = np.array([sample.defects.size for sample in samples], dtype=np.float64)
        self.n_regions: Floats = np.array([sample.n_regions for sample in samples], dtype=np.float64)
        scores = np.concatenate([sample.defects for sample in samples]) if samples else np.zeros(0)
        sizes = np.concatenate([sample.sizes for sample in samples]) if samples else np.ones(0)
        images = np.repeat(np.arange(len(samples)), self.n_defects.astype(np.int64))
        order = np.argsort(scores, kind="stable")[::-1]
        scores = scores[order]
        self._images = images[order]
        self._weights: Floats = 1.0 / sizes[order]
        changes = np.flatnonzero(scores[1:] != scores[:-1]) + 1  # not np.diff: inf - inf is NaN
        starts = np.concatenate([np.zeros(min(1, scores.size), dtype=np.int64), changes])
        chosen = _chosen_starts(starts, self._weights, cells)
        self.n_cells = int(chosen.size)
        self._starts = starts[chosen]
        self._stops = np.append(self._starts[1:], scores.size)[: self.n_cells]
        self._highest: NDArray[Any] = scores[self._starts]
        self._lowest: NDArray[Any] = scores[self._stops - 1]
        distinct = np.diff(np.append(chosen, starts.size))[: self.n_cells]
        self._distinct: Floats = distinct.astype(np.float64)
        # Quantised scores need no more than float32, at twice the speed.
        self._dtype = np.dtype(np.float64 if self.n_cells == starts.size else np.float32)

    def pages(self) -> Iterator[tuple[_Block, Floats]]:
        """Yield the counts of a few thousand cells at a time, from the highest scores down.

        Yields:
            The counts, and ``(N, N)`` twice the number of pairs (defect pixel of image ``i``, normal pixel of image
            ``j``) in which the normal pixel scores higher, a tie counting one half.
        """
        hits: Floats = np.zeros((len(self._samples), 1))
        for first in range(0, self.n_cells, _CELLS_PER_PAGE):
            last = min(first + _CELLS_PER_PAGE, self.n_cells)
            pixels = slice(self._starts[first], self._stops[last - 1])
            place = np.repeat(np.arange(last - first), self._stops[first:last] - self._starts[first:last])
            place += self._images[pixels] * (last - first)
            shape = (len(self._samples), last - first)
            total = shape[0] * shape[1]
            defects = np.bincount(place, minlength=total).reshape(shape).astype(np.float64)
            weight = np.bincount(place, weights=self._weights[pixels], minlength=total).reshape(shape)
            above, reached = self._normal_counts(self._highest[first:last], self._lowest[first:last])
            before = hits + (np.cumsum(defects, axis=1) - defects)
            block = _Block(
                above=above.astype(self._dtype),
                reached=reached.astype(self._dtype),
                hits_before=before.astype(self._dtype),
                hits=(before + defects).astype(self._dtype),
                region_weight=weight.astype(self._dtype),
                distinct=self._distinct[first:last].astype(self._dtype),
            )
            yield block, defects @ (above + reached).T
            hits = before[:, -1:] + defects[:, -1:]

    def _normal_counts(self, highest: NDArray[Any], lowest: NDArray[Any]) -> tuple[Floats, Floats]:
        """Count each image's normal pixels above ``highest``, and at or above ``lowest``."""
        up, down = highest[::-1], lowest[::-1]
        one_score_each = bool((up == down).all())

        def count(sample: Sample) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
            above, reached = counts_above(sample.normal, up)
            return above, (reached if one_score_each else counts_above(sample.normal, down)[1])

        rows = in_threads(count, self._samples)
        above, reached = (np.array([row[side][::-1] for row in rows], dtype=np.float64) for side in (0, 1))
        return above, reached


def _chosen_starts(starts: NDArray[np.int64], weights: Floats, cells: int | None) -> NDArray[np.int64]:
    """Choose at which distinct scores cells start, so that they have about equal shares of pixels and of regions."""
    if cells is None or starts.size <= cells:
        return np.arange(starts.size)
    shares = np.concatenate([[0.0], np.cumsum(1.0 / weights.size + weights / weights.sum())]) / 2.0
    bin_of_start = np.floor(shares[starts] * cells)
    # A score that outweighs a bin alone gets a cell of its own: a cell of one score is exact.
    heavy = np.diff(np.append(shares[starts], 1.0)) * cells > 1.0
    heavy[: cells // 8] = True  # precision still jumps at the first scores
    return np.flatnonzero(np.append(True, (bin_of_start[1:] != bin_of_start[:-1]) | heavy[1:]))


def weighted_measures(
    table: CellTable, weights: Floats, *, max_fpr: float, metrics: Sequence[str] = METRICS
) -> dict[str, Floats]:
    """Compute the pixel measures of every weighting.

    Args:
        table: The counts.
        weights: ``(R, N)`` float64, how often each image counts in each of ``R`` replicates; whole and not negative.
        max_fpr: Upper end of the FPR range that PRO integrates over, in ``(0, 1]``.
        metrics: Names from ``METRICS`` to compute; ``image_auroc`` is passed over.

    Returns:
        Name to ``(R,)`` values in ``[0, 1]``; NaN where a replicate has no defect or no normal pixel.
    """
    totals = _Totals(weights @ table.n_normal, weights @ table.n_defects, weights @ table.n_regions, max_fpr)
    sums = {name: np.zeros(weights.shape[0]) for name in metrics if name != "image_auroc"}
    pair_counts = np.zeros((weights.shape[1], weights.shape[1]))
    groups = [slice(first, first + _ROWS_AT_A_TIME) for first in range(0, weights.shape[0], _ROWS_AT_A_TIME)]
    for page, pairs in table.pages():
        pair_counts += pairs
        add = partial(_add_page, page, weights.astype(page.above.dtype, copy=False), totals, sums)
        in_threads(add, groups, threads=1 if len(groups) == 1 else None)
    undefined = (totals.normal == 0) | (totals.defects == 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        for name, divisor in (("average_precision", totals.defects), ("aupro", totals.limit * totals.regions)):
            if name in sums:
                sums[name] /= divisor
        if "pixel_auroc" in sums:
            lost = ((weights @ pair_counts) * weights).sum(axis=1)
            sums["pixel_auroc"] = 1.0 - lost / (2.0 * totals.defects * totals.normal)
    return {name: np.where(undefined, np.nan, np.clip(values, 0.0, 1.0)) for name, values in sums.items()}


@dataclass(frozen=True, slots=True)
class _Totals:
    """Weighted totals ``(R,)`` of a set of replicates."""

    normal: Floats
    defects: Floats
    regions: Floats
    max_fpr: float

    @property
    def limit(self) -> Floats:
        """Number of normal pixels at PRO's limit, not whole in general."""
        return self.max_fpr * self.normal

    def rows(self, rows: slice) -> _Totals:
        """Return those of some replicates."""
        return _Totals(self.normal[rows], self.defects[rows], self.regions[rows], self.max_fpr)


def _add_page(page: _Block, weights: Counts, totals: _Totals, sums: dict[str, Floats], rows: slice) -> None:
    """Add a page's share to some rows of the sums, a few cells at a time."""
    some_totals = totals.rows(rows)
    some_sums = {name: values[rows] for name, values in sums.items()}  # views: adding to them adds to the sums
    for block in page.parts(_CELLS_AT_A_TIME):
        _add_block(block, weights[rows], some_totals, some_sums)


def _add_block(block: _Block, weights: Counts, totals: _Totals, sums: dict[str, Floats]) -> None:
    """Add a block's share of AP and PRO, and raise F1-max."""
    tied = block.reached is not block.above
    above = _multiplied(weights, block.above)
    reached = _multiplied(weights, block.reached) if tied else above
    if "average_precision" in sums or "f1_max" in sums:
        before = _multiplied(weights, block.hits_before)
        hits = _multiplied(weights, block.hits)
        positives = hits + reached
        if "f1_max" in sums:
            defects = np.maximum(totals.defects, 1.0).astype(hits.dtype)  # without a defect, no hit either: 0
            best = (hits / (positives + defects[:, None])).max(axis=1)
            np.maximum(sums["f1_max"], 2.0 * best, out=sums["f1_max"])
        if "average_precision" in sums:
            # Counts are whole: where the divisor is 0, so is the dividend.
            precision = hits / np.maximum(positives, 1.0, out=positives)
            steps = np.subtract(hits, before, out=hits)
            if (block.distinct > 1).any():
                _average_with_first(precision, before, steps, above, block.distinct)
            sums["average_precision"] += np.einsum("rk,rk->r", precision, steps)
    if "aupro" in sums and (above[:, 0] < totals.limit).any():
        limit = totals.limit.astype(above.dtype)
        sums["aupro"] += _area_below_limit(
            above, reached if tied else None, _multiplied(weights, block.region_weight), limit
        )


def _multiplied(weights: Counts, counts: Counts) -> Counts:
    """Return the matrix product, done in pieces that the linear algebra library does not spread over threads.

    The rows are shared out among threads already; waiting for a second set of threads costs up to twenty times what
    they gain, on a busy machine.
    """
    product = np.empty((weights.shape[0], counts.shape[1]), dtype=counts.dtype)
    rows = min(weights.shape[0], max(1, _PRODUCTS_AT_A_TIME // max(1, counts.size)))
    whole = weights.shape[0] - weights.shape[0] % rows
    np.matmul(
        weights[:whole].reshape(-1, rows, weights.shape[1]),
        counts,
        out=product[:whole].reshape(-1, rows, counts.shape[1]),
    )
    np.matmul(weights[whole:], counts, out=product[whole:])
    return product


def _average_with_first(precision: Counts, before: Counts, steps: Counts, above: Counts, distinct: Counts) -> None:
    """Turn precision at the last score of each cell into the mean of that at its first and at its last score.

    A cell of ``m`` scores is taken to have one ``m``-th of its defect pixels at each of them, and its normal pixels
    evenly between them; precision is then about linear from the first to the last.
    """
    first = steps * (1.0 / distinct).astype(steps.dtype)
    first += before
    first /= np.maximum(first + above, np.finfo(first.dtype).tiny)
    first -= precision
    first *= np.where(distinct > 1, 0.5, 0.0).astype(first.dtype)
    precision += first


def _area_below_limit(above: Counts, reached: Counts | None, weight: Counts, limit: Counts) -> Counts:
    """Sum, over cells, of weight times the area that the cell's overlap covers below the limit, in normal pixels."""
    room = np.maximum(limit[:, None] - above, 0.0)
    if reached is not None:
        # From `above` to `reached` the overlap rises on a straight line, cut at the limit; then it stays.
        left = np.maximum(limit[:, None] - reached, 0.0)
        room -= left
        room *= room
        divisor = np.maximum(np.subtract(reached, above, out=reached), 1.0, out=reached)
        room /= divisor
        room *= 0.5
        room += left
    return np.asarray(np.einsum("rk,rk->r", room, weight))


def weighted_image_auroc(samples: Sequence[Sample], weights: Floats) -> Floats:
    """Compute image AUROC of every weighting, exactly.

    Args:
        samples: The images.
        weights: ``(R, N)`` as for ``weighted_measures``.

    Returns:
        ``(R,)`` values in ``[0, 1]``; NaN where a replicate has no defective or no good image.
    """
    scores = np.array([sample.score for sample in samples])
    defective = np.array([sample.defective for sample in samples], dtype=np.bool_)
    bad, good = scores[defective][:, None], scores[~defective]
    wins = (bad > good) + 0.5 * (bad == good)
    bad_weights, good_weights = weights[:, defective], weights[:, ~defective]
    pairs = bad_weights.sum(axis=1) * good_weights.sum(axis=1)
    won = ((bad_weights @ wins) * good_weights).sum(axis=1)
    return np.asarray(np.divide(won, pairs, out=np.full(weights.shape[0], np.nan), where=pairs > 0))
