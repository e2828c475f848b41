"""CutPaste scars: whatever the size, only the pasted pixels change, and they stay where they may be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmas.errors import ImageError
from fmas.testing.pictures import disc_mask, disc_photo, flat_photo, grey, texture_photo
from fmas_providers.detectors.scars import LEAST_SIDE, cutpaste_scar

SIDES = st.integers(LEAST_SIDE, 90)
SEEDS = st.integers(0, 2**31)


def scar(photograph, seed, foreground=None):
    return cutpaste_scar(photograph, np.random.default_rng(seed), foreground)


@given(height=SIDES, width=SIDES, seed=SEEDS)
def test_only_the_mask_changes(height, width, seed):
    photograph = texture_photo(height, width)
    before = photograph.copy()
    picture, mask = scar(photograph, seed)
    assert picture.dtype == np.uint8
    assert picture.shape == photograph.shape
    assert mask.dtype == np.bool_
    assert mask.shape == (height, width)
    assert mask.any()
    np.testing.assert_array_equal(picture[~mask], photograph[~mask])
    np.testing.assert_array_equal(photograph, before)
    # On a grain nearly every pasted pixel differs.
    assert (picture != photograph).any(axis=2)[mask].mean() > 0.7


@given(height=SIDES, width=SIDES, seed=SEEDS, scale=st.floats(0.05, 0.5))
def test_inside_the_foreground(height, width, seed, scale):
    foreground = disc_mask(height, width, scale=scale)
    foreground[height // 2, width // 2] = True
    picture, mask = scar(texture_photo(height, width), seed, foreground)
    assert mask.any()
    assert not (mask & ~foreground).any()
    np.testing.assert_array_equal(picture[~foreground], texture_photo(height, width)[~foreground])


@given(seed=SEEDS)
def test_one_pixel_of_foreground(seed):
    foreground = np.zeros((40, 30), np.bool_)
    foreground[39, 0] = True
    _, mask = scar(texture_photo(40, 30), seed, foreground)
    np.testing.assert_array_equal(mask, foreground)


def test_same_seed_same_scar_and_another_seed_another():
    photograph = disc_photo(64, 80)
    first, second, other = scar(photograph, 5), scar(photograph, 5), scar(photograph, 6)
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    assert (first[1] != other[1]).any()


@given(seed=SEEDS)
def test_grey_stays_grey(seed):
    photograph = grey(texture_photo(48, 64))
    picture, mask = scar(photograph, seed)
    assert np.ptp(picture, axis=2).max() == 0
    alone, same_mask = scar(np.ascontiguousarray(photograph[..., 0]), seed)
    assert alone.shape == (48, 64)
    np.testing.assert_array_equal(same_mask, mask)
    np.testing.assert_array_equal(alone, picture[..., 0])


def test_colours_change_by_a_tenth_only():
    photograph = np.full((128, 128, 3), (150, 70, 60), np.uint8)
    colours = []
    for seed in range(20):
        picture, mask = scar(photograph, seed)
        colours.append(picture[mask].mean(axis=0))
    largest = np.max(colours, axis=1)
    # Brightness by a tenth, then contrast and saturation by a tenth of the distance to the mean.
    assert largest.max() < 150 * 1.1 + 2 * 0.1 * 1.1 * 60
    assert largest.min() > 150 * 0.9 - 2 * 0.1 * 60
    assert np.std(colours, axis=0).min() > 2


@pytest.mark.parametrize("side", [64, 256, 512])
def test_lengths_grow_with_the_picture(side):
    areas = np.array([scar(texture_photo(side, side), seed)[1].sum() for seed in range(60)])
    scale = side / 256
    # Width 2..16 and length 10..25 in a picture of 256, both at least two or three pixels.
    assert areas.max() <= 1.15 * (16 * scale + 1) * (25 * scale + 1)
    assert areas.min() >= 0.5 * max(2 * scale, 1) * 10 * scale
    assert np.median(areas) == pytest.approx(9 * 17.5 * scale**2, rel=0.35)


def test_scars_are_everywhere():
    total = np.zeros((64, 64), int)
    for seed in range(400):
        total += scar(texture_photo(64, 64), seed)[1]
    assert total.reshape(8, 8, 8, 8).sum(axis=(1, 3)).min() > 0
    assert abs(np.average(np.arange(64), weights=total.sum(axis=0)) - 31.5) < 2


def test_nothing_to_see_on_black_but_still_a_mask():
    black = np.zeros((32, 32, 3), np.uint8)
    picture, mask = scar(black, 0)
    np.testing.assert_array_equal(picture, black)
    assert mask.any()


def test_flat_photograph_shows_the_strip_by_its_brightness():
    picture, mask = scar(flat_photo(64, 64), 1)
    assert (picture[mask] != 119).all()


@pytest.mark.parametrize(
    ("photograph", "foreground", "words"),
    [
        (np.zeros((32, 32, 3), np.float32), None, "of float32"),
        (np.zeros((32, 32, 4), np.uint8), None, "(32, 32, 4)"),
        (np.zeros(32, np.uint8), None, "(32,)"),
        (np.zeros((15, 32, 3), np.uint8), None, "got 32 x 15"),
        (np.zeros((32, 32, 3), np.uint8), np.ones((32, 31), np.bool_), "(32, 31)"),
        (np.zeros((32, 32, 3), np.uint8), np.ones((32, 32), np.uint8), "of uint8"),
        (np.zeros((32, 32, 3), np.uint8), np.zeros((32, 32), np.bool_), "got none"),
    ],
)
def test_unusable(photograph, foreground, words):
    with pytest.raises(ImageError, match=words.replace("(", r"\(").replace(")", r"\)")):
        scar(photograph, 0, foreground)
