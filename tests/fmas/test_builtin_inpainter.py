"""The built-in inpainter as the core sees it: contract, determinism, footprint, severity."""

import numpy as np
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import label
from scipy.stats import spearmanr
from skimage.draw import disk, line

from fmas.builtin.inpainter import BuiltinInpainter, create
from fmas.builtin.inpainter.registry import RENDERERS
from fmas.config import RefineConfig
from fmas.errors import ConfigError
from fmas.protocols import Inpainter
from fmas.refine import Refined, refine
from fmas.types import Defect, DefectKind, InpaintJob

KINDS = list(DefectKind)
SIDE = 160


def steel(height=SIDE, width=SIDE, *, seed=0):
    """A brushed grey plate: striations, grain and light that falls off to the right."""
    rng = np.random.default_rng(seed)
    stripes = rng.normal(0, 7, (1, width))
    grain = rng.normal(0, 4, (height, width))
    light = np.linspace(135, 95, width)[None, :]
    return np.clip(light + stripes + grain, 0, 255).astype(np.uint8)[..., None].repeat(3, axis=2)


def coloured():
    return np.ascontiguousarray(skimage.data.astronaut()[180 : 180 + SIDE, 100 : 100 + SIDE])


def box(top, left, height, width, *, shape=(SIDE, SIDE)):
    region = np.zeros(shape, bool)
    region[top : top + height, left : left + width] = True
    return region


def job(kind, *, image=None, region=None, foreground=None, severity=0.5, seed=1, name=None, prompt="damage"):
    image = steel() if image is None else image
    region = box(40, 40, 70, 80) if region is None else region
    foreground = np.ones(image.shape[:2], bool) if foreground is None else foreground
    defect = Defect(name=name or kind.value, prompt=prompt, kind=kind, severity=severity)
    return InpaintJob(image=image, region=region, foreground=foreground, defect=defect, seed=seed)


def paint(*args, **kwargs):
    (painted,) = BuiltinInpainter().inpaint([job(*args, **kwargs)])
    return painted


def change(painted, image):
    return np.abs(painted.astype(int) - image).max(axis=2)


def half_plate():
    """A plate that ends in the middle of the picture, on a dark uneven background, and its foreground."""
    image = steel()
    rng = np.random.default_rng(3)
    image[:, 90:] = rng.normal(20, 3, (SIDE, SIDE - 90, 1)).clip(0, 255).astype(np.uint8)
    foreground = np.zeros((SIDE, SIDE), bool)
    foreground[:, :90] = True
    return image, foreground


# --- contract


def test_is_an_inpainter_without_demands_on_the_crop():
    inpainter = create({})
    assert isinstance(inpainter, Inpainter)
    assert (inpainter.multiple, inpainter.working_size) == (1, None)


def test_every_kind_has_a_renderer():
    assert set(RENDERERS) == set(DefectKind)


def test_options_reach_the_fingerprint():
    assert create({"strength": 0.5}).fingerprint().config == {"strength": 0.5}
    assert create({"strength": 0.5}).fingerprint().digest() != create({}).fingerprint().digest()


@pytest.mark.parametrize("strength", [0, -1, 2.1, float("nan"), "loud"])
def test_refuses_a_strength_out_of_range(strength):
    with pytest.raises(ConfigError, match=r"inpainter\.strength"):
        create({"strength": strength})


def test_refuses_an_unknown_option_and_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'strength'"):
        create({"strenght": 1})


@pytest.mark.parametrize("kind", KINDS)
def test_size_dtype_and_input_untouched(kind):
    one = job(kind)
    before = one.image.copy()
    one.image.setflags(write=False)
    one.region.setflags(write=False)
    one.foreground.setflags(write=False)
    (painted,) = BuiltinInpainter().inpaint([one])
    assert painted.shape == before.shape
    assert painted.dtype == np.uint8
    assert not np.shares_memory(painted, one.image)
    np.testing.assert_array_equal(one.image, before)


def test_an_empty_batch_gives_nothing():
    assert BuiltinInpainter().inpaint([]) == []


# --- determinism


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_job_gives_the_same_pixels_alone_and_in_any_batch(kind):
    wanted = job(kind, seed=5)
    others = [job(other, seed=index, image=coloured()) for index, other in enumerate(KINDS)]
    (alone,) = BuiltinInpainter().inpaint([wanted])
    batch = BuiltinInpainter().inpaint([*others[:3], wanted, *others[3:], wanted])
    np.testing.assert_array_equal(alone, batch[3])
    np.testing.assert_array_equal(alone, batch[-1])


@pytest.mark.parametrize("kind", KINDS)
def test_another_seed_gives_another_defect(kind):
    assert not np.array_equal(paint(kind, seed=1), paint(kind, seed=2))


# --- footprint


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("severity", "lost"), [(0.1, 0.3), (0.6, 0.12), (1.0, 0.08)])
def test_the_core_accepts_the_footprint_and_finds_nearly_all_of_it(kind, severity, lost):
    """What the core's mask leaves out is a rim: little of the whole change, at most ``lost`` of it on average."""
    image, region = steel(), box(40, 40, 70, 80)
    left_out = []
    for seed in range(6):
        one = job(kind, severity=severity, seed=seed)
        painted = paint(kind, severity=severity, seed=seed)
        refined = refine(image, painted, region, one.foreground, RefineConfig())
        assert isinstance(refined, Refined)
        left_out.append(change(painted, refined.image).sum() / change(painted, image).sum())
        assert np.mean(change(refined.image, image)[refined.mask] >= 1) >= 0.9  # clean-up closes gaps of a pixel
        _, pieces = label(refined.mask, np.ones((3, 3)))
        assert pieces <= 25
    assert np.mean(left_out) <= lost


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.reaches_edge])
def test_no_change_is_cut_by_the_border_of_the_region(kind):
    region = box(30, 30, 90, 100)
    ring = region & ~box(31, 31, 88, 98)
    for seed in range(6):
        difference = change(paint(kind, region=region, severity=1.0, seed=seed), steel())
        assert difference[ring].mean() < 3
        assert difference[ring].mean() < 0.25 * difference.max()


@pytest.mark.parametrize("kind", KINDS)
def test_a_bent_region_is_respected(kind):
    region = np.zeros((SIDE, SIDE), bool)
    region[20:140, 30:44] = True
    region[126:140, 30:130] = True
    difference = change(paint(kind, region=region, severity=0.8), steel())
    assert not difference[~region].any()
    assert difference.max() >= 8


# --- severity


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("surface", ["steel", "coloured"])
def test_change_rises_with_severity(kind, surface):
    image = steel() if surface == "steel" else coloured()
    severities = np.linspace(0, 1, 6)
    region = box(40, 40, 70, 80)
    curve = np.zeros(6)
    for seed in range(5):
        amounts = [change(paint(kind, image=image, severity=s, seed=seed), image)[region].mean() for s in severities]
        assert spearmanr(severities, amounts).statistic >= 0.9
        curve += amounts
    assert (np.diff(curve) > 0).all()
    assert curve[-1] > 1.8 * curve[0]


@pytest.mark.parametrize("kind", KINDS)
def test_strength_multiplies_severity(kind):
    one = job(kind, severity=0.4)
    (weak,), (strong,) = (create({"strength": s}).inpaint([one]) for s in (0.3, 2.0))
    assert change(weak, one.image).sum() < change(strong, one.image).sum()
    (same,) = create({"strength": 2.0}).inpaint([job(kind, severity=0.4)])
    np.testing.assert_array_equal(same, paint(kind, severity=0.8))


@pytest.mark.parametrize("kind", KINDS)
def test_strongest_is_plain_and_weakest_is_faint(kind):
    peaks = {s: [change(paint(kind, severity=s, seed=seed), steel()).max() for seed in range(5)] for s in (0.1, 1.0)}
    assert np.median(peaks[1.0]) >= 30
    assert np.median(peaks[0.1]) <= 45


# --- grey and colour


@pytest.mark.parametrize("kind", KINDS)
def test_grey_stays_grey(kind):
    for severity in (0.1, 1.0):
        painted = paint(kind, severity=severity)
        assert (painted == painted[..., :1]).all()


def test_a_rust_stain_turns_a_coloured_photograph_red():
    image = coloured()
    painted = paint(DefectKind.STAIN, image=image, severity=1.0, name="rust stain")
    taken = image.astype(float) - painted
    where = (taken.max(axis=2) > 8) & (image.min(axis=2) > 60)
    relative = (taken / np.maximum(image, 1))[where].mean(axis=0)
    assert relative[0] < relative[1] < relative[2]


# --- difficult surfaces


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", [0, 3, 128, 252, 255])
def test_shows_on_flat_black_and_white(kind, level):
    image = np.full((64, 64, 3), level, np.uint8)
    region = box(16, 12, 30, 36, shape=(64, 64))
    difference = change(paint(kind, image=image, region=region, severity=0.3), image)
    assert difference.max() >= 8
    assert not difference[~region].any()


@pytest.mark.parametrize(("kind", "least"), [(DefectKind.CHIP, 8), (DefectKind.BREAK, 20)])
def test_material_taken_at_the_border_shows_the_background(kind, least):
    image, foreground = half_plate()
    region = box(40, 60, 70, 60)
    shown = 0
    for seed in range(6):
        painted = paint(kind, image=image, region=region, foreground=foreground, severity=1.0, seed=seed)
        gone = foreground & (painted.max(axis=2) < 40)
        shown += gone.sum() > least
        # The background itself stays.
        assert change(painted, image)[:, 94:].mean() < 0.5
    assert shown >= 4  # a shallow one may be fracture face all over


def test_frayed_threads_stand_out_over_the_background():
    image, foreground = half_plate()
    region = box(30, 50, 90, 90)
    painted = paint(DefectKind.FRAY, image=image, region=region, foreground=foreground, severity=1.0)
    assert (change(painted, image)[:, 94:] >= 30).sum() > 30


@pytest.mark.parametrize(
    ("words", "kind"), [("hair on lens", DefectKind.CONTAMINATION), ("long scratch", DefectKind.OTHER)]
)
def test_words_choose_what_is_painted(words, kind):
    """A thing that is long and thin covers little of the region, whatever the seed; a drop or a stain would fill it."""
    for seed in range(4):
        difference = change(paint(kind, name=words, severity=1.0, seed=seed), steel())
        assert 20 < (difference >= 8).sum() < 900


def test_other_follows_its_own_words():
    areas = {
        name: sum(
            int((change(paint(DefectKind.OTHER, severity=0.7, seed=seed, name=name), steel()) >= 8).sum())
            for seed in range(6)
        )
        for name in ("deep scratch", "deep stain")
    }
    assert areas["deep stain"] > 2.5 * areas["deep scratch"]


# --- any region at all


@st.composite
def regions(draw):
    height, width = draw(st.integers(16, 96)), draw(st.integers(16, 96))
    region = np.zeros((height, width), bool)
    row, column = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    form = draw(st.sampled_from(["box", "disc", "line", "dots"]))
    size = draw(st.integers(1, 60))
    if form == "box":
        region[row : row + size, column : column + draw(st.integers(1, 60))] = True
    elif form == "disc":
        region[disk((row, column), size / 2 + 0.6, shape=region.shape)] = True
    elif form == "line":
        region[line(row, column, draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1)))] = True
    else:
        region |= np.random.default_rng(size).random(region.shape) < 0.1
        region[row, column] = True
    foreground = np.ones_like(region)
    if draw(st.booleans()):
        foreground[:, draw(st.integers(1, width - 1)) :] = False
    if draw(st.booleans()):
        region &= foreground | (draw(st.booleans()))
    region[row, min(column, width - 1)] = True
    return region, foreground


@settings(max_examples=150, deadline=None)
@given(
    regions(),
    st.sampled_from(KINDS),
    st.floats(0, 1),
    st.integers(0, 2**53 - 1),
    st.tuples(st.sampled_from(["steel", "noise", "flat"]), st.sampled_from([0.2, 1.0, 2.0])),
)
def test_any_region_is_painted_visibly_and_only_there(shapes, kind, severity, seed, look):
    (region, foreground), (surface, strength) = shapes, look
    height, width = region.shape
    if surface == "steel":
        image = steel(height, width, seed=seed % 7)
    elif surface == "noise":
        image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    else:
        image = np.full((height, width, 3), seed % 256, np.uint8)
    before = image.copy()
    one = job(kind, image=image, region=region, foreground=foreground, severity=severity, seed=seed)
    (painted,) = create({"strength": strength}).inpaint([one])
    assert painted.shape == image.shape
    assert painted.dtype == np.uint8
    np.testing.assert_array_equal(image, before)
    difference = change(painted, image)
    assert not difference[~region].any()
    assert difference[region].max() >= 8


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(3, 90), (90, 3), (2, 2), (1, 1), (5, 7)])
def test_thin_and_tiny_regions_get_their_defect(kind, size):
    region = box(50, 50, *size)
    for seed in range(3):
        difference = change(paint(kind, region=region, severity=0.4, seed=seed), steel())
        assert difference.max() >= 8
        assert not difference[~region].any()


def test_large_pictures_get_larger_features():
    """The same scratch on a picture four times as large is thicker."""
    widths = []
    for side in (128, 1024):
        image = np.full((side, side, 3), 120, np.uint8)
        region = box(side // 8, side // 8, side // 2, side // 2, shape=(side, side))
        areas = [
            (change(paint(DefectKind.SCRATCH, image=image, region=region, severity=1.0, seed=seed), image) >= 8).sum()
            for seed in range(6)
        ]
        widths.append(np.mean(areas) / side)
    assert widths[1] > 2 * widths[0]
