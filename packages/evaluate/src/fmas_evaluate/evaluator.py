"""Evaluation image by image: in a loop, in several processes, or of more pixels than memory holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, Self, cast

import numpy as np
from numpy.typing import ArrayLike

from fmas_evaluate.counter import checked_threads
from fmas_evaluate.counts import DefectCounts
from fmas_evaluate.errors import InvalidInput, InvalidType
from fmas_evaluate.evaluation import certified_evaluation, evaluation_of, pixel_results, what_is_undefined
from fmas_evaluate.exact import ExactPixels
from fmas_evaluate.flagging import checked_mask_threshold
from fmas_evaluate.histogram import HistogramCounts
from fmas_evaluate.images import ImageScores, labelled_pairs
from fmas_evaluate.inputs import Maps, Masks
from fmas_evaluate.keys import DEFAULT_BINS
from fmas_evaluate.limits import checked_limits
from fmas_evaluate.results import Evaluation
from fmas_evaluate.undefined import warn

__all__ = ["Evaluator"]

_STATE: Final = frozenset({"mode", "labels", "image_scores", "pixels"})


class Evaluator:
    """Takes in images one after the other and returns the metrics of all of them.

    In ``exact`` mode it keeps a copy of every map, in the dtype it came in. In ``histogram`` mode it keeps counts in at
    most 32 bytes per bin, and the metrics come with certified bounds; see
    ``HistogramCounts``. Either way, merging evaluators of parts gives, bit for bit, what
    one evaluator of the whole gives, in whatever order.

    Args:
        max_fpr: The limit of PRO, or several: the first becomes ``aupro``, another ``aupro@0.05``.
        mode: ``"exact"`` or ``"histogram"``.
        bins: Number of bins in histogram mode, a power of two; unused in exact mode.
        mask_threshold: Accept masks of other values than 0 and 1 or 255: a pixel above the threshold is a defect.
        threads: Threads that ``compute`` uses in exact mode; ``None`` for one per processor.

    Examples:
        >>> evaluator = Evaluator(max_fpr=0.3)
        >>> evaluator.update([[0.1, 0.4], [0.3, 0.2]], None)
        >>> evaluator.update([[0.1, 0.4], [0.35, 0.8]], [[0, 0], [1, 1]])
        >>> print(evaluator.compute().image_auroc)
        1.0
    """

    def __init__(
        self,
        max_fpr: float | Iterable[float] = 0.3,
        *,
        mode: Literal["exact", "histogram"] = "exact",
        bins: int = DEFAULT_BINS,
        mask_threshold: float | None = None,
        threads: int | None = None,
    ) -> None:
        if mode not in ("exact", "histogram"):
            raise InvalidInput(f"expected mode 'exact' or 'histogram', got {mode!r}; histogram needs less memory")
        self._limits = checked_limits(max_fpr)
        self._mode = mode
        self._bins = bins
        self._mask_threshold = checked_mask_threshold(mask_threshold)
        checked_threads(threads)
        self._threads = threads
        self._images, self._pixels = self._empty()

    @property
    def mode(self) -> str:
        """``"exact"`` or ``"histogram"``."""
        return self._mode

    @property
    def n_images(self) -> int:
        """Images so far."""
        return self._pixels.n_images

    def update(
        self,
        maps: Maps,
        masks: Masks | None,
        *,
        labels: ArrayLike | None = None,
        image_scores: ArrayLike | None = None,
    ) -> None:
        """Take in one image or several.

        On an error the images before the one it names have been taken in.

        Args:
            maps: One score map ``(H, W)``, or several in any form that ``evaluate`` takes.
            masks: As many masks; ``None`` for one image without a defect.
            labels: ``(N,)`` bool or integers 0 and 1; left out, whether the mask has a defect.
            image_scores: ``(N,)`` integer or float; left out, the largest score of each map.

        Raises:
            InvalidInput: Naming the image, if values or shapes cannot be evaluated.
            InvalidType: If a dtype is not supported.
        """
        for pair, label, score in labelled_pairs(
            maps,
            [None] if masks is None else masks,
            labels,
            image_scores,
            mask_threshold=self._mask_threshold,
            first_index=self.n_images,
        ):
            if isinstance(self._pixels, ExactPixels):
                self._pixels.add(pair)
            else:
                self._pixels.add(pair.scores, pair.mask, name=pair.name)
            self._images.add(pair, label, score)

    def merge(self, other: Evaluator) -> None:
        """Take in all images of another evaluator, which stays as it is.

        Args:
            other: Constructed with the same ``mode``, ``max_fpr``, ``mask_threshold`` and, in histogram mode, ``bins``.

        Raises:
            InvalidType: If it is no evaluator.
            InvalidInput: If it was constructed otherwise; nothing is taken in then.
        """
        if not isinstance(other, Evaluator):
            raise InvalidType(f"expected an Evaluator to merge, got {type(other).__name__}; load a state first")
        for name, mine, others in (
            ("mode", self._mode, other._mode),
            ("max_fpr", self._limits, other._limits),
            ("mask_threshold", self._mask_threshold, other._mask_threshold),
            ("bins", self._bins, other._bins),
        ):
            if mine != others and (name != "bins" or self._mode == "histogram"):
                raise InvalidInput(
                    f"expected an evaluator of {name} {mine!r} to merge, got {others!r}; construct all alike"
                )
        self._pixels.merge(cast(Any, other._pixels))  # of the same class, as the modes are the same
        self._images.merge(other._images)

    def reset(self) -> None:
        """Forget every image."""
        self._images, self._pixels = self._empty()

    def compute(self) -> Evaluation:
        """Return the metrics of all images so far; more may follow.

        Returns:
            The metrics, by name and as attributes. One that is not defined is NaN; a ``RuntimeWarning`` says what
            is missing.
        """
        pixels = self._pixels
        n_normal = pixels.n_pixels - pixels.n_defect_pixels
        warn(*what_is_undefined(self._images, self._limits, n_defect=pixels.n_defect_pixels, n_normal=n_normal))
        if isinstance(pixels, ExactPixels):
            counts = pixels.counts(threads=self._threads)
            return evaluation_of(self._images, counts, pixel_results(counts, self._limits))
        return certified_evaluation(self._images, pixels, self._limits)

    def counts(self) -> DefectCounts:
        """Return the exact counts behind the metrics, for curves and reports.

        Raises:
            InvalidInput: In histogram mode, which does not keep them.
        """
        if isinstance(self._pixels, ExactPixels):
            return self._pixels.counts(threads=self._threads)
        raise InvalidInput("expected mode 'exact' for exact counts, got 'histogram'; construct Evaluator(mode='exact')")

    def state_dict(self) -> dict[str, Any]:
        """Return everything it has taken in as plain numbers and arrays, which share its memory.

        Returns:
            ``mode``, ``labels`` ``(N,)`` bool, ``image_scores`` ``(N,)`` float64 and ``pixels``.
        """
        return {
            "mode": self._mode,
            "labels": np.array(self._images.labels, np.bool_),
            "image_scores": np.array(self._images.scores, np.float64),
            "pixels": self._pixels.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> Self:
        """Replace everything by a state.

        Args:
            state: As ``state_dict`` returned it, from an evaluator of the same mode.

        Returns:
            This evaluator.

        Raises:
            InvalidInput: If it is no such state; this evaluator then stays as it is.
        """
        if set(state) != _STATE or state["mode"] != self._mode:
            raise InvalidInput(
                f"expected the state of an evaluator of mode {self._mode!r} with {', '.join(sorted(_STATE))}, got "
                f"{', '.join(sorted(map(str, state)))} of mode {state.get('mode')!r}; pass what state_dict() returned"
            )
        _, pixels = self._empty()
        pixels.load_state_dict(state["pixels"])
        images = ImageScores.restored(state["labels"], state["image_scores"])
        if not len(images.labels) == len(images.scores) == pixels.n_images:
            raise InvalidInput(
                f"expected labels and image_scores of {pixels.n_images} images, got {len(images.labels)} and "
                f"{len(images.scores)}; pass what state_dict() returned, unchanged"
            )
        self._images, self._pixels = images, pixels
        return self

    def _empty(self) -> tuple[ImageScores, ExactPixels | HistogramCounts]:
        """Return what an evaluator starts with."""
        return ImageScores(), ExactPixels() if self._mode == "exact" else HistogramCounts(self._bins)
