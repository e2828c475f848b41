"""What is held out, how it is measured, and by what a training is known again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

pytest.importorskip("torch")
pytest.importorskip("safetensors")

from fmas.types import NormalSyntheticMask
from fmas_providers.detectors.scoring.options import ScoringOptions
from fmas_providers.detectors.scoring.scorer import MapScorer
from fmas_providers.detectors.training.measures import average_precision, ranking
from fmas_providers.detectors.training.pairs import identity_of, split_by_photograph, spread
from fmas_providers.detectors.unet.anomalies import LazyPairs, held_out_from, learnt_from
from fmas_providers.detectors.unet.held_out import HeldOut


def pair(photograph: int, *, defect: bool = True, height: int = 40, width: int = 50) -> NormalSyntheticMask:
    normal = np.full((height, width, 3), photograph, np.uint8)
    synthetic, mask = normal.copy(), np.zeros((height, width), np.bool_)
    if defect:
        mask[4:9, 30:38] = True
        synthetic[mask] = 255
    return NormalSyntheticMask(normal, synthetic, mask)


def bright(pictures: np.ndarray) -> np.ndarray:
    return np.asarray(pictures[:, 0] > 1.9, np.float32)  # 255 is 1.98


def scorer() -> MapScorer:
    return MapScorer(bright, ScoringOptions(gate=False), multiple=4)


labels_and_scores = st.integers(2, 30).flatmap(
    lambda count: st.tuples(
        arrays(np.float64, count, elements=st.integers(-4, 4).map(float)),
        arrays(np.bool_, count),
    )
)


@given(labels_and_scores)
def test_ranking_is_the_share_of_pairs_in_order(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    scores, defective = drawn
    if len(set(defective.tolist())) < 2:
        return
    bad, good = scores[defective][:, None], scores[~defective][None]
    assert ranking(scores, defective) == pytest.approx(np.mean((bad > good) + 0.5 * (bad == good)))


@given(labels_and_scores)
def test_average_precision_by_its_definition(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    scores, defective = drawn
    if not defective.any():
        return
    expected, before = 0.0, 0.0
    for threshold in sorted(set(scores.tolist()), reverse=True):
        taken = scores >= threshold
        recall = np.mean(taken[defective])
        expected += (recall - before) * np.mean(defective[taken])
        before = recall
    assert average_precision(scores.astype(np.float32), defective) == pytest.approx(expected)


@given(count=st.integers(0, 200), most=st.integers(1, 50))
def test_spread_is_even(count: int, most: int) -> None:
    chosen = spread(count, most)
    assert len(chosen) == min(count, most)
    assert chosen[:1] == [0][:count]
    assert all(0 <= index < count for index in chosen)
    gaps = np.diff([*chosen, count]) if chosen else np.zeros(1)
    assert gaps.max() - gaps.min() <= 1 or count <= most


@given(photographs=st.lists(st.integers(0, 9), min_size=1, max_size=25), seed=st.integers(0, 5))
def test_no_photograph_is_on_both_sides(photographs: list[int], seed: int) -> None:
    pairs = [pair(number, height=2, width=2, defect=False) for number in photographs]
    learnt, held_out = split_by_photograph(pairs, seed=seed)
    sides = [{int(one.normal[0, 0, 0]) for one in some} for some in (learnt, held_out)]
    assert not sides[0] & sides[1]
    assert sides[0] | sides[1] == set(photographs)
    assert len(learnt) + len(held_out) == len(pairs)
    assert learnt
    assert bool(held_out) == (len(set(photographs)) > 1)


def test_the_share_that_is_held_out() -> None:
    learnt, held_out = split_by_photograph([pair(number) for number in range(40)], fraction=0.25)
    assert (len(learnt), len(held_out)) == (30, 10)
    again = split_by_photograph([pair(number) for number in range(40)], fraction=0.25)[1]
    other = split_by_photograph([pair(number) for number in range(40)], fraction=0.25, seed=1)[1]
    numbers = [[int(one.normal[0, 0, 0]) for one in some] for some in (held_out, again, other)]
    assert numbers[0] == numbers[1] != numbers[2]


def test_a_training_is_known_by_options_and_pictures() -> None:
    pairs = [pair(number) for number in range(3)]
    one = identity_of({"seed": 0}, pairs[:2], pairs[2:])
    assert one == identity_of({"seed": 0}, [pair(0), pair(1)], (pair(2),))
    others = {
        identity_of({"seed": 1}, pairs[:2], pairs[2:]),
        identity_of({"seed": 0}, pairs, []),
        identity_of({"seed": 0}, pairs[1::-1], pairs[2:]),
        identity_of({"seed": 0}, [pair(0), pair(7)], pairs[2:]),
        identity_of({"seed": 0}, [pair(0), pair(1, defect=False)], pairs[2:]),
    }
    assert len(others | {one}) == 6


def test_held_out_pairs_are_measured() -> None:
    held_out = HeldOut([pair(number) for number in range(4)], side=32, seed=0)
    assert held_out.tells
    found = held_out.measure(scorer())
    assert found.measures == {"image_auroc": 1.0, "pixel_average_precision": 1.0}
    assert found.score == 1.0
    blind = held_out.measure(MapScorer(lambda one: 0 * one[:, 0], ScoringOptions(gate=False), multiple=4))
    assert blind.measures["image_auroc"] == 0.5
    assert 0.0 < blind.measures["pixel_average_precision"] < 0.1
    assert blind.score == pytest.approx(sum(blind.measures.values()) / 2)


def test_false_alarms_on_good_parts_and_controls_count() -> None:
    pairs = [pair(0), pair(1), pair(255), pair(3, defect=False)]  # the third good part is as bright as a defect
    found = HeldOut(pairs, side=32, seed=0).measure(scorer())
    # 3 defective; 5 good ones, the bright one of which ties with them.
    assert found.measures["image_auroc"] == pytest.approx(4.5 / 5)
    assert found.measures["pixel_average_precision"] < 0.9


def test_without_a_defect_there_is_nothing_to_tell() -> None:
    assert not HeldOut([pair(0, defect=False)], side=32, seed=0).tells
    assert not HeldOut([], side=32, seed=0).tells


def test_large_pictures_are_seen_through_windows() -> None:
    large = pair(0, height=300, width=500)
    held_out = HeldOut([large], side=32, seed=0)
    assert held_out.measure(scorer()).score == 1.0
    seen: list[tuple[int, ...]] = []

    def watch(pictures: np.ndarray) -> np.ndarray:
        seen.append(pictures.shape)
        return bright(pictures)

    held_out.measure(MapScorer(watch, ScoringOptions(gate=False), multiple=4))
    assert seen == [(2, 3, 32, 32)]


def test_lazy_pairs_behave_like_a_list() -> None:
    asked: list[int] = []

    def make(index: int) -> NormalSyntheticMask:
        asked.append(index)
        return pair(index)

    lazy = LazyPairs(5, make)
    assert len(lazy) == 5
    assert [int(one.normal[0, 0, 0]) for one in lazy] == [0, 1, 2, 3, 4]
    assert int(lazy[-1].normal[0, 0, 0]) == 4
    part = lazy[3:0:-2]
    asked.clear()
    assert [int(one.normal[0, 0, 0]) for one in part] == [3, 1]
    assert asked == [3, 1]
    with pytest.raises(IndexError):
        lazy[5]


def scarred(one: NormalSyntheticMask) -> bool:
    """Say whether nothing of the synthetic picture is in it, and the scar is where the mask says."""
    return bool(one.mask.any()) and bool((one.synthetic[~one.mask] == one.normal[~one.mask]).all())


def textured(seed: int) -> NormalSyntheticMask:
    normal = np.random.default_rng(seed).integers(0, 256, (40, 50, 3), np.uint8)
    mask = np.zeros(normal.shape[:2], np.bool_)
    mask[0, 0] = True
    return NormalSyntheticMask(normal, np.zeros_like(normal), mask)  # of no good: it differs outside its mask as well


@pytest.mark.parametrize("source", [learnt_from, held_out_from])
def test_scars_are_made_of_good_photographs(source: Any) -> None:
    pairs = [textured(seed) for seed in range(3)]
    assert source(pairs, "fmas", seed=0) is pairs
    scars, again, other = (source(pairs, "scars", seed=seed) for seed in (0, 0, 1))
    assert len(scars) % len(pairs) == 0
    for index in range(len(scars)):
        assert scarred(scars[index])
        assert np.array_equal(scars[index].normal, pairs[index % 3].normal)
        assert np.array_equal(scars[index].synthetic, again[index].synthetic)
        assert not np.array_equal(scars[index].synthetic, other[index].synthetic)
    both = source(pairs, "both", seed=0)
    kinds = [scarred(one) for one in both]
    assert kinds.count(True) == kinds.count(False) == len(scars)
    assert {one.normal.tobytes() for one in both} == {one.normal.tobytes() for one in pairs}


def test_held_out_scars_are_others_than_those_learnt_from() -> None:
    pairs = [textured(0)]
    learnt = {one.synthetic.tobytes() for one in learnt_from(pairs, "scars", seed=0)}
    assert len(learnt) == 16  # never the same twice
    (unseen,) = held_out_from(pairs, "scars", seed=0)
    assert unseen.synthetic.tobytes() not in learnt
