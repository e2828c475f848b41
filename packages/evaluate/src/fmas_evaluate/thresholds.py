"""What happens at one threshold: which pixels and which images are flagged, rightly and wrongly."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike

from fmas_evaluate.errors import InvalidInput, InvalidType
from fmas_evaluate.flagging import checked_threshold
from fmas_evaluate.inputs import Maps, Masks
from fmas_evaluate.measures import f1_max
from fmas_evaluate.samples import Sample, count_samples, take_apart

__all__ = ["Confusion", "ThresholdReport", "threshold_report"]


@dataclass(frozen=True, slots=True)
class Confusion:
    """Defects found and missed, and false alarms; of pixels or of images.

    Attributes:
        true_positives: Defective and flagged.
        false_positives: Normal and flagged.
        false_negatives: Defective and not flagged.
        true_negatives: Normal and not flagged.
    """

    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int

    @property
    def precision(self) -> float:
        """Share of the flagged that is defective; NaN if nothing is flagged."""
        return _share(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float:
        """Share of the defective that is flagged; NaN if nothing is defective."""
        return _share(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def fpr(self) -> float:
        """Share of the normal that is flagged; NaN if nothing is normal."""
        return _share(self.false_positives, self.false_positives + self.true_negatives)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; NaN if nothing is defective and nothing flagged."""
        return _share(2 * self.true_positives, 2 * self.true_positives + self.false_positives + self.false_negatives)


@dataclass(frozen=True, slots=True)
class ThresholdReport:
    """What a threshold does.

    Attributes:
        threshold: A pixel at or above it is flagged.
        pixels: Confusion of pixels.
        image_threshold: An image whose score is at or above it is flagged.
        images: Confusion of images.
    """

    threshold: float
    pixels: Confusion
    image_threshold: float
    images: Confusion

    @property
    def precision(self) -> float:
        """Share of the flagged pixels that is defect."""
        return self.pixels.precision

    @property
    def recall(self) -> float:
        """Share of the defect pixels that is flagged."""
        return self.pixels.recall

    @property
    def fpr(self) -> float:
        """Share of the normal pixels that is flagged."""
        return self.pixels.fpr

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall of pixels."""
        return self.pixels.f1

    def as_dict(self) -> dict[str, float | dict[str, float | int]]:
        """Return all numbers, those of images nested under ``images``."""
        content: dict[str, float | dict[str, float | int]] = {"threshold": self.threshold, **_numbers(self.pixels)}
        return content | {"images": {"threshold": self.image_threshold, **_numbers(self.images)}}


def threshold_report(
    maps: Maps,
    masks: Masks,
    *,
    at: str | None = None,
    fpr: float | None = None,
    threshold: float | None = None,
    labels: ArrayLike | None = None,
    image_scores: ArrayLike | None = None,
    mask_threshold: float | None = None,
) -> ThresholdReport:
    """Say what a threshold does to pixels and to images.

    Give one of ``at="f1_max"`` (the default), ``fpr=`` and ``threshold=``. A threshold found on the images it is then
    judged on is an optimistic one: use it to compare methods, and choose that of a production line on other images.

    Args:
        maps: Score maps, ``(N, H, W)`` or an iterable of ``(H, W)``; larger is more anomalous.
        masks: Defect masks of the same sizes; ``None`` for an image without a defect.
        at: ``"f1_max"``: the threshold with the largest F1 of pixels, the highest of them if several have it.
        fpr: The lowest threshold, among the scores that occur, that flags at most this share of the normal pixels, in
            ``[0, 1]``; infinite if every score that occurs flags more. Normal pixels that score infinity are flagged
            by every threshold: a ``RuntimeWarning`` says so when they are more than this share.
        threshold: The threshold itself.
        labels: ``(N,)`` bool, ``True`` marks a defective image; by default, whether its mask marks a pixel.
        image_scores: ``(N,)`` one score per image. Left out, an image is flagged if any of its pixels is. Image scores
            of your own have their own unit: their threshold is found among them by the same rule, and ``threshold=``
            is refused because it says nothing about them.
        mask_threshold: A mask value above it is a defect; needed only for masks that are not two-valued.

    Returns:
        The report.

    Raises:
        InvalidInput: For contradictory or impossible wishes, unusable images, or ``f1_max`` without a defect pixel.
        InvalidType: For maps, masks or labels of the wrong kind.
    """
    _check_wish(at, fpr, threshold, own_scores=image_scores is not None)
    samples = take_apart(maps, masks, labels=labels, image_scores=image_scores, mask_threshold=mask_threshold)
    image_samples = [_as_pixel(sample) for sample in samples]
    chosen = _chosen(samples, fpr, threshold, "pixels")
    image_threshold = chosen if image_scores is None else _chosen(image_samples, fpr, None, "images")
    report = ThresholdReport(
        chosen, _confusion(samples, chosen), image_threshold, _confusion(image_samples, image_threshold)
    )
    if fpr is not None and report.fpr > fpr:
        warnings.warn(
            f"expected at most {fpr:g} of the normal pixels flagged, got {report.fpr:g}: so many score infinity, which "
            "every threshold flags; cap the scores or allow a larger fpr",
            RuntimeWarning,
            stacklevel=2,
        )
    return report


def _check_wish(at: str | None, fpr: float | None, threshold: float | None, *, own_scores: bool) -> None:
    """Refuse more than one rule, and rules that make no sense."""
    if sum(wish is not None for wish in (at, fpr, threshold)) > 1:
        raise InvalidInput(
            f"expected one of at, fpr and threshold, got {at=}, {fpr=}, {threshold=}; leave out the others"
        )
    if at not in (None, "f1_max"):
        raise InvalidInput(f"expected at='f1_max', got {at!r}; pass fpr= or threshold= for another threshold")
    if fpr is not None:
        _check_share(fpr)
    if threshold is not None:
        checked_threshold(threshold)
    if threshold is not None and own_scores:
        raise InvalidInput(
            "expected no image_scores beside threshold, got both; a threshold of pixels says nothing about them: pass "
            "at='f1_max' or fpr="
        )


def _check_share(fpr: object) -> None:
    """Refuse what is no share of the normal pixels."""
    advice = "pass the share of normal pixels to flag, such as 0.01"
    if isinstance(fpr, bool) or not isinstance(fpr, Real):
        raise InvalidType(f"expected fpr as a number, got {fpr!r}; {advice}")
    if not 0 <= float(fpr) <= 1:
        raise InvalidInput(f"expected fpr in [0, 1], got {fpr}; {advice}")


def _as_pixel(sample: Sample) -> Sample:
    """Turn an image into a set of one pixel, its score, so that images are counted as pixels are."""
    score, nothing = np.array([sample.score]), np.zeros(0)
    normal, defects = (nothing, score) if sample.defective else (score, nothing)
    sizes = np.ones(defects.size, dtype=np.int64)
    return Sample(sample.name, normal, defects, sizes, defects.size, sample.defective, sample.score)


def _chosen(samples: tuple[Sample, ...] | list[Sample], fpr: float | None, threshold: float | None, what: str) -> float:
    """Find the threshold by the rule that is given."""
    if threshold is not None:
        return float(threshold)
    if fpr is not None:
        return _threshold_at(samples, fpr)
    best = f1_max(count_samples(samples))[1]
    if math.isnan(best):
        raise InvalidInput(
            f"expected defective and normal {what} to find the largest F1, got only one kind; pass fpr= or threshold="
        )
    return best


def _threshold_at(samples: tuple[Sample, ...] | list[Sample], fpr: float) -> float:
    """Return the lowest score that flags at most a share of the normal ones."""
    normal = np.concatenate([sample.normal for sample in samples]) if samples else np.zeros(0)
    allowed = math.floor(fpr * normal.size)
    everything = [part for sample in samples for part in (sample.normal, sample.defects)]
    if allowed >= normal.size:
        return float(min((part[0] for part in everything if part.size), default=math.inf))
    place = normal.size - 1 - allowed
    too_low = np.partition(normal, place)[place]  # flagging it would flag one too many
    starts = [int(np.searchsorted(part, too_low, side="right")) for part in everything]
    higher = [part[start] for part, start in zip(everything, starts, strict=True) if start < part.size]
    return float(min(higher, default=math.inf))


def _confusion(samples: tuple[Sample, ...] | list[Sample], threshold: float) -> Confusion:
    """Count what is at or above a threshold."""
    hits = sum(sample.defects.size - int(np.searchsorted(sample.defects, threshold)) for sample in samples)
    alarms = sum(sample.normal.size - int(np.searchsorted(sample.normal, threshold)) for sample in samples)
    defects = sum(sample.defects.size for sample in samples)
    normal = sum(sample.normal.size for sample in samples)
    return Confusion(hits, alarms, defects - hits, normal - alarms)


def _share(part: int, whole: int) -> float:
    """Divide; NaN for nothing of nothing."""
    return part / whole if whole else math.nan


def _numbers(confusion: Confusion) -> dict[str, float | int]:
    """Return counts and shares by name."""
    return {
        "precision": confusion.precision,
        "recall": confusion.recall,
        "fpr": confusion.fpr,
        "f1": confusion.f1,
        "true_positives": confusion.true_positives,
        "false_positives": confusion.false_positives,
        "false_negatives": confusion.false_negatives,
        "true_negatives": confusion.true_negatives,
    }
