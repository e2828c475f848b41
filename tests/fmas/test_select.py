from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmas.components import ComponentHandle
from fmas.config import ComponentConfig, SelectConfig
from fmas.errors import ComponentError
from fmas.samples import Box, Candidate, Pair, Sample
from fmas.select import SelectStage, nearest_to_band
from fmas.sources import Source
from fmas.types import Fingerprint

finite = st.floats(0, 10, allow_nan=False)


@given(st.lists(finite, min_size=1), finite, finite)
def test_a_score_in_the_band_beats_one_outside(scores, one, other):
    low, high = sorted((one, other))
    chosen = scores[nearest_to_band(scores, (low, high))]
    if any(low <= score <= high for score in scores):
        assert low - 1e-12 <= chosen <= high + 1e-12


def test_first_of_equals_wins():
    assert nearest_to_band([0.9, 0.2, 0.2], (0.1, 0.3)) == 1


class Scripted:
    def __init__(self, scores):
        self.scores = iter(scores)

    def score(self, original, candidate, mask):
        assert original.shape == candidate.shape == (*mask.shape, 3)
        return next(self.scores)


def make_sample(count):
    image = np.zeros((20, 20, 3), np.uint8)
    box = Box(2, 3, 10, 12)
    crop = image[box.slices].copy()
    mask = np.ones((9, 8), dtype=bool)
    candidates = tuple(Candidate(index, 0, index, box, crop, mask, 4, 8, 0.5) for index in range(count))
    return Sample(Source(0, Path("a"), "a"), (Pair(0, 0, candidates=candidates),), image=image)


def stage(scores, band=(0.1, 0.3)):
    handle = ComponentHandle("selector", ComponentConfig())
    handle._component = Scripted(scores)
    return SelectStage(handle, SelectConfig(band=band))


def test_every_candidate_is_scored_and_one_chosen():
    pair = stage([0.9, 0.22, 0.0]).process([make_sample(3)])[0].pairs[0]
    assert [candidate.score for candidate in pair.candidates] == [0.9, 0.22, 0.0]
    assert pair.chosen.index == 1


@pytest.mark.parametrize("score", [float("nan"), float("inf")])
def test_a_distance_must_be_finite(score):
    with pytest.raises(ComponentError, match="expected a finite distance from the selector"):
        stage([score]).process([make_sample(1)])


def test_a_pair_without_candidates_passes():
    sample = make_sample(0)
    assert stage([]).process([sample])[0].pairs == sample.pairs


@pytest.mark.parametrize("victim", ["candidate", "mask"])
def test_selector_that_works_in_place_fails_instead_of_corrupting(run, fakes, monkeypatch, victim):
    def score(self, original, candidate, mask):
        {"candidate": candidate, "mask": mask}[victim][:] = 1
        return 0.2

    monkeypatch.setattr(type(fakes["selector"]), "score", score)
    _, summary = run()
    assert (summary.made, summary.counts.failures) == (0, {"ValueError": 6})


def test_stage_fingerprint_of_select_holds_the_band():
    handle = SimpleNamespace(fingerprint=lambda: Fingerprint("fake", "1"))
    one, other = (SelectStage(handle, SelectConfig(band=band)).fingerprint() for band in ((0.1, 0.2), (0.1, 0.3)))
    assert one.digest() != other.digest()
