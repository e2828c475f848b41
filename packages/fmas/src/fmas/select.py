"""Stage 5: measure how strong each candidate looks and keep the one of the right intensity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from fmas.components import ComponentHandle
from fmas.config import SelectConfig
from fmas.errors import ComponentError
from fmas.protocols import Selector
from fmas.samples import Candidate, Pair, Sample
from fmas.stages import Resources
from fmas.types import Fingerprint, RGBImage

__all__ = ["SelectStage", "nearest_to_band"]


class SelectStage:
    """Scores every candidate and chooses one per pair.

    Args:
        selector: The component.
        config: The intensity band.
    """

    name = "select"
    batch_size = 4

    def __init__(self, selector: ComponentHandle[Selector], config: SelectConfig) -> None:
        self._selector = selector
        self._config = config

    @property
    def resources(self) -> Resources:
        """What the component asks for."""
        return self._selector.resources()

    def setup(self) -> None:
        """Create the selector."""
        self._selector.get()

    def fingerprint(self) -> Fingerprint:
        """Return the selector's and the band."""
        selector = self._selector.fingerprint().digest()
        return Fingerprint(self.name, "1", {"selector": selector, **self._config.model_dump(mode="json")})

    def process(self, batch: Sequence[Sample]) -> list[Sample]:
        """Choose for each pair that has candidates."""
        return [
            replace(sample, pairs=tuple(self._choose(sample.image, pair) for pair in sample.pairs)) for sample in batch
        ]

    def _choose(self, image: RGBImage | None, pair: Pair) -> Pair:
        if image is not None and pair.control and pair.chosen is not None:  # nothing to choose from
            return replace(pair, chosen=replace(pair.chosen, score=self._score(image, pair.chosen)))
        if image is None or not pair.candidates:
            return pair
        scored = tuple(replace(candidate, score=self._score(image, candidate)) for candidate in pair.candidates)
        scores = [candidate.score for candidate in scored if candidate.score is not None]
        return replace(pair, candidates=scored, chosen=scored[nearest_to_band(scores, self._config.band)])

    def _score(self, image: RGBImage, candidate: Candidate) -> float:
        score = float(self._selector.get().score(image[candidate.box.slices], candidate.image, candidate.mask))
        if not math.isfinite(score):
            raise ComponentError(
                f"expected a finite distance from the selector, got {score}; check it with fmas.testing.check_selector"
            )
        # The last digits differ between processors; rounded, they neither tip a choice nor change a file.
        return round(score, 4)


def nearest_to_band(scores: Sequence[float], band: tuple[float, float]) -> int:
    """Return the index of the score to keep.

    Args:
        scores: At least one finite distance.
        band: Lowest and highest wanted distance.

    Returns:
        The index of the score nearest to the middle of the band; the first of equals. A score inside the band always
        wins over one outside it.
    """
    low, high = band
    middle = (low + high) / 2
    return min(range(len(scores)), key=lambda index: abs(scores[index] - middle))
