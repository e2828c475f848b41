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
