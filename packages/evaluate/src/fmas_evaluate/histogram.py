"""Score maps of any number in fixed memory: one pass, counts that add up, and certified intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmas_evaluate import intervals
from fmas_evaluate.bin_counts import LOW_BITS, MOST_REGIONS, WEIGHT_UNIT, BinCounts
from fmas_evaluate.errors import InvalidInput, InvalidType
from fmas_evaluate.histogram_state import VERSION, checked_state
from fmas_evaluate.intervals import Bounded, ScoreBins
from fmas_evaluate.keys import DEFAULT_BINS, Indexer, Scale, checked_bins, contains_nan, scale_named, scale_of
from fmas_evaluate.regions import Regions, find_regions
from fmas_evaluate.results import Result, aupro_name

__all__ = ["HistogramCounts", "certified"]


class HistogramCounts:
    """Counts of the pixels of any number of score maps, by the leading bits of the score.

    The counts need at most 32 bytes per bin, 32 MiB as a rule, however many pixels there are. They are integers: those
    of parts add up to those of the whole bit for bit, in any order. Maps of 8 and 16 bits get a bin per value, and so
    exact metrics; so do maps of float32 as long as all scores lie on a grid of the leading bits (0, 1, … 255 for
    instance).

    Args:
        bins: A power of two from 2**10 to 2**24; more of them, narrower intervals.

    Attributes:
        bins: As given.
        n_images: Images counted.
        n_pixels: Pixels counted, defect and normal.
        n_defect_pixels: Defect pixels counted.
        n_regions: Defect regions counted.

    Raises:
        InvalidInput: If ``bins`` is not such a number.
        InvalidType: If it is not an integer.
    """

    def __init__(self, bins: int = DEFAULT_BINS) -> None:
        self.bins = checked_bins(bins)
        self._clear()

    def _clear(self) -> None:
        """Forget every image."""
        self.n_images = 0
        self.n_pixels = 0
        self.n_defect_pixels = 0
        self.n_regions = 0
        # The first map's dtype decides what a bin is.
        self._indexer: Indexer | None = None
        self._counts = BinCounts(0)

    @property
    def exact(self) -> bool:
        """Whether every bin has held one score only, so that the metrics are those of the original scores."""
        return self._indexer is None or self._indexer.scale.one_value_per_bin or not self._indexer.rounded

    def add(self, scores: NDArray[Any], mask: NDArray[np.bool_] | None = None, *, name: str = "an image") -> None:
        """Count one image; on an error, nothing of it is counted.

        Args:
            scores: ``(H, W)`` integer or float, infinities allowed; larger is more anomalous.
            mask: ``(H, W)`` bool, ``True`` marks a defect pixel; ``None`` for an image without one.
            name: What messages call the image.

        Raises:
            InvalidType: If the scores are not real numbers or the mask is not bool.
            InvalidInput: If a score is NaN, the mask has another shape, or the maps before had another number format:
                8- or 16-bit scores have a bin each and are not mixed with others.
        """
        flat = np.ravel(scores)
        flat = flat.astype(flat.dtype.newbyteorder("="), copy=False)
        scale = scale_of(flat.dtype, self.bins)
        if contains_nan(flat):
            raise InvalidInput(
                f"expected no NaN in the map of {name}, got NaN; find out why the detector returned it, or leave this "
                "image out"
            )
        regions = None if mask is None else self._regions(mask, scores.shape, name)
        indexer = self._prepared(scale, name)
        for indexes in indexer.blocks(flat):
            self._counts.add_pixels(indexes)
        self.n_images += 1
        self.n_pixels += flat.size
        if regions is not None and regions.count:
            start = 0
            for indexes in indexer.blocks(flat[regions.places]):
                self._counts.add_defects(indexes, regions.sizes[start : start + indexes.size])
                start += indexes.size
            self.n_regions += regions.count
            self.n_defect_pixels += regions.places.size

    def merge(self, other: HistogramCounts) -> None:
        """Add the counts of other images.

        Args:
            other: Counts with the same number of bins, of maps of the same number format. It is left as it is.

        Raises:
            InvalidInput: If they differ in either; nothing is added then.
        """
        if other.bins != self.bins:
            raise InvalidInput(
                f"expected a histogram of {self.bins} bins to merge, got one of {other.bins}; construct both with the "
                "same number"
            )
        self._add_state(other.state_dict())

    def results(self, limits: Sequence[float] = (0.3,)) -> dict[str, Bounded]:
        """Return the pixel-level metrics with certified intervals.

        Args:
            limits: Upper ends of the FPR range of PRO, each in ``(0, 1]``; at least one.

        Returns:
            ``pixel_auroc, average_precision, f1_max, aupro`` and, for each further limit, ``aupro@0.05``; NaN if there
            is no defect or no normal pixel.
        """
        bins = self.score_bins()
        found = {
            "pixel_auroc": intervals.auroc(bins),
            "average_precision": intervals.average_precision(bins),
            "f1_max": intervals.f1_max(bins),
        }
        return found | {aupro_name(limit, limits[0]): intervals.pro(bins, limit) for limit in limits}

    def score_bins(self) -> ScoreBins:
        """Return the bins that hold a pixel, from the highest scores to the lowest."""
        counts = self._counts.occupied()
        codes = counts["codes"]
        if self._indexer is None:
            order, edges = codes, np.zeros(0)
        else:
            scale = self._indexer.scale
            order = np.argsort(-scale.positions(codes))
            edges = scale.lower_edges(codes[order])
        weights = counts["weights_high"][order] * 2.0**-LOW_BITS + counts["weights_low"][order] * WEIGHT_UNIT
        defects = counts["defects"][order]
        return ScoreBins(edges, counts["pixels"][order] - defects, defects, weights, self.n_regions, self.exact)

    def state_dict(self) -> dict[str, Any]:
        """Return everything as plain numbers and arrays: enough to go on elsewhere, equal for equal counts.

        Returns:
            ``version``, ``bins``, ``scale`` (the number format, ``None`` before the first image), ``rounded`` and the
            four numbers of this class; ``codes``, the ``(B,)`` int64 numbers of the bins that hold a pixel, ascending,
            and for each of them ``pixels``, ``defects``, ``weights_high`` and ``weights_low``.
        """
        return {
            "version": VERSION,
            "bins": self.bins,
            "scale": None if self._indexer is None else self._indexer.scale.name,
            "rounded": self._indexer is not None and self._indexer.rounded,
            "n_images": self.n_images,
            "n_pixels": self.n_pixels,
            "n_defect_pixels": self.n_defect_pixels,
            "n_regions": self.n_regions,
            **self._counts.occupied(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Replace the counts by those of a state.

        Args:
            state: As ``state_dict`` returned it; arrays may have become lists.

        Raises:
            InvalidInput: If it is of another version or number of bins, or contradicts itself. The counts stay as they
                were.
        """
        checked = checked_state(state, self.bins)
        self._clear()
        self._add_state(checked)

    # A copy for another process takes the occupied bins only.
    def __getstate__(self) -> dict[str, Any]:
        return self.state_dict()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.bins = checked_bins(state["bins"])
        self.load_state_dict(state)

    def _regions(self, mask: NDArray[np.bool_], shape: tuple[int, ...], name: str) -> Regions:
        """Return the regions of a mask, or say why it does not fit."""
        if mask.dtype != np.bool_:
            raise InvalidType(
                f"expected a mask of dtype bool for {name}, got {mask.dtype}; compare it first, e.g. mask > 0"
            )
        if mask.shape != shape or mask.ndim != 2:
            raise InvalidInput(
                f"expected a mask (H, W) of the map's shape for {name}, got map {shape} and mask {mask.shape}; resize "
                "the map to the mask's size"
            )
        regions = find_regions(mask)
        if self.n_regions + regions.count > MOST_REGIONS:
            raise InvalidInput(f"expected at most {MOST_REGIONS} defect regions, got more; evaluate the maps in parts")
        return regions

    def _prepared(self, scale: Scale, name: str) -> Indexer:
        """Return the indexer of a scale; the first one makes room for the counts."""
        if self._indexer is None:
            self._indexer = Indexer(scale)
            self._counts = BinCounts(scale.bins)
        elif self._indexer.scale != scale:
            raise InvalidInput(
                f"expected scores counted as {self._indexer.scale.name} for {name}, like those before, got some "
                f"counted as {scale.name}; convert all maps to one dtype, for instance float32"
            )
        return self._indexer

    def _add_state(self, state: Mapping[str, Any]) -> None:
        """Add the counts of a consistent state with as many bins."""
        if state["scale"] is None:
            return
        indexer = self._prepared(scale_named(state["scale"], self.bins), "the histogram to add")
        if self.n_regions + state["n_regions"] > MOST_REGIONS:
            raise InvalidInput(f"expected at most {MOST_REGIONS} defect regions, got more; evaluate the maps in parts")
        self._counts.add_occupied(state)
        indexer.rounded = indexer.rounded or state["rounded"]
        self.n_images += state["n_images"]
        self.n_pixels += state["n_pixels"]
        self.n_defect_pixels += state["n_defect_pixels"]
        self.n_regions += state["n_regions"]


def certified(found: Bounded, counts: HistogramCounts) -> Result:
    """Return a metric with its bounds and the numbers of images, regions and pixels of its counts."""
    return Result(
        found.value,
        lower=found.lower,
        upper=found.upper,
        n_images=counts.n_images,
        n_regions=counts.n_regions,
        n_pixels=counts.n_pixels,
        limit=found.limit,
        threshold=found.threshold,
    )
