"""All metrics as one torchmetrics metric: states that every distributed back end can add up.

Needs ``fmas-evaluate[torchmetrics]``; nothing else of ``fmas_evaluate`` imports this module, or torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import ArrayLike
from torchmetrics import Metric

from fmas_evaluate import intervals
from fmas_evaluate.bin_counts import COUNTS
from fmas_evaluate.evaluation import what_is_undefined
from fmas_evaluate.histogram import HistogramCounts
from fmas_evaluate.histogram_state import NUMBERS, VERSION
from fmas_evaluate.images import ImageScores, labelled_pairs
from fmas_evaluate.inputs import Maps, Masks
from fmas_evaluate.intervals import Bounded
from fmas_evaluate.keys import DEFAULT_BINS, checked_bins
from fmas_evaluate.limits import checked_limits
from fmas_evaluate.results import Evaluation, Result
from fmas_evaluate.undefined import warn

__all__ = ["AnomalyMetrics"]

_SCALE: Final = "float32"
_IMAGE_COUNTS: Final = ("image_pixels", "image_defects")
_PIXEL_NUMBERS: Final = (*NUMBERS, "rounded")
_IMAGE_NUMBERS: Final = ("n_images", "n_defective", "rounded")


class AnomalyMetrics(Metric):
    """Image AUROC, pixel AUROC, average precision, F1-max and PRO, from histograms that add up over processes.

    It is :class:`~fmas_evaluate.Evaluator` in histogram mode in the form that torchmetrics, and so Lightning, expect:
    every state is an int64 tensor that is reduced by summation, in DDP, Ray or any other back end, and sums to the same
    bits whatever the number of processes. There is one scale for all processes, that of float32: 8-bit and float16 maps
    are exact from 2**20 bins on, others have an interval. Image scores are counted in bins, too.

    Args:
        max_fpr: The limit of PRO, or several: the first becomes ``aupro``, another ``aupro@0.05``.
        bins: A power of two. The states need 48 bytes per bin on the metric's device, and gathering them needs that once
            per process; 2**16 bins (3 MiB) are plenty to choose a checkpoint by.
        mask_threshold: Accept masks of other values than 0 and 1 or 255: a pixel above the threshold is a defect.
        **kwargs: What torchmetrics itself takes: ``sync_on_compute``, ``dist_sync_on_step`` and others.

    Examples:
        >>> metric = AnomalyMetrics(bins=2**16)
        >>> metric.update(torch.tensor([[[0.1, 0.4], [0.3, 0.2]], [[0.1, 0.4], [0.35, 0.8]]]),
        ...               torch.tensor([[[0, 0], [0, 0]], [[0, 0], [1, 1]]]))
        >>> metric.compute()["image_auroc"].item()
        1.0
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    def __init__(
        self,
        max_fpr: float | Iterable[float] = 0.3,
        *,
        bins: int = DEFAULT_BINS,
        mask_threshold: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._limits = checked_limits(max_fpr)
        self._bins = checked_bins(bins)
        self._mask_threshold = mask_threshold
        for name in (*COUNTS, *_IMAGE_COUNTS):
            self.add_state(name, torch.zeros(self._bins, dtype=torch.int64), dist_reduce_fx="sum")
        for name, parts in (("pixel_numbers", _PIXEL_NUMBERS), ("image_numbers", _IMAGE_NUMBERS)):
            self.add_state(name, torch.zeros(len(parts), dtype=torch.int64), dist_reduce_fx="sum")

    def update(
        self,
        maps: Maps,
        masks: Masks,
        labels: ArrayLike | None = None,
        image_scores: ArrayLike | None = None,
    ) -> None:
        """Count images; on an error, none of this call.

        Args:
            maps: Score maps ``(N, H, W)`` or ``(N, 1, H, W)`` on any device, or anything else that ``Evaluator.update``
                takes.
            masks: As many masks; ``None`` for an image without a defect.
            labels: ``(N,)`` bool or integers 0 and 1; left out, whether the mask has a defect.
            image_scores: ``(N,)`` integer or float; left out, the largest score of each map.

        Raises:
            InvalidInput: Naming the image, if values or shapes cannot be evaluated.
            InvalidType: If a dtype is not supported.
        """
        pixels, images = HistogramCounts(self._bins), ImageScores()
        for pair, label, score in labelled_pairs(maps, masks, labels, image_scores, mask_threshold=self._mask_threshold):
            narrow = pair.scores.dtype.itemsize <= 2  # these have scales of their own; float32 holds them exactly
            pixels.add(pair.scores.astype(np.float32) if narrow else pair.scores, pair.mask, name=pair.name)
            images.add(pair, label, score)
        if not pixels.n_images:
            return
        defective = np.array([images.labels], dtype=np.bool_)
        image_counts = HistogramCounts(self._bins)
        image_counts.add(np.array([images.scores]), defective)  # one row, a pixel per image
        self._count(pixels, COUNTS, "pixel_numbers", _PIXEL_NUMBERS)
        self._count(image_counts, COUNTS[:2], "image_numbers", ())
        numbers = [defective.size, int(defective.sum()), int(not image_counts.exact)]
        self.image_numbers += torch.tensor(numbers, device=self.image_numbers.device)

    def compute(self) -> dict[str, torch.Tensor]:
        """Return the metrics of all images, of all processes if there are several.

        Returns:
            Scalar tensors by name: ``image_auroc, pixel_auroc, average_precision, f1_max, aupro`` and one per further
            limit, ``aupro@0.05``. NaN, with a warning that says what is missing, where a metric is not defined.
        """
        # Apple's GPUs have no float64.
        dtype = torch.float32 if self.device.type == "mps" else torch.float64
        return {
            name: torch.tensor(result.value, dtype=dtype, device=self.device)
            for name, result in self.evaluation().items()
        }

    def evaluation(self) -> Evaluation:
        """Return the metrics with their certified bounds, of the images that this process has counted.

        For those of all processes, call it ``with metric.sync_context():``.
        """
        pixels = self._restored(COUNTS, self.pixel_numbers)
        n_images, n_defective, rounded = self.image_numbers.tolist()
        image_bins = self._restored(_IMAGE_COUNTS, self.image_numbers)
        labels = ImageScores()
        labels.labels = [True] * n_defective + [False] * (n_images - n_defective)
        n_normal = pixels.n_pixels - pixels.n_defect_pixels
        warn(*what_is_undefined(labels, self._limits, n_defect=pixels.n_defect_pixels, n_normal=n_normal))
        found = {"image_auroc": intervals.auroc(image_bins.score_bins())} | pixels.results(self._limits)
        return Evaluation({name: _result(bounded, pixels) for name, bounded in found.items()})
