"""The numbers that published evaluation code gives, beside the exact ones.

Papers that say "AUPRO" do not all compute the same thing. A preset computes what one published evaluation code
computes, to 1e-7, and shows how far that is from the measure itself, so that a table can be checked and a new row be
compared with an old one.

- ``mvtec_ad``: MVTec AD. Bergmann et al., IJCV 2021, doi:10.1007/s11263-020-01400-4; code ``mvtec_ad_evaluation``
  (``pro_curve_util.py``, ``generic_util.py``, ``roc_curve_util.py``) from mvtec.com. PRO up to 0.3 by sorting, rates in
  float32; image AUROC of the maps' maxima.
- ``mvtec_ad2``: MVTec AD 2. Heckler-Kram et al. 2025, arXiv:2503.21622: the same curve up to 0.05. The evaluation
  server's code is not public; its SegF1 needs the submitted binary maps and is not computed.
- ``mvtec_3d_sampled``: PRO on MVTec 3D-AD as 3D-ADS (Horwitz and Hoshen 2022, arXiv:2203.05550) and M3DM sample it in
  ``utils/au_pro_util.py``: 100 thresholds at even ranks of the normal scores, up to 0.3.
- ``rd4ad``: Reverse Distillation. Deng and Li, CVPR 2022, arXiv:2201.10703; ``test.py`` of hq-deng/RD4AD: 200 even
  thresholds per *defective image*, rates below 0.3 divided by their maximum, mean over images.
- ``visa``: VisA. Zou et al., ECCV 2022, arXiv:2207.14315; ``utils/metrics.py`` of amazon-science/spot-diff: 202
  thresholds for pixel AUROC and AU-PR, trapezoids for image AU-PR.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from fmas_evaluate.auroc import auroc_of_images
from fmas_evaluate.counts import DefectCounts
from fmas_evaluate.errors import InvalidInput
from fmas_evaluate.inputs import Maps, Masks
from fmas_evaluate.measures import auroc, average_precision, pro
from fmas_evaluate.published import (
    area_up_to,
    mvtec_curve,
    precision_recall_area,
    rd4ad_area,
    sampled_curve,
    visa_areas,
)
from fmas_evaluate.samples import Sample, count_samples, counts_above, take_apart

__all__ = ["PROTOCOLS", "ProtocolResult", "protocol"]


@dataclass(frozen=True, slots=True)
class ProtocolResult:
    """One number of a published protocol.

    Attributes:
        value: What the published code computes; NaN where it fails.
        exact: The measure itself: all thresholds, ties merged, interpolated at the limit.
        decimals: Digits that the published code rounds its output to; ``None`` if it does not round.
        note: What sets the two apart.
    """

    value: float
    exact: float
    decimals: int | None
    note: str

    @property
    def gap(self) -> float:
        """``value - exact``: what the protocol adds to the measure."""
        return self.value - self.exact

    @property
    def printed(self) -> float:
        """The value as the published code prints it."""
        return self.value if self.decimals is None else round(self.value, self.decimals)


def protocol(
    name: str,
    maps: Maps,
    masks: Masks,
    *,
    labels: ArrayLike | None = None,
    image_scores: ArrayLike | None = None,
) -> dict[str, ProtocolResult]:
    """Compute the numbers of one category the way a published evaluation code does.

    Args:
        name: One of ``PROTOCOLS``.
        maps: Score maps, ``(N, H, W)`` or an iterable of ``(H, W)``; larger is more anomalous.
        masks: Defect masks of the same sizes; ``None`` for an image without a defect.
        labels: ``(N,)`` bool, ``True`` marks a defective image; by default, whether its mask marks a pixel.
        image_scores: ``(N,)`` one score per image; by default, the map's maximum, as the published codes have it.

    Returns:
        Results by measure: ``aupro`` and ``image_auroc`` (``mvtec_ad``, ``mvtec_ad2``, ``mvtec_3d_sampled``), those and
        ``aupro_pooled``, ``pixel_auroc`` (``rd4ad``: pooled is ``compute_pro`` of all images at once, as its
        documentation says and many copies use it), ``pixel_auroc``, ``pixel_aupr``, ``image_auroc``, ``image_aupr``
        (``visa``).

    Raises:
        InvalidInput: For an unknown protocol, unusable images, or images without a defect or without a normal pixel.
        InvalidType: For maps, masks or labels of the wrong kind.
    """
    if name not in _PROTOCOLS:
        raise InvalidInput(f"expected one of {', '.join(PROTOCOLS)}, got {name!r}; pass one of these names")
    samples = take_apart(maps, masks, labels=labels, image_scores=image_scores)
    counts = count_samples(samples)
    if not counts.scores.size or not counts.n_normal:
        raise InvalidInput(
            f"expected defect and normal pixels, got {counts.scores.size} defect and {counts.n_normal} normal ones; no "
            "published code defines its numbers without both"
        )
    return _PROTOCOLS[name](samples, counts)


def _mvtec(samples: Sequence[Sample], counts: DefectCounts, limit: float) -> dict[str, ProtocolResult]:
    """MVTec's exact curve up to a limit."""
    value = area_up_to(*mvtec_curve(samples), limit)
    note = f"all thresholds, up to FPR {limit}; FPR in float32"
    return {"aupro": ProtocolResult(value, pro(counts, limit), None, note), "image_auroc": _image_auroc(samples, None)}


def _mvtec_ad(samples: Sequence[Sample], counts: DefectCounts) -> dict[str, ProtocolResult]:
    return _mvtec(samples, counts, 0.3)


def _mvtec_ad2(samples: Sequence[Sample], counts: DefectCounts) -> dict[str, ProtocolResult]:
    return _mvtec(samples, counts, 0.05)


def _mvtec_3d_sampled(samples: Sequence[Sample], counts: DefectCounts) -> dict[str, ProtocolResult]:
    value = area_up_to(*sampled_curve(samples, 100), 0.3)
    note = "100 thresholds at even ranks of the normal scores, up to FPR 0.3"
    return {"aupro": ProtocolResult(value, pro(counts, 0.3), None, note), "image_auroc": _image_auroc(samples, None)}


def _rd4ad(samples: Sequence[Sample], counts: DefectCounts) -> dict[str, ProtocolResult]:
    exact = pro(counts, 0.3)
    areas = [rd4ad_area([sample]) for sample in samples if sample.n_regions]
    per_image = "mean over defective images, 200 even thresholds each, FPR below 0.3 divided by its maximum"
    pooled = "all images at once, 200 even thresholds, FPR below 0.3 divided by its maximum"
    return {
        "aupro": ProtocolResult(math.fsum(areas) / len(areas), exact, 3, per_image),
        "aupro_pooled": ProtocolResult(rd4ad_area(samples), exact, None, pooled),
        "pixel_auroc": ProtocolResult(auroc(counts), auroc(counts), 3, "all thresholds"),
        "image_auroc": _image_auroc(samples, 3),
    }


def _visa(samples: Sequence[Sample], counts: DefectCounts) -> dict[str, ProtocolResult]:
    sampled_auroc, sampled_aupr = visa_areas(samples)
    images = _image_counts(samples)
    return {
        "pixel_auroc": ProtocolResult(sampled_auroc, auroc(counts), 4, "202 thresholds chosen from the defect pixels"),
        "pixel_aupr": ProtocolResult(
            sampled_aupr, average_precision(counts), 4, "202 thresholds, trapezoids; exact is average precision"
        ),
        "image_auroc": _image_auroc(samples, None),
        "image_aupr": ProtocolResult(
            precision_recall_area(images), average_precision(images), None, "trapezoids; exact is average precision"
        ),
    }


def _image_auroc(samples: Sequence[Sample], decimals: int | None) -> ProtocolResult:
    """Image AUROC, on whose definition all agree."""
    defective = np.array([sample.defective for sample in samples], dtype=np.bool_)
    value = auroc_of_images(np.array([sample.score for sample in samples]), defective)
    return ProtocolResult(
        value, value, decimals, "all thresholds; the image score is the map's maximum if none is given"
    )


def _image_counts(samples: Sequence[Sample]) -> DefectCounts:
    """Count good images above each defective one."""
    bad = np.sort([sample.score for sample in samples if sample.defective])
    good = np.sort([sample.score for sample in samples if not sample.defective])
    above, reached = counts_above(good, bad)
    ones = np.ones(bad.size, dtype=np.int64)
    return DefectCounts(bad, ones, above, reached, good.size, bad.size, len(samples), len(samples))


_PROTOCOLS: Final[dict[str, Callable[[Sequence[Sample], DefectCounts], dict[str, ProtocolResult]]]] = {
    "mvtec_ad": _mvtec_ad,
    "mvtec_ad2": _mvtec_ad2,
    "mvtec_3d_sampled": _mvtec_3d_sampled,
    "rd4ad": _rd4ad,
    "visa": _visa,
}

PROTOCOLS: Final = tuple(_PROTOCOLS)
"""Names of the presets."""
