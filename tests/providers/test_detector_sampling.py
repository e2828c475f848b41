"""Crops and changes: twins stay twins, masks stay truthful, and a step alone decides what it holds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("wdam")

from fmas.types import NormalSyntheticMask  # noqa: E402
from fmas_providers.detectors.options import UNetOptions  # noqa: E402
from fmas_providers.detectors.scoring.views import resized  # noqa: E402
from fmas_providers.detectors.unet.changes import Change, KeptPairs  # noqa: E402
from fmas_providers.detectors.unet.pictures import WholeSampler, chosen_pairs  # noqa: E402
from fmas_providers.detectors.unet.sampling import CropSampler, Variety  # noqa: E402
from fmas_providers.detectors.unet.view import sees_whole, squeezed_pair  # noqa: E402

SIZES = [(70, 90), (40, 50), (100, 64), (64, 64)]


def pair(number: int, *, thin: bool = False) -> NormalSyntheticMask:
    rng = np.random.default_rng(number)
    height, width = SIZES[number % len(SIZES)]
    normal = rng.integers(60, 190, (height, width, 3), dtype=np.uint8)
    mask = np.zeros((height, width), np.bool_)
    if thin:
        mask[5 : height - 5, width // 2] = True
    else:
        top, left = rng.integers(0, (height - 12, width - 12))
        mask[top : top + 12, left : left + 9] = True
    synthetic = normal.copy()
    synthetic[mask] = 5 if number % 2 else 250
    return NormalSyntheticMask(normal, synthetic, mask)


def pairs(count: int = 6) -> list[NormalSyntheticMask]:
    return [pair(number) for number in range(count)]


Drawn = CropSampler | WholeSampler


def sampler(
    given_pairs: Sequence[NormalSyntheticMask] | None = None,
    *,
    whole: bool = False,
    variety: Variety | None = None,
    **options: object,
) -> Drawn:
    wanted = UNetOptions.model_validate({"crop": 48, "batch_size": 6} | options)
    some = pairs() if given_pairs is None else given_pairs
    return WholeSampler(some, wanted) if whole else CropSampler(some, wanted, variety=variety)


@pytest.mark.parametrize("whole", [False, True])
def test_shapes_types_and_range(whole: bool) -> None:
    batch = sampler(whole=whole)(0)
    assert batch.pictures.shape == (6, 3, 48, 48)
    assert batch.masks.shape == (6, 48, 48)
    assert batch.pictures.dtype == batch.masks.dtype == torch.float32
    assert bool(torch.isfinite(batch.pictures).all())
    assert float(batch.pictures.abs().max()) < 4
    assert set(batch.masks.unique().tolist()) == {0.0, 1.0}


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**32), step=st.integers(0, 10_000), whole=st.booleans())
def test_outside_the_mask_twins_are_equal_to_the_last_bit(seed: int, step: int, whole: bool) -> None:
    # No blur: it carries a defect beyond its mask, as a lens does.
    batch = sampler(whole=whole, seed=seed, variety=Variety(moved=0.5, further=0.5, noise=5.0, blur=0.0))(step)
    defective, good = batch.pictures[:3], batch.pictures[3:]
    outside = (batch.masks[:3] == 0)[:, None].expand_as(defective)
    assert torch.equal(defective[outside], good[outside])
    assert not bool(batch.masks[3:].any())
    assert not torch.equal(defective, good)


@pytest.mark.parametrize("whole", [False, True])
def test_seed_and_step_alone_decide(whole: bool) -> None:
    first, second = sampler(whole=whole), sampler(whole=whole)
    expected = [first(step) for step in range(4)]
    for step in (3, 0, 2):  # in another order, and without what came before
        batch = second(step)
        assert torch.equal(batch.pictures, expected[step].pictures)
        assert torch.equal(batch.masks, expected[step].masks)
    assert not torch.equal(sampler(whole=whole, seed=1)(0).pictures, expected[0].pictures)
    assert not torch.equal(expected[0].pictures, expected[1].pictures)


def test_every_pair_comes_once_before_any_comes_again() -> None:
    order = [index for step in range(14) for index in chosen_pairs(step, count=7, each=2, seed=0)]
    assert [sorted(order[start : start + 7]) for start in range(0, 28, 7)] == [list(range(7))] * 4
    assert order[:7] != order[7:14]


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**16), whole=st.booleans())
def test_every_crop_of_a_small_photograph_shows_a_defect(seed: int, whole: bool) -> None:
    batch = sampler(seed=seed, whole=whole)(0)
    assert bool(batch.masks[:3].flatten(1).any(dim=1).all())


def test_a_pair_comes_back_as_it_was() -> None:
    for number in range(4):
        given_pair = pair(number)
        normal, change = KeptPairs([given_pair])[0]
        restored, mask = change.laid_onto(normal.astype(np.float32), np.eye(2, 3), strength=1.0)
        np.testing.assert_array_equal(mask, given_pair.mask)
        np.testing.assert_allclose(restored, given_pair.synthetic, atol=1e-3)


@settings(deadline=None, max_examples=30)
@given(
    strength=st.floats(0.1, 5),
    scale=st.floats(0.5, 2),
    angle=st.floats(-3, 3),
    shift=st.tuples(st.floats(-80, 80), st.floats(-80, 80)),
    number=st.integers(0, 3),
)
def test_a_change_stays_within_its_mask_and_the_grey_levels(
    strength: float, scale: float, angle: float, shift: tuple[float, float], number: int
) -> None:
    _, change = KeptPairs([pair(number)])[0]
    onto = np.random.default_rng(9).uniform(0, 255, (60, 50, 3)).astype(np.float32)
    before = onto.copy()
    turned = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    result, mask = change.laid_onto(onto, np.column_stack([turned, shift]), strength=strength)
    np.testing.assert_array_equal(onto, before)
    np.testing.assert_array_equal(result[~mask], onto[~mask])
    assert 0 <= result.min() <= result.max() <= 255.001
    moved = (result - onto)[mask]
    assert (moved >= 0).all() if number % 2 == 0 else (moved <= 0).all()


@pytest.mark.parametrize("scale", [0.7, 1.0, 1.4])
def test_a_hairline_is_not_lost(scale: float) -> None:
    given_pair = pair(3, thin=True)
    _, change = KeptPairs([given_pair])[0]
    onto = np.full((120, 120, 3), 128, np.float32)
    for offset in np.linspace(0, 1, 7):
        result, mask = change.laid_onto(onto, np.array([[scale, 0, 10 + offset], [0, scale, 5]]), strength=1.0)
        rows = np.flatnonzero(mask.any(axis=1))
        assert len(rows) >= scale * (given_pair.mask.sum() - 2)
        assert (np.diff(rows) == 1).all()
        assert (128 - result[mask].min()) > 30


@pytest.mark.parametrize("most_bytes", [0, 30_000, 2**30])
def test_memory_is_limited_and_changes_nothing(most_bytes: int) -> None:
    reads: list[int] = []

    class Counting(list[NormalSyntheticMask]):
        def __getitem__(self, index: int) -> NormalSyntheticMask:  # type: ignore[override]
            reads.append(index)
            return super().__getitem__(index)

    given_pairs = pairs()
    kept = KeptPairs(Counting(given_pairs), most_bytes=most_bytes)
    for _ in range(2):
        for index, expected in enumerate(given_pairs):
            normal, change = kept[index]
            np.testing.assert_array_equal(normal, expected.normal)
            np.testing.assert_array_equal(kept.normal(index), expected.normal)
            assert change.values[..., 3].sum() == expected.mask.sum()
    if most_bytes == 2**30:
        assert reads == list(range(6))
    else:
        assert len(reads) > 12


def test_equal_photographs_are_kept_once() -> None:
    one = pair(0)
    copies = [NormalSyntheticMask(one.normal.copy(), one.synthetic, one.mask) for _ in range(3)]
    kept = KeptPairs(copies)
    assert kept[0][0] is kept[1][0] is kept[2][0] is kept.normal(1)


def test_an_empty_mask_is_no_defect() -> None:
    normal = pair(0).normal
    nothing = NormalSyntheticMask(normal, normal.copy(), np.zeros(normal.shape[:2], np.bool_))
    batch = sampler([nothing])(0)
    assert not bool(batch.masks.any())
    assert torch.equal(batch.pictures[:3], batch.pictures[3:])


def test_a_change_darkens_the_dark_and_the_bright_alike() -> None:
    black = np.zeros((4, 4, 3), np.uint8)
    change = Change.between(0, 0, (black + 200, black + 100, np.ones((4, 4), np.bool_)))
    for level in (40.0, 220.0):
        result, mask = change.laid_onto(np.full((4, 4, 3), level, np.float32), np.eye(2, 3), strength=1.0)
        assert mask.all()
        np.testing.assert_allclose(result, level / 2, rtol=1e-5)


@pytest.mark.parametrize(
    ("view", "shape", "expected"),
    [("auto", (330, 300), True), ("auto", (641, 20), False), ("whole", (3000, 4000), True), ("crops", (20, 20), False)],
)
def test_what_is_seen_whole(view: str, shape: tuple[int, int], expected: bool) -> None:
    assert sees_whole(view, 256, [(10, 10), (*shape, 3)]) is expected  # type: ignore[arg-type]


@pytest.mark.parametrize("side", [16, 32, 100])
def test_a_squeezed_pair_is_the_same_pair(side: int) -> None:
    given_pair = pair(1)
    small = squeezed_pair(given_pair, side)
    np.testing.assert_array_equal(small.synthetic[~small.mask], small.normal[~small.mask])
    assert small.normal.shape == small.synthetic.shape == (side, side, 3)
    np.testing.assert_array_equal(small.normal, resized(given_pair.normal, side))
    back = resized(np.repeat(small.mask[..., None], 3, axis=2).astype(np.uint8) * np.uint8(255), 90)[..., 0] > 127
    there = resized(np.repeat(given_pair.mask[..., None], 3, axis=2).astype(np.uint8) * np.uint8(255), 90)[..., 0] > 127
    assert (back & there).sum() / (back | there).sum() > 0.4
    assert squeezed_pair(pair(3, thin=True), 32).mask.any(axis=1).sum() > 20


def test_blur_and_noise_are_the_same_for_both_twins() -> None:
    normal = pair(0).normal
    nothing = NormalSyntheticMask(normal, normal.copy(), np.zeros(normal.shape[:2], np.bool_))
    plain, altered = (
        sampler([nothing], batch_size=32, variety=Variety(noise=noise, blur=noise / 5))(3) for noise in (0.0, 10.0)
    )
    assert torch.equal(altered.pictures[:16], altered.pictures[16:])
    assert not torch.equal(plain.pictures, altered.pictures)


@pytest.mark.parametrize("whole", [False, True])
def test_the_traces_of_a_negative_control_are_shown_and_are_no_defect(whole: bool) -> None:
    normal = np.full((60, 60, 3), 100, np.uint8)
    control = NormalSyntheticMask(normal, normal + 40, np.zeros((60, 60), np.bool_))
    batch = sampler([control], whole=whole, variety=Variety(noise=0.0, blur=0.0))(0)
    half = len(batch.pictures) // 2
    assert not batch.masks.any()
    gaps = (batch.pictures[:half] - batch.pictures[half:]).flatten(1).mean(dim=1)
    assert bool((gaps > 0.4).all()), "40 grey levels are 0.5 to 0.78 in what the network reads"
