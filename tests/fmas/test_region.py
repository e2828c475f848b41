from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmas.config import RegionConfig
from fmas.region import draw_region

SHAPES = ["rectangle", "ellipse", "stroke", "blob"]


def full(region, shape):
    mask = np.zeros(shape, dtype=bool)
    mask[region.box.slices] = region.mask
    return mask


@st.composite
def foregrounds(draw):
    height, width = draw(st.integers(8, 90)), draw(st.integers(8, 90))
    mask = np.zeros((height, width), dtype=bool)
    for _ in range(draw(st.integers(1, 3))):
        top, left = draw(st.integers(0, height - 4)), draw(st.integers(0, width - 4))
        mask[top : top + draw(st.integers(4, 60)), left : left + draw(st.integers(4, 60))] = True
    return mask


@settings(max_examples=150, deadline=None)
@given(foregrounds(), st.sampled_from(SHAPES), st.integers(0, 2**32), st.booleans())
def test_region_lies_on_the_foreground(foreground, shape, seed, over_border):
    config = RegionConfig(shape=shape, area=(0.01, 0.3), min_overlap=0.5)
    region = draw_region(foreground, config=config, over_border=over_border, generator=np.random.default_rng(seed))
    if region is None:
        return
    mask = full(region, foreground.shape)
    assert region.shape == shape
    assert region.mask.shape == (region.box.height, region.box.width)
    assert np.count_nonzero(mask & foreground) >= min(config.min_pixels, np.count_nonzero(foreground))
    if not over_border:
        assert not (mask & ~foreground).any()


@pytest.mark.parametrize("shape", SHAPES)
def test_overlap_is_kept(shape):
    foreground = np.zeros((80, 80), dtype=bool)
    foreground[20:60, 20:60] = True
    config = RegionConfig(shape=shape, area=(0.1, 0.5), min_overlap=0.8)
    drawn = [
        draw_region(foreground, config=config, over_border=False, generator=np.random.default_rng(seed))
        for seed in range(50)
    ]
    assert all(drawn)
    if shape == "rectangle":  # its own area is its box
        assert all(region.mask.mean() >= 0.8 for region in drawn)


def test_rectangle_areas_span_the_configured_range():
    foreground = np.ones((200, 200), dtype=bool)
    config = RegionConfig(area=(0.01, 0.04), aspect=(0.5, 2.0), min_pixels=1)
    areas = []
    for seed in range(200):
        region = draw_region(foreground, config=config, over_border=False, generator=np.random.default_rng(seed))
        areas.append(region.mask.sum() / foreground.size)
        assert 0.45 <= region.box.width / region.box.height <= 2.2
    assert 0.009 <= min(areas) < 0.013
    assert 0.034 < max(areas) <= 0.042


def test_border_defects_reach_over_by_no_more_than_the_margin():
    foreground = np.zeros((100, 100), dtype=bool)
    foreground[30:70, 30:70] = True
    config = RegionConfig(area=(0.05, 0.2), edge_margin=0.35)
    reached = 0
    for seed in range(40):
        region = draw_region(foreground, config=config, over_border=True, generator=np.random.default_rng(seed))
        mask = full(region, foreground.shape)
        margin = round(0.35 * min(region.box.width, region.box.height))
        allowed = np.zeros_like(foreground)
        allowed[30 - margin : 70 + margin, 30 - margin : 70 + margin] = True
        assert not (mask & ~allowed).any()
        reached += bool((mask & ~foreground).any())
    assert reached >= 30


def test_texture_has_no_border_to_reach_over():
    foreground = np.ones((64, 64), dtype=bool)
    region = draw_region(foreground, config=RegionConfig(), over_border=True, generator=np.random.default_rng(0))
    assert region is not None


def test_thin_product_gets_a_smaller_region():
    foreground = np.zeros((120, 120), dtype=bool)
    foreground[58:62, 5:115] = True
    config = RegionConfig(area=(0.3, 0.5), aspect=(0.9, 1.1))
    assert draw_region(foreground, config=config, over_border=False, generator=np.random.default_rng(3)) is not None


def test_redraws_are_bounded():
    foreground = np.eye(60, dtype=bool)
    config = RegionConfig(min_overlap=0.9, redraws=5, area=(0.5, 1.0))
    assert draw_region(foreground, config=config, over_border=False, generator=np.random.default_rng(0)) is None


def test_tiny_foreground_is_used_whole():
    foreground = np.zeros((20, 20), dtype=bool)
    foreground[5:8, 5:8] = True
    region = draw_region(foreground, config=RegionConfig(), over_border=False, generator=np.random.default_rng(0))
    assert (full(region, foreground.shape) == foreground).all()


@pytest.mark.parametrize("shape", ["ellipse", "stroke", "blob"])
def test_shapes_fill_their_box_but_not_all_of_it(shape):
    foreground = np.ones((200, 200), dtype=bool)
    config = RegionConfig(shape=shape, area=(0.05, 0.1))
    for seed in range(20):
        region = draw_region(foreground, config=config, over_border=False, generator=np.random.default_rng(seed))
        assert 0.1 < region.mask.mean() < 0.95
