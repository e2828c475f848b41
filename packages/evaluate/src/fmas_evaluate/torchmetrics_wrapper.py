"""All metrics as one torchmetrics metric: states that every distributed back end can add up.

Needs ``fmas-evaluate[torchmetrics]``; nothing else of ``fmas_evaluate`` imports this module, or torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
import torch
from numpy.typing import ArrayLike
from torchmetrics import Metric

from fmas_evaluate import intervals
from fmas_evaluate.bin_counts import COUNTS
from fmas_evaluate.evaluation import what_is_undefined
from fmas_evaluate.flagging import checked_mask_threshold
from fmas_evaluate.histogram import HistogramCounts, certified
from fmas_evaluate.histogram_state import NUMBERS, VERSION
from fmas_evaluate.images import ImageScores, labelled_pairs
from fmas_evaluate.inputs import Maps, Masks
from fmas_evaluate.keys import DEFAULT_BINS, checked_bins
from fmas_evaluate.limits import checked_limits
from fmas_evaluate.results import Evaluation
from fmas_evaluate.undefined import warn

__all__ = ["AnomalyMetrics"]

_SCALE: Final = "float32"
_STATES: Final = {"pixel": COUNTS, "image": ("pixels", "defects")}
"""What is kept per bin: for pixels, and for images, each of which is a pixel of its own histogram."""
_NUMBERS: Final = (*NUMBERS, "rounded")


class AnomalyMetrics(Metric):  # type: ignore[misc]  # mypy does not follow torchmetrics
    """Image AUROC, pixel AUROC, average precision, F1-max and PRO, from histograms that add up over processes.

    It is ``Evaluator`` in histogram mode in the form that torchmetrics, and so Lightning, expect:
    every state is an int64 tensor that is reduced by summation, in DDP, Ray or any other back end, and sums to the same
    bits whatever the number of processes. There is one scale for all processes, that of float32: 8-bit and float16 maps
    are exact from 2**20 bins on, others have an interval. Image scores are counted in bins, too.

    Args:
        max_fpr: The limit of PRO, or several: the first becomes ``aupro``, another ``aupro@0.05``.
        bins: A power of two. The states need 48 bytes per bin on the metric's device, and gathering them needs that
            once per process; 2**16 bins (3 MiB) are plenty to choose a checkpoint by.
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
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self._limits = checked_limits(max_fpr)
        self._bins = checked_bins(bins)
        self._mask_threshold = checked_mask_threshold(mask_threshold)
        for level, names in _STATES.items():
            for name in names:
                self.add_state(f"{level}_{name}", torch.zeros(self._bins, dtype=torch.int64), dist_reduce_fx="sum")
            self.add_state(f"{level}_numbers", torch.zeros(len(_NUMBERS), dtype=torch.int64), dist_reduce_fx="sum")

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
        for pair, label, score in labelled_pairs(
            maps, masks, labels, image_scores, mask_threshold=self._mask_threshold
        ):
            narrow = pair.scores.dtype.itemsize <= 2  # these have scales of their own; float32 holds them exactly
            pixels.add(pair.scores.astype(np.float32) if narrow else pair.scores, pair.mask, name=pair.name)
            images.add(pair, label, score)
        if not pixels.n_images:
            return
        image_bins = HistogramCounts(self._bins)
        image_bins.add(np.array([images.scores]), np.array([images.labels], dtype=np.bool_))
        self._count("pixel", pixels)
        self._count("image", image_bins)

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
        pixels, image_bins = self._counted("pixel"), self._counted("image")
        n_defective = image_bins.n_defect_pixels
        images = ImageScores()
        images.labels = [True] * n_defective + [False] * (image_bins.n_pixels - n_defective)
        n_normal = pixels.n_pixels - pixels.n_defect_pixels
        warn(*what_is_undefined(images, self._limits, n_defect=pixels.n_defect_pixels, n_normal=n_normal))
        found = {"image_auroc": intervals.auroc(image_bins.score_bins())} | pixels.results(self._limits)
        return Evaluation({name: certified(bounded, pixels) for name, bounded in found.items()})

    def _count(self, level: str, counts: HistogramCounts) -> None:
        """Add counts to the states of pixels or images."""
        state = counts.state_dict()
        codes = torch.from_numpy(state["codes"]).to(self.device)
        for name in _STATES[level]:
            getattr(self, f"{level}_{name}").index_add_(0, codes, torch.from_numpy(state[name]).to(self.device))
        numbers = torch.tensor([int(state[name]) for name in _NUMBERS], device=self.device)
        getattr(self, f"{level}_numbers").add_(numbers)

    def _counted(self, level: str) -> HistogramCounts:
        """Return the states of pixels or images as a histogram."""
        dense = {name: getattr(self, f"{level}_{name}").cpu().numpy() for name in _STATES[level]}
        codes = np.flatnonzero(dense["pixels"])
        nothing = np.zeros(codes.size, dtype=np.int64)
        numbers = dict(zip(_NUMBERS, getattr(self, f"{level}_numbers").tolist(), strict=True))
        counts = HistogramCounts(self._bins)
        counts.load_state_dict(
            {"version": VERSION, "bins": self._bins, "scale": _SCALE, "codes": codes}
            | {name: dense[name][codes] if name in dense else nothing for name in COUNTS}
            | numbers
            | {"rounded": numbers["rounded"] > 0}  # of how many updates: one suffices
        )
        return counts
