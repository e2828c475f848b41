"""Whole pictures: what the network gets, what comes back, and the mean over mirror images."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fmas.testing.pictures import texture_photo
from fmas.types import FloatMap
from fmas_providers.detectors.scoring.options import ScoringOptions
from fmas_providers.detectors.scoring.scorer import MapScorer
from fmas_providers.detectors.scoring.views import WholeView, resized, view_of


def test_resized() -> None:
    picture = texture_photo(64, 64)
    assert resized(picture, 64) is picture
    assert resized(texture_photo(200, 90), 64).shape == (64, 64, 3)
    # Averaging: the grain of a large picture shrinks away.
    assert resized(texture_photo(640, 640), 64).std() < 0.2 * picture.std()


@settings(deadline=None, max_examples=30)
@given(height=st.integers(1, 300), width=st.integers(1, 300), whole=st.integers(8, 100))
def test_a_whole_view_is_one_piece_and_a_constant_comes_back(height: int, width: int, whole: int) -> None:
    view = view_of(height, width, whole=whole, tile=32, overlap=8, multiple=8)
    assert len(view) == 1 and view.shape == (whole // 8 * 8, whole // 8 * 8)
    assert view.cut(np.zeros((height, width, 3), np.uint8), 0).shape == (*view.shape, 3)
    assert not view.complete
    view.add(np.full(view.shape, 0.25, np.float32))
    assert view.complete and view.result().shape == (height, width)
    np.testing.assert_allclose(view.result(), 0.25, rtol=1e-6)


def test_a_map_is_asked_for_too_early() -> None:
    with pytest.raises(RuntimeError, match="expected the picture's map"):
        WholeView(10, 10, 8).result()


def leaning(pictures: NDArray[np.float32]) -> FloatMap:
    """Brightness, and more of it to the right: a network that has learnt a side."""
    count, _, height, width = pictures.shape
    ramp = np.linspace(0, 1, width, dtype=np.float32)
    return np.asarray(pictures.mean(axis=1) + 2 + np.broadcast_to(ramp, (count, height, width)), np.float32)


def test_mirror_images_take_a_side_away_and_keep_the_place() -> None:
    picture = np.full((32, 32, 3), 64, np.uint8)
    picture[4:8, 20:24] = 200
    (flipped, _), (plain, _) = (
        next(MapScorer(leaning, ScoringOptions(gate=False, flips=flips), multiple=8, whole=32).score([picture]))
        for flips in ("auto", "never")
    )
    np.testing.assert_allclose(flipped[20], 1.5, rtol=1e-5)  # 1 of the grey and half of the ramp, everywhere
    assert plain[20, 0] == pytest.approx(1.0) and plain[20, 31] == pytest.approx(2.0)
    assert flipped[5, 21] - flipped[20, 21] == pytest.approx(136 / 64, rel=1e-5)


@pytest.mark.parametrize(("flips", "calls"), [("auto", 1), ("always", 4), ("never", 1)])
def test_tiles_are_mirrored_only_when_asked(flips: str, calls: int) -> None:
    asked: list[int] = []

    def forward(pictures: NDArray[np.float32]) -> FloatMap:
        asked.append(len(pictures))
        return leaning(pictures)

    options = ScoringOptions.model_validate({"gate": False, "flips": flips})
    list(MapScorer(forward, options, multiple=8).score([texture_photo(40, 40)]))
    assert len(asked) == calls
