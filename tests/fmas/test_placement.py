"""Where a defect may be: the product's pixels, its edge and its inside, within what the user allows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fmas.placement import Ground, Pixels
from fmas.types import Foreground


def part(side=60, margin=10):
    mask = np.zeros((side, side), dtype=bool)
    mask[margin : side - margin, margin : side - margin] = True
    return mask


def ground(mask, allowed=None, kind="object"):
    return Ground(Foreground(mask, kind, 1.0), allowed)


masks = arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))).filter(lambda mask: mask.any())


@given(masks)
def test_extent_is_the_bounding_box(mask):
    rows, columns = np.nonzero(mask)
    box = Pixels(mask).extent
    assert (box.left, box.top, box.right, box.bottom) == (
        columns.min(),
        rows.min(),
        columns.max() + 1,
        rows.max() + 1,
    )


@settings(max_examples=60)
@given(masks, st.integers(0, 2**32))
def test_a_pixel_is_drawn_as_from_the_list_of_all(mask, seed):
    """The same one, so that seeds keep their meaning."""
    expected = np.argwhere(mask)[np.random.default_rng(seed).integers(mask.sum())]
    assert Pixels(mask).draw(np.random.default_rng(seed)) == tuple(expected)
    assert Pixels(mask).count == mask.sum()


def test_every_pixel_is_equally_likely():
    mask = np.zeros((9, 9), dtype=bool)
    mask[0, :8] = mask[8, 0] = True
    generator, pixels = np.random.default_rng(0), Pixels(mask)
    alone = sum(pixels.draw(generator) == (8, 0) for _ in range(900))
    assert 70 < alone < 130  # by row it would be 450


def test_the_frame_is_no_edge():
    """A part that touches the frame has its edge where it meets the background, not where the picture ends."""
    mask = np.zeros((60, 60), dtype=bool)
    mask[:, :30] = True
    assert set(np.argwhere(ground(mask).edge.mask)[:, 1]) == {29}


def test_holes_have_edges():
    mask = part()
    mask[25:35, 25:35] = False
    assert ground(mask).edge.mask[24, 30]
    assert not ground(part()).edge.mask[24, 30]


@pytest.mark.parametrize("kind", ["object", "texture"])
def test_a_texture_has_no_edge_and_is_all_inside(kind):
    mask = np.ones((40, 40), dtype=bool)
    texture = ground(mask, kind=kind)
    assert not texture.has_edge
    assert texture.inside(0.5).count == mask.sum()


def test_a_texture_has_no_edge_even_where_its_mask_has():
    assert not ground(part(), kind="texture").has_edge
    assert ground(part(), kind="texture").inside(0.9).count == part().sum()


def test_inside_keeps_a_share_of_the_depth():
    inside = ground(part(61, 10)).inside(0.5).mask  # 41 pixels across: 21 deep in the middle
    rows = np.flatnonzero(inside.any(axis=1))
    assert (rows[0] - 10, 50 - rows[-1]) == (10, 10)


def test_a_large_part_has_the_same_inside_as_a_small_one():
    """Large photographs are measured on a coarse grid."""
    small = ground(part(300, 50)).inside(0.25).mask
    large = ground(part(1500, 250)).inside(0.25).mask
    repeated = small.repeat(5, axis=0).repeat(5, axis=1)
    assert np.count_nonzero(large ^ repeated) < 0.05 * np.count_nonzero(repeated)
    assert not (large & ~part(1500, 250)).any()


def test_the_frame_is_no_edge_to_keep_away_from():
    mask = np.zeros((60, 60), dtype=bool)
    mask[:, :30] = True
    inside = ground(mask).inside(0.25).mask
    assert inside[0, 0]
    assert not inside[30, 29]


def test_limits_cut_everything():
    allowed = np.zeros((60, 60), dtype=bool)
    allowed[:12] = True
    limited = ground(part(), allowed)
    assert limited.anywhere.count == 2 * 40
    assert set(np.argwhere(limited.edge.mask)[:, 0]) == {10, 11}
    assert limited.inside(0.5).count == 0
    assert limited.product_area == 40 * 40
    assert limited.whole_edge.sum() == 4 * 39


def test_places_have_names():
    one = ground(part())
    assert one.pixels("anywhere", 0.25) is one.anywhere
    assert one.pixels("edge", 0.25) is one.edge
    assert one.pixels("inside", 0.25) is one.inside(0.25)
