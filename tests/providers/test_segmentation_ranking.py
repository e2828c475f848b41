from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fmas_providers.segmentation.prompts import centre_and_border
from fmas_providers.segmentation.ranking import Proposal, RankingOptions, choose_foreground, scored

SHAPE = (60, 80)
OPTIONS = RankingOptions()


def box(top, bottom, left, right):
    mask = np.zeros(SHAPE, bool)
    mask[top:bottom, left:right] = True
    return mask


PART = box(15, 45, 25, 55)


def choose(*proposals):
    return choose_foreground(proposals, SHAPE, OPTIONS)


def test_the_background_is_not_taken_although_it_is_larger_and_rated_higher():
    found = choose(Proposal(~PART, 0.99), Proposal(PART, 0.9))
    assert found.kind == "object"
    assert (found.mask == PART).all()


def test_the_central_one_of_two_equal_parts_wins():
    corner = box(0, 14, 0, 20)
    assert (choose(Proposal(corner, 0.9), Proposal(PART, 0.9)).mask == PART).all()


def test_quality_decides_between_nested_masks():
    inner = box(25, 35, 35, 45)
    assert (choose(Proposal(inner, 0.5), Proposal(PART, 0.9)).mask == PART).all()
    assert (choose(Proposal(inner, 0.9), Proposal(PART, 0.9, stability=0.5)).mask == inner).all()


def test_several_parts_are_taken_together():
    left, right = box(20, 40, 10, 30), box(20, 40, 50, 70)
    assert (choose(Proposal(left, 0.9), Proposal(right, 0.88)).mask == (left | right)).all()
    assert (choose(Proposal(left, 0.9), Proposal(right, 0.4)).mask == left).all()


def test_a_ring_around_the_part_is_no_second_part():
    ring = box(4, 56, 4, 76) & ~box(10, 50, 15, 65)
    assert (choose(Proposal(PART, 0.9), Proposal(ring, 0.9)).mask == PART).all()


@pytest.mark.parametrize(
    "proposals",
    [
        [],
        [Proposal(np.ones(SHAPE, bool), 1.0)],
        [Proposal(box(28, 30, 38, 40), 1.0)],
        [Proposal(PART, 0.1)],
        [Proposal(~PART, 1.0)],
    ],
)
def test_without_a_believable_product_the_picture_is_a_texture(proposals):
    found = choose(*proposals)
    assert found.kind == "texture"
    assert found.mask.all()
    assert found.confidence >= 0.7


def test_small_holes_are_filled_and_large_ones_stay():
    small, large = PART.copy(), PART.copy()
    small[30:32, 40:42] = False
    large[25:35, 35:45] = False
    assert (choose(Proposal(small, 0.9)).mask == PART).all()
    assert (choose(Proposal(large, 0.9)).mask == large).all()


@given(
    st.floats(-1, 2), st.floats(-1, 2), st.integers(0, 40), st.integers(1, 60), st.integers(0, 60), st.integers(1, 80)
)
def test_scores_and_foregrounds_keep_their_bounds(iou, stability, top, height, left, width):
    proposal = Proposal(box(top, top + height, left, left + width), iou, stability)
    assert 0.0 <= scored(proposal, OPTIONS) <= 1.0
    found = choose(proposal)
    assert found.mask.any()
    assert found.mask.shape == SHAPE
    assert 0.0 <= found.confidence <= 1.0


def test_wrong_bounds():
    with pytest.raises(ValidationError, match="expected min_area below max_area"):
        RankingOptions(min_area=0.5, max_area=0.4)


def test_points_lie_in_the_picture():
    points, labels = centre_and_border(30, 50, border=True)
    assert labels.tolist() == [1, 0, 0, 0, 0]
    assert points[0].tolist() == [25.0, 15.0]
    assert ((points >= 0) & (points <= (49, 29))).all()
    assert len(centre_and_border(30, 50, border=False)[0]) == 1
