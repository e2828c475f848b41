"""The threshold above which a picture counts as anomalous, from the scores of good pictures nobody trained on.

With ``n`` such scores and a requested false-alarm rate ``a`` it is the ``k``-th smallest, ``k = ceil((n + 1)(1 - a))``.
If good pictures to come are drawn as these were, the chance that one scores above it is at most ``a`` (split conformal
prediction), whatever the distribution. Where ``n`` is too small for that, ``k > n``, the largest score is taken: the
chance is then ``1 / (n + 1)``, which is more than was asked for, and :attr:`Calibration.is_reached` says so.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, Self, TypeAlias

from fmas.errors import ComponentError, UsageError

__all__ = ["Calibration", "Verdict", "fewest_scores"]

Verdict: TypeAlias = Literal["good", "anomalous"]

_QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)


def fewest_scores(false_alarms: float) -> int:
    """Return how many good pictures a threshold for this false-alarm rate, in ``(0, 1)``, must rest on at the least."""
    return math.ceil(1 / Fraction(repr(float(false_alarms)))) - 1


@dataclass(frozen=True, slots=True)
class Calibration:
    """Scores of held-out good pictures, and the threshold that follows from them.

    Attributes:
        false_alarms: The requested share of good pictures that may be called anomalous, in ``(0, 1)``.
        scores: The scores, ascending; finite, at least one.
    """

    false_alarms: float
    scores: tuple[float, ...]

    @classmethod
    def from_scores(cls, scores: Iterable[float], *, false_alarms: float = 0.05) -> Self:
        """Calibrate.

        Args:
            scores: Image scores of good pictures that nothing was learnt from, larger is worse.
            false_alarms: Share of good pictures that may be called anomalous.

        Raises:
            UsageError: If ``false_alarms`` is not in ``(0, 1)``.
            ComponentError: If there is no score, or one that is not finite.
        """
        if not 0 < false_alarms < 1:
            raise UsageError(
                f"expected a false-alarm rate between 0 and 1, got {false_alarms}; 0.05 lets one good part in twenty "
                "be called anomalous"
            )
        ordered = tuple(sorted(float(score) for score in scores))
        if not ordered or not all(map(math.isfinite, ordered)):
            found = "none" if not ordered else str(next(one for one in ordered if not math.isfinite(one)))
            raise ComponentError(
                f"expected finite scores of good pictures to calibrate with, got {found}; the training has not "
                "converged: lower the learning rate or train longer"
            )
        return cls(false_alarms, ordered)

    @property
    def count(self) -> int:
        """How many good pictures it rests on."""
        return len(self.scores)

    @property
    def _rank(self) -> int:
        """Return ``ceil((n + 1)(1 - a))``, with ``a`` as it is written: 0.05 is one twentieth, not a little more."""
        return math.ceil((self.count + 1) * (1 - Fraction(repr(float(self.false_alarms)))))

    @property
    def is_reached(self) -> bool:
        """Whether there are enough pictures for the requested rate."""
        return self._rank <= self.count

    @property
    def expected_rate(self) -> float:
        """Return the chance that a good picture to come, drawn as these were, scores above the threshold, at most."""
        return (self.count + 1 - min(self._rank, self.count)) / (self.count + 1)

    @property
    def fewest(self) -> int:
        """How many good pictures the requested rate takes at the least."""
        return fewest_scores(self.false_alarms)

    @property
    def threshold(self) -> float:
        """Scores above this are anomalous."""
        return self.scores[min(self._rank, self.count) - 1]

    def at(self, false_alarms: float) -> Self:
        """Return the calibration of the same scores to another rate.

        Raises:
            UsageError: If the rate is not in ``(0, 1)``.
        """
        return self.from_scores(self.scores, false_alarms=false_alarms)

    def verdict(self, score: float) -> Verdict:
        """Return what to call a picture of this score; one that is no number is anomalous, never waved through."""
        return "good" if score <= self.threshold else "anomalous"

    def rank(self, score: float) -> float:
        """Return the share of the good pictures that score less, in ``[0, 1]``; the same scale for every detector."""
        return bisect.bisect_left(self.scores, score) / self.count

    def quantiles(self) -> dict[str, float]:
        """Return quantiles of the scores by name, e.g. ``0.5``; each is one of the scores, none is interpolated."""
        return {f"{q:g}": self.scores[max(math.ceil(q * self.count) - 1, 0)] for q in _QUANTILES}

    def note(self) -> str:
        """Return what the user should know: that there were too few pictures; empty if there were enough."""
        if self.is_reached:
            return ""
        return (
            f"{self.count} good {'picture' if self.count == 1 else 'pictures'} to calibrate with are too few for a "
            f"false-alarm rate of {self.false_alarms:g}, which takes {self.fewest}: the largest score is the "
            f"threshold, expect up to {self.expected_rate:.2g}"
        )

    def to_json(self) -> dict[str, object]:
        """Return JSON values; what follows from the scores is there for readers."""
        return {
            "false_alarms": self.false_alarms,
            "threshold": self.threshold,
            "is_reached": self.is_reached,
            "expected_rate": self.expected_rate,
            "count": self.count,
            "quantiles": self.quantiles(),
            "scores": list(self.scores),
        }

    @classmethod
    def from_json(cls, content: object) -> Self:
        """Return what :meth:`to_json` wrote.

        Raises:
            ValueError: If it is something else; says what.
        """
        if not isinstance(content, Mapping):
            raise ValueError("no object as calibration")
        false_alarms, scores = content.get("false_alarms"), content.get("scores")
        if not isinstance(false_alarms, float) or not isinstance(scores, list):
            raise ValueError("a calibration without false_alarms and scores")
        if not all(isinstance(score, int | float) and not isinstance(score, bool) for score in scores):
            raise ValueError("scores that are no numbers")
        try:
            calibration = cls.from_scores(scores, false_alarms=false_alarms)
        except (UsageError, ComponentError) as error:
            raise ValueError(str(error)) from error
        if content.get("threshold") != calibration.threshold:
            raise ValueError(f"the threshold {content.get('threshold')!r}, which does not follow from the scores")
        return calibration
