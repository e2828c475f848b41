"""The truthful mask, against backends that lie, add noise or do nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from fmas.config import RefineConfig
from fmas.refine import Refined, grey_level_change, refine
from fmas.samples import RejectReason

CONFIG = RefineConfig()


@pytest.fixture
def original():
    return np.clip(np.random.default_rng(1).normal(128, 8, (64, 64, 3)), 0, 255).astype(np.uint8)


@pytest.fixture
def region():
    mask = np.zeros((64, 64), dtype=bool)
    mask[16:48, 16:48] = True
    return mask


EVERYWHERE = np.ones((64, 64), dtype=bool)


def disc(radius=8):
    rows, columns = np.mgrid[:64, :64]
    return (rows - 32) ** 2 + (columns - 32) ** 2 <= radius**2


def painted(original, mask, amount):
    raw = original.astype(np.int16)
    raw[mask] += amount
    return np.clip(raw, 0, 255).astype(np.uint8)


def test_known_defect_is_found_exactly(original, region):
    result = refine(original, painted(original, disc(), -60), region, EVERYWHERE, CONFIG)
    assert isinstance(result, Refined)
    assert (result.mask == disc()).all()
    assert (result.noise_floor, result.high) == (4, 8)


def test_changes_outside_the_region_never_reach_the_composite(original, region):
    raw = painted(original, disc(), -60)
    raw = painted(raw, ~region, 100)
    result = refine(original, raw, region, EVERYWHERE, CONFIG)
    # What changes that much by itself outside is noise inside, too: nothing may be claimed.
    assert result is RejectReason.UNCHANGED


def test_noise_outside_sets_the_floor(original, region):
    noise = np.random.default_rng(0).integers(-12, 13, original.shape)
    raw = np.clip(painted(original, disc(), -80).astype(int) + noise, 0, 255).astype(np.uint8)
    result = refine(original, raw, region, EVERYWHERE, CONFIG)
    assert isinstance(result, Refined)
    assert result.noise_floor == 12
    assert result.high == 24
    overlap = (result.mask & disc()).sum() / (result.mask | disc()).sum()
    assert overlap > 0.97
    assert (result.image[~result.mask] == original[~result.mask]).all()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda original, _: np.zeros_like(original), RejectReason.BLACK),
        (lambda original, _: original.copy(), RejectReason.UNCHANGED),
        (lambda original, _: painted(original, disc(), 6), RejectReason.UNCHANGED),
        (lambda original, _: painted(original, disc(1) & (np.arange(64) > 31), 60), RejectReason.TOO_SMALL),
        (lambda original, _: painted(original, disc(), 255), RejectReason.SATURATED),
        (lambda original, _: painted(original, disc(), -255), RejectReason.SATURATED),
    ],
    ids=["black", "same", "invisible", "speck", "white", "clipped-black"],
)
def test_bad_outputs_are_rejected_with_their_reason(original, region, make, reason):
    assert refine(original, make(original, region), region, EVERYWHERE, CONFIG) is reason


def test_change_beside_the_product_is_off_object(original, region):
    foreground = np.zeros((64, 64), dtype=bool)
    foreground[:, :20] = True
    assert refine(original, painted(original, disc(), -60), region, foreground, CONFIG) is RejectReason.OFF_OBJECT


def test_black_photograph_may_stay_black(region):
    dark = np.zeros((64, 64, 3), np.uint8)
    assert refine(dark, dark.copy(), region, EVERYWHERE, CONFIG) is RejectReason.UNCHANGED


def test_untouched_pinholes_are_not_claimed(original, region):
    holed = disc(10) & ~disc(7)
    result = refine(original, painted(original, holed, -60), region, EVERYWHERE, CONFIG)
    assert isinstance(result, Refined)
    assert not result.mask[32, 32]


@settings(max_examples=120, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 30), st.floats(0, 120))
def test_whatever_comes_back_the_guarantees_hold(seed, noise, strength):
    generator = np.random.default_rng(seed)
    original = generator.integers(0, 256, (40, 48, 3), dtype=np.uint8)
    region = np.zeros((40, 48), dtype=bool)
    region[8:30, 10:40] = generator.random((22, 30)) > 0.1
    smooth = ndimage.gaussian_filter(generator.normal(0, 1, (40, 48)), 3)
    change = strength * smooth[..., None] / max(np.abs(smooth).max(), 1e-9)
    raw = original + change + generator.integers(-noise, noise + 1, original.shape)
    result = refine(original, np.clip(raw, 0, 255).astype(np.uint8), region, np.ones_like(region), CONFIG)
    if not isinstance(result, Refined):
        return
    changed = grey_level_change(original, result.image)
    assert result.mask.any()
    assert not (result.mask & ~region).any()
    assert (changed[~result.mask] == 0).all()
    assert (changed[result.mask] >= 1).mean() >= 0.9
    assert changed.max() >= 8
    labels, count = ndimage.label(result.mask, structure=np.ones((3, 3)))
    assert all(changed[labels == label].max() >= result.high for label in range(1, count + 1))


def test_speckle_is_no_defect(original, region):
    """Closing a loose pattern would claim mostly pixels that never changed."""
    lattice = np.zeros_like(region)
    lattice[16:48:2, 16:48:2] = True
    assert refine(original, painted(original, lattice, -60), region, EVERYWHERE, CONFIG) is RejectReason.UNTRUE_MASK


def test_gaps_of_a_pixel_are_closed(original, region):
    gapped = disc()
    gapped[32, 28:36:3] = False
    result = refine(original, painted(original, gapped, -60), region, EVERYWHERE, CONFIG)
    assert isinstance(result, Refined)
    assert (result.mask == disc()).all()
    assert (result.image[~gapped] == original[~gapped]).all()


@pytest.fixture
def flat():
    return np.full((64, 64, 3), 128, np.uint8)


def test_floor_is_the_99th_percentile_of_what_changes_outside(flat, region):
    """Five in a hundred noisy pixels outside are noise; five in a thousand are not."""
    outside = np.argwhere(~region)
    for share, floor in ((0.05, 20), (0.005, 4)):
        raw = painted(flat, disc(), -90)
        for row, column in outside[:: round(1 / share)]:
            raw[row, column] += 20
        result = refine(flat, raw, region, EVERYWHERE, CONFIG)
        assert isinstance(result, Refined)
        assert result.noise_floor == floor


def test_region_without_an_outside_takes_the_least_floor(flat):
    result = refine(flat, painted(flat, disc(), -60), EVERYWHERE, EVERYWHERE, CONFIG)
    assert isinstance(result, Refined)
    assert (result.noise_floor, result.high) == (4, 8)


@pytest.mark.parametrize(("amount", "accepted"), [(7, False), (8, True)])
def test_the_high_threshold_is_reached_at_its_value(flat, region, amount, accepted):
    assert isinstance(refine(flat, painted(flat, disc(), amount), region, EVERYWHERE, CONFIG), Refined) is accepted


@pytest.mark.parametrize(("pixels", "accepted"), [(5, False), (6, True)])
def test_the_least_area_is_enough(flat, region, pixels, accepted):
    line = np.zeros_like(region)
    line[32, 20 : 20 + pixels] = True
    result = refine(flat, painted(flat, line, 60), region, EVERYWHERE, RefineConfig(min_area=6))
    assert isinstance(result, Refined) if accepted else result is RejectReason.TOO_SMALL


def test_a_faint_cloud_of_its_own_is_no_part_of_the_mask(flat, region):
    raw = painted(flat, disc(5), -60)
    cloud = np.zeros_like(region)
    cloud[18:22, 18:24] = True
    result = refine(flat, painted(raw, cloud, 6), region, EVERYWHERE, CONFIG)
    assert isinstance(result, Refined)
    assert (result.mask == disc(5)).all()


def test_what_changed_faintly_inside_a_ring_is_no_component_of_its_own(flat, region):
    """Filling holes takes it in; every component must reach the high threshold itself."""
    ring = disc(12) & ~disc(8)
    result = refine(flat, painted(painted(flat, ring, -60), disc(3), 2), region, EVERYWHERE, CONFIG)
    assert isinstance(result, Refined)
    assert not result.mask[disc(3)].any()


def test_gaps_at_the_frame_of_the_crop_are_closed(flat):
    stripe = np.zeros((64, 64), dtype=bool)
    stripe[0:3, 10:40] = True
    gapped = stripe.copy()
    gapped[0, 25] = False
    result = refine(flat, painted(flat, gapped, -60), stripe, EVERYWHERE, CONFIG)
    assert isinstance(result, Refined)
    assert (result.mask == stripe).all()


@pytest.mark.parametrize(("level", "black"), [(0, True), (2, True), (3, False)])
def test_nearly_black_is_black(flat, region, level, black):
    """A JPEG in between turns a safety checker's black into 1 or 2."""
    reason = refine(flat, np.full_like(flat, level), region, EVERYWHERE, CONFIG)
    assert (reason is RejectReason.BLACK) is black


def test_what_was_burnt_out_before_may_stay_so(region):
    """A black spot that wanders over a black-and-white print: the original was clipped there already."""
    chess = np.full((64, 64, 3), 255, np.uint8)
    chess[(np.add.outer(np.arange(64), np.arange(64)) % 2) == 0] = 0
    raw = chess.copy()
    raw[disc()] = 255 - raw[disc()]
    assert isinstance(refine(chess, raw, region, EVERYWHERE, CONFIG), Refined)


@pytest.mark.parametrize(("share", "reason"), [(0.05, RejectReason.OFF_OBJECT), (0.2, None)])
def test_a_tenth_must_lie_on_the_product(flat, region, share, reason):
    spot = np.zeros_like(region)
    spot[20:40, 20:40] = True
    foreground = np.zeros_like(region)
    foreground[20:40, 20 : 20 + round(20 * share)] = True
    result = refine(flat, painted(flat, spot, -60), region, foreground, CONFIG)
    assert result is reason if reason else isinstance(result, Refined)
