"""Which defect a pair gets and where it belongs, and what is said when there is no place for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fmas.config import RegionConfig
from fmas.errors import ImageError
from fmas.placement import Ground
from fmas.plan import StoredPlan
from fmas.region import RegionStage
from fmas.region_drawing import draw_region
from fmas.samples import Pair, Sample
from fmas.seeds import SampleSeeds
from fmas.sources import Source
from fmas.types import Defect, Fingerprint, Foreground
from fmas.user_masks import UserMasks

SQUARE = np.zeros((100, 100), dtype=bool)
SQUARE[20:80, 20:80] = True
FULL = np.ones((100, 100), dtype=bool)
MIDDLE = np.zeros((100, 100), dtype=bool)
MIDDLE[40:60, 40:60] = True


def plan_of(*defects):
    defects = [{"kind": one} if isinstance(one, str) else one for one in defects]
    named = [Defect(**{"name": f"d{number}", "prompt": "p"} | one) for number, one in enumerate(defects)]
    return StoredPlan("part", Fingerprint("fake", "1"), tuple(named))


def placed(
    *defects, index=0, mask=SQUARE, kind="object", relative="a.png", masks=None, given=None, run_seed=0, **config
):
    """Return one pair as the stage leaves it."""
    pair = Pair(index, index) if given is None else Pair(index, index, defect=given, defect_slug="given")
    sample = Sample(Source(0, Path(relative), relative), (pair,), foreground=Foreground(mask, kind, 1.0))
    stage = RegionStage(
        plan_of(*defects or ("crack",)), RegionConfig(**config), run_seed=run_seed, category="part", masks=masks
    )
    (pair,) = stage.process([sample])[0].pairs
    return pair


def spots(pair, mask=SQUARE):
    """Return the pixels of all placements."""
    painted = np.zeros_like(mask)
    for region in pair.placements:
        painted[region.box.slices] |= region.mask
    return painted


def touches_edge(pair, mask=SQUARE):
    edge = Ground(Foreground(mask, "object", 1.0)).edge.mask
    return all((edge[one.box.slices] & one.mask).any() for one in pair.placements)


def test_pairs_of_one_photograph_lie_in_different_places():
    assert placed(index=0).placements[0].box != placed(index=1).placements[0].box


def test_a_place_to_refill_gets_another_region():
    sample = Sample(Source(0, Path("a.png"), "a.png"), (), foreground=Foreground(SQUARE, "object", 1.0))
    stage = RegionStage(plan_of("crack"), RegionConfig(), run_seed=0, category="part")
    boxes = [
        stage.process([Sample(sample.source, (Pair(0, 0, generation),), foreground=sample.foreground)])[0]
        .pairs[0]
        .placements[0]
        .box
        for generation in (0, 1, 2)
    ]
    assert len(set(boxes)) == 3


def test_only_kinds_that_reach_the_edge_leave_the_foreground():
    def leaves(kind):
        return any((spots(placed(kind, index=index)) & ~SQUARE).any() for index in range(12))

    assert not leaves("crack")
    assert leaves("fray")


def test_defect_and_region_are_drawn_apart():
    """One generator for both would tie a kind of defect to a place."""
    for index in range(3):
        generator = SampleSeeds(0, "part", "a.png", index).generator("region")
        drawn = draw_region(
            Ground(Foreground(SQUARE, "object", 1.0)),
            config=RegionConfig(),
            place="anywhere",
            over_border=False,
            generator=generator,
        )
        assert drawn.box == placed("crack", "dent", index=index).placements[0].box


def test_stage_fingerprint_holds_plan_and_masks():
    def digest(name="crack", masks=None):
        stage = RegionStage(plan_of({"name": name}), RegionConfig(), run_seed=0, category="part", masks=masks)
        return stage.fingerprint().digest()

    others = {digest(), digest("dent"), digest(masks=UserMasks(MIDDLE, digests={"mask": "abc"}))}
    assert len(others) == 3


# Where a defect belongs


def test_a_defect_says_where_it_belongs():
    for index in range(10):
        edge = placed({"kind": "scratch", "placement": "edge"}, index=index)
        assert touches_edge(edge)
        assert not (spots(edge) & ~SQUARE).any()  # a scratch ends where the part does
        inside = placed({"kind": "scratch", "placement": "inside"}, index=index)
        assert not spots(inside)[:, :27].any()
        assert not touches_edge(inside)
        free = placed({"kind": "chip", "placement": "anywhere"}, index=index)
        assert not (spots(free) & ~SQUARE).any()


def test_the_run_says_where_the_others_belong():
    for index in range(10):
        assert touches_edge(placed("stain", index=index, placement="edge"))
        assert not touches_edge(placed("fray", index=index, placement="inside"))
        own = placed({"kind": "stain", "placement": "inside"}, index=index, placement="edge")
        assert not touches_edge(own)


def test_a_texture_has_no_edge_and_its_frame_is_none():
    """Regions at the edge of a texture lie anywhere: near the frame no more often than chance has it."""
    rows = [
        placed({"kind": "scratch", "placement": "edge"}, index=index, mask=FULL, kind="texture").placements[0].box.top
        for index in range(60)
    ]
    assert 25 < np.median(rows) < 60


@pytest.mark.parametrize(
    ("defects", "config", "chosen"),
    [
        (["fray", "crack"], {}, {"crack"}),
        (["fray", "chip"], {}, {"fray", "chip"}),  # nothing else there
        ([{"kind": "chip", "placement": "anywhere"}, "crack"], {}, {"chip", "crack"}),
        ([{"kind": "stain", "placement": "edge"}, "crack"], {}, {"crack"}),
        (["fray", "crack"], {"placement": "inside"}, {"fray", "crack"}),
        (["fray", "crack", "stain"], {"placement": "edge"}, {"crack", "stain"}),
    ],
)
def test_a_texture_leaves_out_what_needs_an_edge(defects, config, chosen):
    seen = {placed(*defects, index=index, mask=FULL, kind="texture", **config).defect.kind.value for index in range(40)}
    assert seen == chosen


def test_an_edge_that_the_user_excludes_is_as_none():
    masks = UserMasks(only=MIDDLE)
    assert {placed("fray", "crack", index=index, masks=masks).defect.kind.value for index in range(30)} == {"crack"}
    alone = placed("fray", masks=masks)
    assert alone.failure is None
    assert not (spots(alone) & ~MIDDLE).any()


def test_a_defect_given_before_is_kept():
    given = Defect(name="mine", prompt="p", kind="fray")
    pair = placed("crack", given=given, mask=FULL, kind="texture")
    assert (pair.defect, pair.defect_slug) == (given, "given")
    assert pair.placements


# No place


def why(*defects, **given):
    pair = placed(*defects, **given)
    assert pair.placements == ()
    assert (pair.failure.stage, pair.failure.reason) == ("region", "no_region")
    return pair.failure.message


def test_a_mask_outside_the_product_is_told():
    outside = np.zeros_like(SQUARE)
    outside[:10] = True
    message = why(masks=UserMasks(only=outside))
    assert "got its 1000 pixels all outside the product's 3600" in message
    assert "another --segmenter" in message


def test_masks_that_leave_nothing_are_told():
    assert "allow, got none on this photograph" in why(masks=UserMasks(only=MIDDLE, never=FULL))


def test_an_edge_asked_for_and_excluded_is_told():
    message = why({"kind": "stain", "placement": "edge"}, masks=UserMasks(only=MIDDLE))
    assert "expected a place at the product's edge, got none of it among the 400 pixels" in message
    rim = SQUARE.copy()
    rim[25:75, 25:75] = False
    message = why("stain", masks=UserMasks(only=rim), placement="inside", inside_margin=0.5)
    assert "expected a place inside the product, got none of it among the 1100 pixels" in message


def test_specks_are_told():
    specks = np.zeros((100, 100), dtype=bool)
    specks[::4, ::4] = True
    assert "expected 100 connected pixels to put a rectangle on" in why(mask=specks, min_overlap=1.0, redraws=3)


def test_a_mask_that_does_not_fit_fails_the_photograph():
    with pytest.raises(ImageError, match="of the photograph's size 100 x 100"):
        placed(masks=UserMasks(only=np.ones((50, 30), dtype=bool)))


def test_a_held_out_photograph_needs_no_place():
    sample = Sample(Source(0, Path("a.png"), "a.png"), (Pair(0, 0),), held_out=True)
    stage = RegionStage(
        plan_of("crack"), RegionConfig(), run_seed=0, category="part", masks=UserMasks(only=np.ones((5, 3), dtype=bool))
    )
    assert stage.process([sample]) == [sample]


@pytest.mark.parametrize("kind", ["stain", "discoloration", "fray"])
def test_what_spreads_may_cover_much_of_a_surface(kind):
    areas = [
        placed(kind, index=index, mask=FULL, kind="texture").placements[0].mask.sum() / FULL.size for index in range(40)
    ]
    assert max(areas) > 0.25
    assert min(areas) < 0.08


def test_what_does_not_spread_stays_small_and_so_does_a_fray_at_an_edge():
    crack = [
        placed("crack", index=index, mask=FULL, kind="texture").placements[0].mask.sum() / FULL.size
        for index in range(40)
    ]
    fray = [placed("fray", index=index).placements[0].mask.sum() / SQUARE.sum() for index in range(40)]
    assert max(crack) < 0.12
    assert max(fray) < 0.2
