from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmas_providers.detectors.scoring.normalise import normalise
from fmas_providers.detectors.scoring.tiles import MapBlender, TilePlan, plan_tiles

SIDES = st.integers(1, 300)
PLANS = st.builds(
    lambda height, width, multiple, tiles, overlap: plan_tiles(
        height, width, tile=multiple * tiles, overlap=overlap, multiple=multiple
    ),
    SIDES,
    SIDES,
    st.sampled_from([1, 2, 8, 16]),
    st.integers(1, 12),
    st.integers(0, 40),
)


def blended(plan: TilePlan, tiles: list[np.ndarray]) -> np.ndarray:
    blender = MapBlender(plan)
    for tile in tiles:
        blender.add(tile)
    return blender.result()


def ramp_image(height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows % 251, columns % 241, (3 * rows + 5 * columns) % 239], axis=2).astype(np.uint8)


@given(PLANS, st.floats(-1e3, 1e3, width=32))
def test_a_constant_stays_that_constant_to_the_last_bit(plan: TilePlan, value: float) -> None:
    result = blended(plan, [np.full(plan.shape, value, np.float32)] * len(plan))
    assert result.shape == (plan.rows.length, plan.columns.length)
    assert np.array_equal(result, np.full_like(result, value))


@given(PLANS)
def test_what_each_pixel_says_comes_back_where_it_was(plan: TilePlan) -> None:
    image = ramp_image(plan.rows.length, plan.columns.length)
    tiles = [plan.cut(image, index)[..., 2].astype(np.float32) for index in range(len(plan))]
    assert np.array_equal(blended(plan, tiles), image[..., 2])


@given(SIDES, st.sampled_from([1, 2, 8, 16]), st.integers(1, 12), st.integers(0, 40))
def test_tiles_of_one_size_overlap_enough_and_cover_everything(
    length: int, multiple: int, tiles: int, overlap: int
) -> None:
    tile = multiple * tiles
    axis = plan_tiles(length, 1, tile=tile, overlap=overlap, multiple=multiple).rows
    assert axis.size % multiple == 0
    assert axis.size <= tile
    assert axis.starts[0] == 0
    assert axis.starts[-1] + axis.size >= length
    if len(axis.starts) == 1:
        assert axis.size - length < multiple
    else:
        assert axis.starts[-1] + axis.size == length
        gaps = np.diff(axis.starts)
        assert (axis.size - gaps >= min(overlap, tile // 2)).all()
        assert (gaps > 0).all()


@given(PLANS, st.integers(0, 2**32 - 1))
def test_blending_stays_between_what_the_tiles_say(plan: TilePlan, seed: int) -> None:
    tiles = list(np.random.default_rng(seed).random((len(plan), *plan.shape), np.float32))
    result = blended(plan, tiles)
    assert result.min() >= min(tile.min() for tile in tiles) - 1e-6
    assert result.max() <= max(tile.max() for tile in tiles) + 1e-6


def test_neighbours_pass_smoothly_into_one_another() -> None:
    plan = plan_tiles(16, 112, tile=64, overlap=16, multiple=16)
    assert plan.columns.starts == (0, 48)
    row = blended(plan, [np.zeros(plan.shape, np.float32), np.ones(plan.shape, np.float32)])[5]
    assert not row[:48].any()
    assert (row[64:] == 1).all()
    steps = np.diff(row[47:65])
    assert (steps > 0).all()
    assert steps.max() < 0.1
    assert row[48] < 0.01
    np.testing.assert_allclose(row[48:64] + row[48:64][::-1], 1, atol=1e-6)


def test_a_small_picture_is_one_tile_that_is_hardly_larger() -> None:
    plan = plan_tiles(50, 70, tile=512, overlap=64, multiple=16)
    assert len(plan) == 1
    assert plan.shape == (64, 80)
    image = ramp_image(50, 70)
    tile = plan.cut(image, 0)
    assert np.array_equal(tile[:50, :70], image)
    assert np.array_equal(tile[50:, :70], image[-2:-16:-1])  # reflected without repeating the last row
    assert np.array_equal(tile[:50, 70:], image[:, -2:-12:-1])


def test_a_picture_of_one_pixel_can_be_cut() -> None:
    plan = plan_tiles(1, 1, tile=32, overlap=8, multiple=16)
    assert (plan.cut(np.full((1, 1, 3), 7, np.uint8), 0) == 7).all()


def test_a_side_hardly_longer_than_a_tile_costs_hardly_more() -> None:
    plan = plan_tiles(512, 528, tile=512, overlap=64, multiple=16)
    assert len(plan) == 2
    assert plan.shape[0] * plan.shape[1] * len(plan) <= 1.2 * 512 * 528


def test_a_tile_that_is_no_multiple_is_rounded_down() -> None:
    assert plan_tiles(1000, 1000, tile=100, overlap=0, multiple=32).shape[0] <= 96
    assert plan_tiles(1000, 20, tile=20, overlap=0, multiple=32).shape == (32, 32)


def test_the_map_is_there_only_when_it_is_whole() -> None:
    plan = plan_tiles(64, 100, tile=64, overlap=16, multiple=16)
    blender = MapBlender(plan)
    blender.add(np.zeros(plan.shape, np.float32))
    assert not blender.complete
    with pytest.raises(RuntimeError, match="expected 2 tiles"):
        blender.result()


def test_normalising_is_a_scale_and_an_offset() -> None:
    image = ramp_image(9, 7)
    expected = (image.astype(np.float64) / 64 - 2).transpose(2, 0, 1)
    assert np.array_equal(normalise(image), expected)
    assert normalise(image).dtype == np.float32
    out = np.empty((2, 3, 9, 3), np.float32)
    assert normalise(image[:, 2:5], out=out[1]) is not None
    assert np.array_equal(out[1], expected[:, :, 2:5])
