from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fmas.region
from fmas.config import RegionConfig
from fmas.plan import StoredPlan
from fmas.region import RegionStage, draw_region
from fmas.samples import Pair, Sample
from fmas.seeds import SampleSeeds
from fmas.sources import Source
from fmas.types import Defect, Fingerprint, Foreground

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


def striped(side=120):
    """Return a foreground of every second column: half of any shape lies on it."""
    foreground = np.zeros((side, side), dtype=bool)
    foreground[:, ::2] = True
    return foreground


@pytest.mark.parametrize(("least", "found"), [(0.4, True), (0.7, False)])
def test_share_on_the_foreground_decides(least, found):
    config = RegionConfig(area=(0.1, 0.3), min_overlap=least, redraws=20, min_pixels=1)
    region = draw_region(striped(), config=config, over_border=False, generator=np.random.default_rng(0))
    assert (region is not None) is found


@pytest.mark.parametrize(("at_border", "found"), [(0.2, True), (1.0, False)])
def test_border_defects_have_an_overlap_of_their_own(at_border, found):
    foreground = np.zeros((100, 100), dtype=bool)
    foreground[30:70, 30:70] = True
    config = RegionConfig(
        area=(0.1, 0.2), min_overlap=1.0 - at_border, min_overlap_at_border=at_border, redraws=10, min_pixels=1
    )
    region = draw_region(foreground, config=config, over_border=True, generator=np.random.default_rng(0))
    assert (region is not None) is found


def test_border_overlap_is_not_the_inner_one():
    foreground = np.zeros((100, 100), dtype=bool)
    foreground[30:70, 30:70] = True
    config = RegionConfig(area=(0.1, 0.2), min_overlap=1.0, min_overlap_at_border=0.2, redraws=10, min_pixels=1)
    assert draw_region(foreground, config=config, over_border=True, generator=np.random.default_rng(0)) is not None


@pytest.mark.parametrize("redraws", [0, 5])
def test_shapes_are_drawn_once_and_then_redrawn_as_often_as_configured(monkeypatch, redraws):
    real, drawn = fmas.region._draw_shape, []
    monkeypatch.setattr(fmas.region, "_draw_shape", lambda *given: drawn.append(given) or real(*given))
    config = RegionConfig(area=(0.1, 0.3), min_overlap=0.9, redraws=redraws, min_pixels=1)
    assert draw_region(striped(), config=config, over_border=False, generator=np.random.default_rng(0)) is None
    assert len(drawn) == redraws + 1


def test_shrinking_reaches_a_slanted_thin_product():
    """Along an axis the extent already cuts the shape down; a slanted product needs the shrinking."""
    rows, columns = np.mgrid[:120, :120]
    foreground = np.abs(rows - columns) <= 3
    config = RegionConfig(area=(0.3, 0.5), aspect=(0.9, 1.1), min_pixels=9, redraws=150)
    assert draw_region(foreground, config=config, over_border=False, generator=np.random.default_rng(3)) is not None


def test_the_frame_is_no_border():
    """A part that touches the frame has its border where it meets the background, not where the picture ends."""
    foreground = np.zeros((60, 60), dtype=bool)
    foreground[:, :30] = True
    border = fmas.region._border_pixels(foreground)
    assert set(border[:, 1]) == {29}


def test_regions_are_never_smaller_than_the_least_area():
    """Sizes are raised before drawing, so that the first draw already counts."""
    foreground = np.ones((100, 100), dtype=bool)
    config = RegionConfig(area=(0.0001, 0.0001), aspect=(1.0, 1.0), min_pixels=64, redraws=0)
    region = draw_region(foreground, config=config, over_border=False, generator=np.random.default_rng(0))
    assert region is not None and region.mask.sum() >= 64


def placed(run_seed=0, relative="a.png", index=0, kind="crack"):
    """Return the first placement of one pair on a bright square."""
    mask = np.zeros((100, 100), dtype=bool)
    mask[20:80, 20:80] = True
    plan = StoredPlan("part", Fingerprint("fake", "1"), (Defect(name="d", prompt="p", kind=kind),))
    sample = Sample(
        Source(0, Path(relative), relative), (Pair(index, index),), foreground=Foreground(mask, "object", 1.0)
    )
    stage = RegionStage(plan, RegionConfig(), run_seed=run_seed, category="part")
    (pair,) = stage.process([sample])[0].pairs
    return pair, mask


def test_pairs_of_one_photograph_lie_in_different_places():
    assert placed(index=0)[0].placements[0].box != placed(index=1)[0].placements[0].box


def test_only_kinds_that_reach_the_edge_leave_the_foreground():
    def leaves(kind):
        outside = 0
        for index in range(12):
            pair, mask = placed(index=index, kind=kind)
            for region in pair.placements:
                outside += int((region.mask & ~mask[region.box.slices]).sum())
        return outside > 0

    assert not leaves("crack")
    assert leaves("fray")


def test_stage_fingerprint_holds_the_plan():
    def digest(name):
        plan = StoredPlan("part", Fingerprint("fake", "1"), (Defect(name=name, prompt="p"),))
        return RegionStage(plan, RegionConfig(), run_seed=0, category="part").fingerprint().digest()

    assert digest("crack") != digest("dent")


def test_areas_are_log_uniform():
    """Half of the regions are below the geometric middle of the range, as the paper's small defects want."""
    foreground = np.ones((400, 400), dtype=bool)
    config = RegionConfig(area=(0.001, 0.1), aspect=(1.0, 1.0), min_pixels=1)
    areas = [
        draw_region(foreground, config=config, over_border=False, generator=np.random.default_rng(seed)).mask.sum()
        for seed in range(300)
    ]
    assert 0.005 < np.median(areas) / foreground.size < 0.02  # uniform: 0.05


def test_defect_and_region_are_drawn_apart():
    """One generator for both would tie a kind of defect to a place."""
    placements = [placed(index=index)[0].placements[0].box for index in range(3)]
    for index, box in enumerate(placements):
        seeds = SampleSeeds(0, "part", "a.png", index)
        mask = placed()[1]
        drawn = draw_region(mask, config=RegionConfig(), over_border=False, generator=seeds.generator("region"))
        assert drawn.box == box
