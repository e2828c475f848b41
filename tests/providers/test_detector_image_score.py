from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fmas_providers.detectors.scoring.image_score import FEWEST, MOST, image_score, pixels_that_count


def spot(side: int, width: int, value: float = 1.0) -> np.ndarray:
    result = np.zeros((side, side), np.float32)
    start = (side - width) // 2
    result[start : start + width, start : start + width] = value
    return result


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (64, 64), (700, 650)])
@pytest.mark.parametrize("value", [0.0, 0.1, 0.7, 123.4])
def test_a_constant_map_scores_its_value(shape: tuple[int, int], value: float) -> None:
    assert image_score(np.full(shape, value, np.float32)) == pytest.approx(value, rel=1e-6)


@given(arrays(np.float32, st.tuples(st.integers(1, 90), st.integers(1, 90)), elements=st.floats(0, 1, width=32)))
def test_it_is_the_mean_of_the_highest_smoothed_values(values: np.ndarray) -> None:
    smooth = cv2.GaussianBlur(values, (3, 3), 0)
    count = pixels_that_count(*values.shape, top_fraction=0.001)
    assert image_score(values) == pytest.approx(np.sort(smooth.ravel())[-count:].mean(), rel=1e-5, abs=1e-7)


def test_large_maps_agree_with_sorting_everything() -> None:
    values = np.random.default_rng(5).random((900, 1100), np.float32) ** 4
    smooth = cv2.GaussianBlur(values, (3, 3), 0).ravel()
    assert image_score(values) == pytest.approx(np.sort(smooth)[-100:].mean(), rel=1e-6)
    ties = np.zeros((900, 1100), np.float32)
    ties[:450] = 0.5
    assert image_score(ties) == pytest.approx(0.5)


def test_a_defect_of_twelve_pixels_fills_the_score_at_any_size_of_the_picture() -> None:
    scores = [image_score(spot(side, 12)) for side in (64, 330, 1000, 3000)]
    assert min(scores) > 0.9


def test_a_lone_pixel_does_not_rule() -> None:
    for side in (32, 330, 2000):
        assert image_score(spot(side, 1)) <= 1 / 16 + 1e-6


def test_strewn_pixels_count_a_quarter_at_most() -> None:
    noise = np.zeros((400, 400), np.float32)
    noise[::20, ::20] = 1.0
    assert image_score(noise) == pytest.approx(0.25, abs=0.01)
    assert image_score(noise) < image_score(spot(400, 7))


def test_normal_noise_of_a_larger_picture_raises_the_score_little() -> None:
    rng = np.random.default_rng(1)
    small, large = (image_score(rng.random((side, side), np.float32) * 0.1) for side in (300, 2400))
    assert small < large < 1.15 * small
    assert large < 0.2 * image_score(spot(2400, 10))


def test_where_the_count_grows_with_the_picture_enlarging_changes_nothing() -> None:
    small = cv2.GaussianBlur(spot(150, 9), (0, 0), 3)
    large = cv2.resize(small, (300, 300), interpolation=cv2.INTER_LINEAR)
    assert image_score(large) == pytest.approx(image_score(small), rel=0.05)


@given(st.integers(1, 5000), st.integers(1, 5000), st.floats(1e-6, 1.0))
def test_how_many_pixels_count(height: int, width: int, fraction: float) -> None:
    count = pixels_that_count(height, width, top_fraction=fraction)
    assert min(FEWEST, height * width) <= count <= min(MOST, height * width)


def test_a_higher_map_never_scores_lower() -> None:
    rng = np.random.default_rng(3)
    lower = rng.random((80, 90), np.float32)
    assert image_score(lower + rng.random((80, 90), np.float32)) >= image_score(lower)
