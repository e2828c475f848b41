"""How well a map finds the defects of held-out pairs: what training is stopped and weights are chosen by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fmas.types import BoolMask, NormalSyntheticMask, RGBImage
from fmas_providers.detectors.scoring.scorer import MapScorer
from fmas_providers.detectors.training.measures import average_precision, ranking
from fmas_providers.detectors.training.outcome import Validated
from fmas_providers.detectors.training.pairs import spread

__all__ = ["HeldOut"]

_MOST_PAIRS = 32
_MOST_PIXELS = 1_000_000


class HeldOut:
    """Windows of held-out pairs, kept in memory: small enough to be looked at many times during a training.

    Of a defective picture, the window lies around its defect; of its good twin, anywhere, so that false alarms on the
    background are seen as well.

    Args:
        pairs: The held-out pairs; at most 32 of them are read.
        side: The windows' largest side, in pixels; ``None`` for whole pictures.
        seed: Where the windows of good pictures lie.
    """

    def __init__(self, pairs: Sequence[NormalSyntheticMask], *, side: int | None, seed: int) -> None:
        self._pictures: list[RGBImage] = []
        self._masks: list[BoolMask] = []
        rng = np.random.default_rng((seed, 1))
        for index in spread(len(pairs), _MOST_PAIRS):
            pair = pairs[index]
            nothing = np.zeros(pair.mask.shape, np.bool_)
            for picture, mask, centre in (
                (pair.normal, nothing, rng.random(2) * pair.mask.shape),
                (pair.synthetic, pair.mask, _middle(pair.mask)),
            ):
                window = tuple(_span(at, length, side) for at, length in zip(centre, mask.shape, strict=True))
                self._pictures.append(picture[window].copy())
                self._masks.append(mask[window].copy())

    @property
    def tells(self) -> bool:
        """Whether there are both good and defective pictures, so that there is something to tell apart."""
        return len({bool(mask.any()) for mask in self._masks}) == 2

    def measure(self, scorer: MapScorer) -> Validated:
        """Return the mean of how well pictures are ranked and of how precisely defects are found."""
        scored = list(scorer.score(self._pictures))
        scores = np.array([score for _, score in scored])
        values = np.concatenate([one.ravel() for one, _ in scored])
        defective = np.concatenate([mask.ravel() for mask in self._masks])
        step = -(-len(values) // _MOST_PIXELS)
        sampled = defective[::step]
        found = average_precision(values[::step], sampled) if sampled.any() else average_precision(values, defective)
        ranked = ranking(scores, np.array([mask.any() for mask in self._masks]))
        return Validated((ranked + found) / 2, {"image_auroc": ranked, "pixel_average_precision": found})


def _middle(mask: BoolMask) -> tuple[float, float]:
    """Return the middle of a mask's box; of the whole where it is empty."""
    if not mask.any():
        return mask.shape[0] / 2, mask.shape[1] / 2
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return float(rows[0] + rows[-1] + 1) / 2, float(columns[0] + columns[-1] + 1) / 2


def _span(centre: float, length: int, side: int | None) -> slice:
    """Return at most ``side`` of ``length`` positions, around ``centre`` as far as the borders let it."""
    if side is None:
        return slice(0, length)
    start = min(max(int(centre - side / 2), 0), max(length - side, 0))
    return slice(start, min(start + side, length))
