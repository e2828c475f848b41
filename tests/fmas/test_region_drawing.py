"""Regions lie where they may, are as large as asked, and are found on thin parts and in small masks too."""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fmas.region_drawing
from fmas.config import RegionConfig
from fmas.placement import Ground
from fmas.region_drawing import draw_region
from fmas.types import Foreground

SHAPES = ["rectangle", "ellipse", "stroke", "blob"]
PLACES = ["anywhere", "edge", "inside"]


def ground_of(mask, allowed=None):
    return Ground(Foreground(mask, "texture" if mask.all() else "object", 1.0), allowed)


def draw(mask, config=None, *, seed=0, place="anywhere", over_border=False, allowed=None):
    return draw_region(
        ground_of(mask, allowed),
        config=config or RegionConfig(),
        place=place,
        over_border=over_border,
        generator=np.random.default_rng(seed),
    )


def full(region, shape):
    mask = np.zeros(shape, dtype=bool)
    mask[region.box.slices] = region.mask
    return mask


def square(side=100, margin=30):
    mask = np.zeros((side, side), dtype=bool)
    mask[margin : side - margin, margin : side - margin] = True
    return mask


@st.composite
def foregrounds(draw, shape=None):
    height, width = shape or (draw(st.integers(8, 90)), draw(st.integers(8, 90)))
    mask = np.zeros((height, width), dtype=bool)
    for _ in range(draw(st.integers(1, 3))):
        top, left = draw(st.integers(0, height - 4)), draw(st.integers(0, width - 4))
        mask[top : top + draw(st.integers(4, 60)), left : left + draw(st.integers(4, 60))] = True
    return mask


@st.composite
def limited_foregrounds(draw):
    mask = draw(foregrounds())
    return mask, draw(foregrounds(mask.shape))


@settings(max_examples=150)
@given(foregrounds(), st.sampled_from(SHAPES), st.integers(0, 2**32), st.sampled_from(PLACES))
def test_region_lies_on_the_foreground(foreground, shape, seed, place):
    config = RegionConfig(shape=shape, area=(0.01, 0.3), min_overlap=0.5)
    region = draw(foreground, config, seed=seed, place=place)
    if region is None:
        return
    mask = full(region, foreground.shape)
    assert region.shape == shape
    assert region.mask.shape == (region.box.height, region.box.width)
    available = ground_of(foreground).pixels(place if place == "inside" else "anywhere", config.inside_margin).count
    assert np.count_nonzero(mask) >= min(config.min_pixels, available)
    assert not (mask & ~foreground).any()


@settings(max_examples=150)
@given(limited_foregrounds(), st.sampled_from(SHAPES), st.integers(0, 2**32), st.sampled_from(PLACES), st.booleans())
def test_region_lies_wholly_inside_what_the_user_allows(limited, shape, seed, place, over_border):
    foreground, allowed = limited
    region = draw(
        foreground, RegionConfig(shape=shape), seed=seed, place=place, over_border=over_border, allowed=allowed
    )
    if region is None:
        return
    mask = full(region, foreground.shape)
    assert mask.any()
    assert not (mask & ~allowed).any()
    if not (over_border and place == "edge"):
        assert not (mask & ~foreground).any()


@settings(max_examples=100)
@given(st.integers(1, 6), st.integers(0, 179), st.integers(0, 2**32))
def test_a_thin_mask_has_a_region_wherever_it_runs(thickness, angle, seed):
    """A stripe of one pixel across a texture: no rectangle has 60 % of its area on it, whatever its aspect."""
    allowed = np.zeros((160, 160), dtype=np.uint8)
    along = np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))]) * 78
    start, end = (np.round(80 + sign * along).astype(int).tolist() for sign in (-1, 1))
    cv2.line(allowed, start, end, 1, thickness)
    region = draw(np.ones((160, 160), dtype=bool), seed=seed, allowed=allowed.astype(bool))
    assert region is not None
    assert region.mask.sum() >= 100
    assert not (full(region, allowed.shape) & (allowed == 0)).any()


def test_regions_on_a_thin_mask_lie_all_along_it():
    allowed = np.zeros((200, 200), dtype=np.uint8)
    cv2.line(allowed, (5, 5), (195, 160), 1, 3)
    boxes = [draw(np.ones((200, 200), dtype=bool), seed=seed, allowed=allowed.astype(bool)).box for seed in range(60)]
    middles = np.array([(box.left + box.right) / 2 for box in boxes])
    assert middles.min() < 50
    assert middles.max() > 150
    assert 60 < np.median(middles) < 140


def test_regions_in_a_small_mask_differ():
    """Sized by the whole product, each would be the whole mask."""
    allowed = np.zeros((400, 400), dtype=bool)
    allowed[100:140, 200:240] = True
    areas = [draw(np.ones((400, 400), dtype=bool), seed=seed, allowed=allowed).mask.sum() for seed in range(40)]
    assert min(areas) < 300
    assert max(areas) <= 900
    assert len(set(areas)) > 15


def test_a_mask_of_half_the_product_leaves_the_sizes_alone():
    whole, half = np.ones((200, 200), dtype=bool), np.ones((200, 200), dtype=bool)
    half[:100] = False
    config = RegionConfig(area=(0.02, 0.05), min_overlap=1.0)
    areas = [
        [draw(whole, config, seed=seed, allowed=allowed).mask.sum() for seed in range(80)] for allowed in (whole, half)
    ]
    assert np.median(areas[1]) == pytest.approx(np.median(areas[0]), rel=0.15)


def test_the_edge_is_touched_and_the_inside_is_not():
    foreground = square()
    edge = ground_of(foreground).edge.mask
    depth = cv2.distanceTransform(foreground.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_3)
    for seed in range(12):
        for shape in SHAPES:
            config = RegionConfig(shape=shape, inside_margin=0.4)
            assert (full(draw(foreground, config, seed=seed, place="edge"), foreground.shape) & edge).any()
            inside = full(draw(foreground, config, seed=seed, place="inside"), foreground.shape)
            assert depth[inside].min() > 0.4 * depth.max()


def test_inside_reaches_further_out_with_a_smaller_margin():
    foreground = square(200, 20)

    def nearest(margin):
        config = RegionConfig(inside_margin=margin, area=(0.002, 0.004), min_pixels=9)
        drawn = [draw(foreground, config, seed=seed, place="inside") for seed in range(60)]
        return min(region.box.left for region in drawn)

    assert nearest(0.0) < 30
    assert nearest(0.8) > 80


@pytest.mark.parametrize("shape", SHAPES)
def test_overlap_is_kept(shape):
    foreground = square(80, 20)
    config = RegionConfig(shape=shape, area=(0.1, 0.5), min_overlap=0.8)
    drawn = [draw(foreground, config, seed=seed) for seed in range(50)]
    assert all(drawn)
    if shape == "rectangle":  # its own area is its box
        assert all(region.mask.mean() >= 0.8 for region in drawn)


def test_rectangle_areas_span_the_configured_range():
    foreground = np.ones((200, 200), dtype=bool)
    config = RegionConfig(area=(0.01, 0.04), aspect=(0.5, 2.0), min_pixels=1)
    areas = []
    for seed in range(200):
        region = draw(foreground, config, seed=seed)
        areas.append(region.mask.sum() / foreground.size)
        assert 0.45 <= region.box.width / region.box.height <= 2.2
    assert 0.009 <= min(areas) < 0.013
    assert 0.034 < max(areas) <= 0.042


def test_areas_are_log_uniform():
    """Half of the regions are below the geometric middle of the range, as the paper's small defects want."""
    foreground = np.ones((400, 400), dtype=bool)
    config = RegionConfig(area=(0.001, 0.1), aspect=(1.0, 1.0), min_pixels=1)
    areas = [draw(foreground, config, seed=seed).mask.sum() for seed in range(300)]
    assert 0.005 < np.median(areas) / foreground.size < 0.02  # uniform: 0.05


def test_regions_of_a_large_photograph_are_scaled_down_alike():
    """Only cut off at the greatest area, most of them would be just that."""
    foreground = np.ones((2000, 2000), dtype=bool)
    config = RegionConfig(aspect=(1.0, 1.0), max_pixels=40_000)
    areas = np.array([draw(foreground, config, seed=seed).mask.sum() for seed in range(200)])
    assert areas.max() <= 41_000
    assert areas.min() < 5_000
    assert 10_000 < np.median(areas) < 16_000  # the geometric middle of 4,000 and 40,000


def test_regions_of_a_small_photograph_can_still_be_seen():
    foreground = np.ones((64, 64), dtype=bool)
    areas = [draw(foreground, seed=seed).mask.sum() for seed in range(100)]
    assert min(areas) >= 100
    assert max(areas) <= 0.12 * foreground.size


def test_border_defects_reach_over_by_no_more_than_the_margin():
    foreground = square()
    config = RegionConfig(area=(0.05, 0.2), edge_margin=0.35)
    reached = 0
    for seed in range(40):
        region = draw(foreground, config, seed=seed, place="edge", over_border=True)
        mask = full(region, foreground.shape)
        margin = round(0.35 * min(region.box.width, region.box.height))
        allowed = np.zeros_like(foreground)
        allowed[30 - margin : 70 + margin, 30 - margin : 70 + margin] = True
        assert not (mask & ~allowed).any()
        reached += bool((mask & ~foreground).any())
    assert reached >= 30


def test_only_at_the_edge_a_region_reaches_over_it():
    foreground = square()
    for place in ("anywhere", "inside"):
        for seed in range(20):
            region = draw(foreground, seed=seed, place=place, over_border=True)
            assert not (full(region, foreground.shape) & ~foreground).any()


def test_tiny_foreground_is_used_whole():
    foreground = np.zeros((20, 20), dtype=bool)
    foreground[5:8, 5:8] = True
    assert (full(draw(foreground), foreground.shape) == foreground).all()


@pytest.mark.parametrize("shape", ["ellipse", "stroke", "blob"])
def test_shapes_fill_their_box_but_not_all_of_it(shape):
    foreground = np.ones((200, 200), dtype=bool)
    for seed in range(20):
        assert 0.1 < draw(foreground, RegionConfig(shape=shape, area=(0.05, 0.1)), seed=seed).mask.mean() < 0.95


def striped(side=120):
    """Return a foreground of every second column: half of any shape lies on it."""
    foreground = np.zeros((side, side), dtype=bool)
    foreground[:, ::2] = True
    return foreground


@pytest.mark.parametrize(("least", "found"), [(0.4, True), (0.7, False)])
def test_share_on_the_foreground_decides(least, found):
    """Where no shape has it, a part of a single stripe is taken."""
    region = draw(striped(), RegionConfig(area=(0.1, 0.3), min_overlap=least, redraws=20, min_pixels=1))
    assert (region.box.width > 3) is found
    assert found or region.mask.all()


def test_nothing_is_found_in_specks():
    """Each is connected to nothing and too small to be seen."""
    foreground = np.zeros((60, 60), dtype=bool)
    foreground[::4, ::4] = True
    assert draw(foreground, RegionConfig(min_overlap=1.0, redraws=5)) is None


@pytest.mark.parametrize(("at_border", "rectangular"), [(0.2, True), (1.0, False)])
def test_border_defects_have_an_overlap_of_their_own(at_border, rectangular):
    config = RegionConfig(
        area=(0.1, 0.2), min_overlap=1.0 - at_border, min_overlap_at_border=at_border, redraws=10, min_pixels=1
    )
    region = draw(square(), config, place="edge", over_border=True)
    reaches_over = bool((full(region, (100, 100)) & ~square()).any())
    assert reaches_over is rectangular


@pytest.mark.parametrize("redraws", [0, 5])
def test_shapes_are_drawn_once_and_then_redrawn_as_often_as_configured(monkeypatch, redraws):
    real, drawn = fmas.region_drawing.draw_shape, []
    monkeypatch.setattr(fmas.region_drawing, "draw_shape", lambda *given: drawn.append(given) or real(*given))
    draw(striped(), RegionConfig(area=(0.1, 0.3), min_overlap=0.9, redraws=redraws, min_pixels=1))
    assert len(drawn) == redraws + 1


def test_shrinking_reaches_a_slanted_thin_product():
    """Along an axis the extent already cuts the shape down; a slanted product needs the shrinking."""
    rows, columns = np.mgrid[:120, :120]
    foreground = np.abs(rows - columns) <= 3
    config = RegionConfig(area=(0.3, 0.5), aspect=(0.9, 1.1), min_pixels=9, redraws=150)
    region = draw(foreground, config, seed=3)
    assert 0.6 <= region.mask.mean() < 1.0


def test_regions_are_never_smaller_than_the_least_area():
    """Sizes are raised before drawing, so that the first draw already counts."""
    config = RegionConfig(area=(0.0001, 0.0001), aspect=(1.0, 1.0), min_pixels=64, redraws=0)
    assert draw(np.ones((100, 100), dtype=bool), config).mask.sum() >= 64


def test_no_place_is_no_region():
    foreground = square()
    assert draw(foreground, allowed=~foreground) is None


def test_three_regions_of_a_megapixel_take_milliseconds():
    """25 times what they take here: a list of all foreground pixels, as it once was, would take longer."""
    foreground = square(1024, 100)

    def once():
        start = time.perf_counter()
        ground = ground_of(foreground)
        for seed in range(3):
            for place in PLACES:
                draw_region(
                    ground, config=RegionConfig(), place=place, over_border=True, generator=np.random.default_rng(seed)
                )
        return time.perf_counter() - start

    assert min(once() for _ in range(5)) < 0.1
