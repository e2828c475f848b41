"""Who measures: a protocol, so that the core needs no ``fmas_evaluate``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fmas.types import BoolMask, FloatMap

__all__ = ["LEADING", "MEASURES", "Ruler", "Sampled", "ScoredImage"]

MEASURES: Mapping[str, str] = {
    "image_auroc": "image AUROC",
    "pixel_auroc": "pixel AUROC",
    "aupro": "PRO@0.3",
    "average_precision": "AP",
    "f1_max": "F1-max",
}
"""Name of a measure in files -> what people call it, in the order of the tables. All are fractions in ``[0, 1]``."""

LEADING = ("image_auroc", "pixel_auroc", "aupro")
"""The measures that comparisons and tables by kind of defect show; files hold all."""


@dataclass(frozen=True, slots=True)
class ScoredImage:
    """What a detector said about one test image, and the truth.

    Attributes:
        map: ``(H, W)`` float32, larger is more anomalous.
        mask: ``(H, W)`` bool, where the defect is; ``None`` for a good part.
        score: The image's score, larger is more anomalous.
    """

    map: FloatMap
    mask: BoolMask | None
    score: float


@dataclass(frozen=True, slots=True)
class Sampled:
    """Measures of a set of images, and of as many other sets drawn from it.

    Attributes:
        values: Measure -> value; NaN where it is not defined.
        replicates: Measure -> ``(R,)`` float64, one value for each draw. The ``r``-th draws of two detectors are the
            same images.
    """

    values: Mapping[str, float]
    replicates: Mapping[str, NDArray[np.float64]]


class Ruler(Protocol):
    """Computes the measures."""

    def sample(self, images: Sequence[ScoredImage], *, seed: int) -> Sampled:
        """Measure the images and redraw them, with replacement, good and defective ones on their own.

        Args:
            images: At least one good and one defective image.
            seed: The same seed and the same masks give the same draws, whatever the scores are.

        Returns:
            One value and ``R`` replicates for each of ``MEASURES``.
        """
        ...
