"""How well held-out pairs are told apart: quick measures to stop by, not the ruler's (``fmas_evaluate``)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

__all__ = ["average_precision", "ranking"]


def ranking(scores: NDArray[np.float64], defective: NDArray[np.bool_]) -> float:
    """Return how often a defective picture scores higher than a good one, ties counting half.

    Args:
        scores: ``(N,)``.
        defective: ``(N,)``; of both kinds there must be at least one.

    Returns:
        In ``[0, 1]``; 0.5 is chance.
    """
    ranks = rankdata(scores)
    bad = int(np.count_nonzero(defective))
    good = len(scores) - bad
    return float((ranks[defective].sum() - bad * (bad + 1) / 2) / (bad * good))


def average_precision(values: NDArray[np.float32], defective: NDArray[np.bool_]) -> float:
    """Return the mean precision over the defective pixels, tied values counting as one threshold.

    Args:
        values: ``(N,)``.
        defective: ``(N,)``, not all False.

    Returns:
        In ``(0, 1]``; chance is the share of defective pixels.
    """
    order = np.argsort(-values, kind="stable")
    hits = np.cumsum(defective[order])
    # A threshold lets in all pixels of its value at once: only the last of equals counts.
    last = np.append(np.flatnonzero(np.diff(values[order])), len(values) - 1)
    found = hits[last]
    return float(np.sum(np.diff(found, prepend=0) * found / (last + 1)) / hits[-1])
