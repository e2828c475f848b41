"""From measures of seeds and categories to means, intervals and p-values.

Two things vary: which training run it was, and which images were there to test. *Spread* is the standard deviation over
seeds. *Intervals* and *p-values* are about images: every figure is computed anew for 1000 draws of the test images, for
all seeds and variants the same ones, so that a hard image is hard for both sides of a difference and cancels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fmas.benchmark.ruler import Sampled

__all__ = ["LEVEL", "Difference", "Figure", "differences", "figures", "mean_of"]

LEVEL = 0.95
"""Share of the draws inside an interval."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One measure.

    Attributes:
        mean: Over the seeds (and categories).
        spread: Standard deviation over the seeds; ``None`` for a single one.
        lower: Lower end of the interval of the mean, over draws of test images; NaN if nothing is defined.
        upper: Its upper end.
        per_seed: The value of each seed, in their order.
    """

    mean: float
    spread: float | None
    lower: float
    upper: float
    per_seed: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """One measure of a variant minus that of its baseline.

    Attributes:
        difference: Above 0, the variant is better.
        lower: Lower end of its interval.
        upper: Upper end of its interval.
        p_value: Two-sided, paired, from the same draws of images on both sides; in ``(0, 1]``.
    """

    difference: float
    lower: float
    upper: float
    p_value: float


def mean_of(parts: Sequence[Sampled]) -> Sampled:
    """Average seeds, or categories, draw by draw.

    Args:
        parts: At least one.
    """
    names = list(parts[0].values)
    return Sampled(
        {name: math.fsum(part.values[name] for part in parts) / len(parts) for name in names},
        {name: np.mean([part.replicates[name] for part in parts], axis=0) for name in names},
    )


def figures(seeds: Sequence[Sampled]) -> dict[str, Figure]:
    """Summarise the runs of one variant; measure -> figure."""
    mean = mean_of(seeds)
    found = {}
    for name, value in mean.values.items():
        per_seed = tuple(seed.values[name] for seed in seeds)
        spread = float(np.std(per_seed, ddof=1)) if len(per_seed) > 1 else None
        found[name] = Figure(value, spread, *_ends(mean.replicates[name]), per_seed)
    return found


def differences(variant: Sampled, baseline: Sampled) -> dict[str, Difference]:
    """Compare two variants whose draws are the same images; measure -> difference.

    With ``d_r`` the difference in draw ``r`` of ``R``, ``p = min(1, 2 (1 + min(#(d_r <= 0), #(d_r >= 0))) / (R + 1))``,
    as in ``fmas_evaluate.compare``: below 0.05 just when the interval leaves out 0.
    """
    found = {}
    for name, value in variant.values.items():
        drawn = variant.replicates[name] - baseline.replicates[name]
        defined = drawn[~np.isnan(drawn)]
        p_value = math.nan
        if defined.size:
            tail = min(np.count_nonzero(defined <= 0), np.count_nonzero(defined >= 0))
            p_value = min(1.0, 2.0 * (1 + tail) / (defined.size + 1))
        found[name] = Difference(value - baseline.values[name], *_ends(drawn), p_value)
    return found


def _ends(drawn: NDArray[np.float64]) -> tuple[float, float]:
    defined = drawn[~np.isnan(drawn)]
    if not defined.size:
        return math.nan, math.nan
    lower, upper = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(lower), float(upper)
