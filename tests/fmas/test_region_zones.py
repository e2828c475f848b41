"""A zone is all of the place beyond one line; the painter ends what it paints there along that line alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmas.builtin.inpainter.component import BuiltinInpainter
from fmas.config import RegionConfig
from fmas.placement import Ground
from fmas.plan import StoredPlan
from fmas.region import RegionStage
from fmas.region_zones import ZONE, draw_zone
from fmas.samples import Pair, Sample
from fmas.sources import Source
from fmas.types import Defect, DefectKind, Fingerprint, Foreground, InpaintJob

FULL = np.ones((120, 200), dtype=bool)


def zone_of(mask, seed=0, allowed=None, **config):
    ground = Ground(Foreground(mask, "object", 1.0), allowed)
    region = draw_zone(ground, config=RegionConfig(**config), generator=np.random.default_rng(seed))
    if region is None:
        return None
    assert region.shape == ZONE
    assert region.mask.any(axis=0).all()
    assert region.mask.any(axis=1).all()  # the box is no larger than it must be
    full = np.zeros_like(mask)
    full[region.box.slices] = region.mask
    return full


def sides_reached(zone, mask=FULL):
    """Return whether the zone holds all of the top, bottom, left and right side."""
    ends = (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1])
    return [bool(zone[end].all()) for end in ends]


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.floats(0.05, 0.5))
def test_a_zone_takes_an_end_of_the_product_and_as_much_as_was_asked(seed, share):
    zone = zone_of(FULL, seed, spread_area=(share, share))
    assert zone.mean() == pytest.approx(share, rel=0.1)
    # Beyond one line: no row and no column enters it twice.
    assert (np.abs(np.diff(zone.astype(int), axis=0)).sum(axis=0) <= 1).all()
    assert (np.abs(np.diff(zone.astype(int), axis=1)).sum(axis=1) <= 1).all()
    if share > 0.25:  # a tilted line leaves a corner of a narrow one
        assert any(sides_reached(zone))


@given(st.integers(0, 2**32))
def test_what_the_user_forbids_stays_free(seed):
    allowed = np.zeros_like(FULL)
    allowed[20:90, 10:150] = True
    zone = zone_of(FULL, seed, allowed=allowed)
    assert zone is not None
    assert not (zone & ~allowed).any()
    assert zone.sum() < 0.6 * allowed.sum()  # a zone of what is allowed, not all of it


def test_every_end_has_its_turn():
    reached = np.array([sides_reached(zone_of(FULL, seed, spread_area=(0.3, 0.4))) for seed in range(60)])
    assert (reached.sum(axis=0) >= 5).all()


@pytest.mark.parametrize("config", [{"max_pixels": 500}, {"min_pixels": 20_000}])
def test_no_zone_where_none_would_fit(config):
    assert zone_of(FULL, **config) is None


def test_a_zone_on_a_product_far_smaller_than_the_photograph():
    mask = np.zeros((2000, 2000), dtype=bool)
    mask[1000, 3:1200] = True
    zone = zone_of(mask, spread_area=(0.3, 0.3))
    assert zone.sum() == pytest.approx(0.3 * mask.sum(), rel=0.02)
    assert not (zone & ~mask).any()


def placed(kind, **config):
    plan = StoredPlan("part", Fingerprint("fake", "1"), (Defect(name="d", prompt="p", kind=kind),))
    stage = RegionStage(plan, RegionConfig(placements=10, **config), run_seed=0, category="part")
    sample = Sample(Source(0, Path("a.png"), "a.png"), (Pair(0, 0),), foreground=Foreground(FULL, "object", 1.0))
    (pair,) = stage.process([sample])[0].pairs
    return [region.shape for region in pair.placements]


def test_discolorations_come_in_zones_as_often_as_asked_and_nothing_else_does():
    assert set(placed("discoloration", zones=1.0)) == {ZONE}
    assert set(placed("discoloration", zones=0.0)) == {"rectangle"}
    assert set(placed("discoloration", zones=0.5)) == {ZONE, "rectangle"}
    assert set(placed("discoloration")) == {"rectangle"}
    assert set(placed("discoloration", zones=1.0, placement="inside")) == {"rectangle"}
    for kind in ("stain", "fray", "scratch", "other"):
        assert set(placed(kind, zones=1.0)) == {"rectangle"}


@pytest.mark.parametrize("name", ["uneven grinding", "faded", "polished"])
def test_what_is_painted_into_a_zone_reaches_the_product_s_ends_and_stops_at_the_front_only(name):
    rng = np.random.default_rng(3)
    image = np.clip(rng.normal(120, 6, (120, 200, 1)), 0, 255).astype(np.uint8).repeat(3, axis=2)
    region = np.zeros_like(FULL)
    region[70:] = True
    defect = Defect(name=name, prompt="p", kind=DefectKind.DISCOLORATION, severity=1.0)
    reached = []
    for seed in range(6):
        (painted,) = BuiltinInpainter().inpaint([InpaintJob(image, region, FULL, defect, seed)])
        changed = (np.abs(painted.astype(int) - image).max(axis=2) > 0) & region
        assert not (painted != image)[:70].any()
        size = np.abs(painted.astype(int) - image)
        assert size[70:72].mean() < 0.35 * size[-8:].mean()  # no straight end along the region
        reached.append([changed[-8:, :8].mean(), changed[-8:, -8:].mean(), changed[-8:].mean()])
    assert np.median(reached, axis=0).min() > 0.8


def test_a_patch_on_a_perforated_plate_is_no_zone():
    plate = np.ones((240, 320), dtype=bool)
    plate[::8, ::8] = plate[1::8, ::8] = plate[::8, 1::8] = plate[1::8, 1::8] = False
    image = np.where(plate[..., None], 130, 20).astype(np.uint8).repeat(3, axis=2)
    box = np.zeros_like(plate)
    box[60:180, 80:240] = True
    region = box & plate
    defect = Defect(name="faded", prompt="p", kind=DefectKind.DISCOLORATION, severity=1.0)
    for seed in range(4):
        (painted,) = BuiltinInpainter().inpaint([InpaintJob(image, region, plate, defect, seed)])
        changed = (painted != image).any(axis=2)
        corners = [changed[60:72, 80:96], changed[60:72, 224:240], changed[168:180, 80:96], changed[168:180, 224:240]]
        assert changed.any()
        assert sum(corner.any() for corner in corners) <= 1  # a blob in the box, not the box
