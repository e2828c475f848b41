"""What the damage to a surface looks like: where the light falls, what is darker, what the background shows."""

import cv2
import numpy as np
import pytest
import skimage.data
from scipy.stats import spearmanr

from fmas.builtin.inpainter import BuiltinInpainter
from fmas.builtin.selector import BuiltinSelector
from fmas.config import RefineConfig
from fmas.refine import Refined, refine
from fmas.types import Defect, DefectKind, InpaintJob

SIDE = 128
DAMAGE = [
    DefectKind.SCRATCH,
    DefectKind.CRACK,
    DefectKind.DENT,
    DefectKind.HOLE,
    DefectKind.CHIP,
    DefectKind.BREAK,
]
SEEDS = range(8)


def sheet(*, level=130, noise=2.0, side=SIDE, falls_to="right"):
    """A plain grey sheet under light from one side, 60 grey levels brighter there, and its grain."""
    ramp = np.linspace(30, -30, side)
    light = {"right": ramp[None, :], "left": -ramp[None, :], "down": ramp[:, None], "up": -ramp[:, None]}[falls_to]
    grain = np.random.default_rng(0).normal(0, noise, (side, side))
    return np.clip(level + light + grain, 0, 255).astype(np.uint8)[..., None].repeat(3, axis=2)


def middle(image, share=0.6):
    region = np.zeros(image.shape[:2], bool)
    keep = [round(length * (1 - share) / 2) for length in image.shape[:2]]
    region[keep[0] : image.shape[0] - keep[0], keep[1] : image.shape[1] - keep[1]] = True
    return region


def paint(kind, image, *, seed, severity=1.0, region=None, foreground=None, name=None):
    region = middle(image) if region is None else region
    foreground = np.ones(image.shape[:2], bool) if foreground is None else foreground
    defect = Defect(name=name or kind.value, prompt="damage", kind=kind, severity=severity)
    (painted,) = BuiltinInpainter().inpaint([InpaintJob(image, region, foreground, defect, seed)])
    return painted


def difference(painted, image):
    return (painted.astype(int) - image).mean(axis=2)


def far_less_near(change, away):
    """How much brighter the half away from the light is than the half towards it, in grey levels."""
    rows, columns = np.nonzero(np.abs(change) >= 4)
    place = columns * away[0] + rows * away[1]
    far = place > (place.max() + place.min()) / 2
    values = change[rows, columns]
    return values[far].mean() - values[~far].mean()


@pytest.mark.parametrize(
    ("falls_to", "away"), [("right", (1, 0)), ("left", (-1, 0)), ("down", (0, 1)), ("up", (0, -1))]
)
@pytest.mark.parametrize(
    ("kind", "name"), [(DefectKind.DENT, "hail"), (DefectKind.DENT, "pressed in"), (DefectKind.HOLE, "blowhole")]
)
def test_a_hollow_is_lit_on_the_far_wall_and_shaded_on_the_near_one(falls_to, away, kind, name):
    image = sheet(falls_to=falls_to)
    shifts = [far_less_near(difference(paint(kind, image, seed=seed, name=name), image), away) for seed in SEEDS]
    assert np.median(shifts) > 0.5
    assert np.mean(np.array(shifts) > 0) >= 0.8


def test_a_bump_is_lit_the_other_way_round():
    image = sheet()
    shifts = [
        far_less_near(difference(paint(DefectKind.DENT, image, seed=s, name="bump"), image), (1, 0)) for s in SEEDS
    ]
    assert np.median(shifts) < -0.5


def test_a_gouge_has_a_flank_in_the_light_and_one_in_the_shade():
    image = sheet(noise=0.5)
    both = 0
    for seed in SEEDS:
        change = difference(paint(DefectKind.SCRATCH, image, seed=seed, name="gouge"), image)
        both += change.max() > 15 and change.min() < -15
    assert both >= 6


@pytest.mark.parametrize("level", [60, 130, 200])
def test_a_crack_is_darker_than_what_it_runs_through(level):
    image = sheet(level=level, noise=1.0)
    for seed in SEEDS:
        change = difference(paint(DefectKind.CRACK, image, seed=seed), image)
        strong = np.abs(change) > 0.5 * np.abs(change).max()
        assert change[strong].mean() < 0
        assert -change.min() > change.max()


def test_crazing_is_a_net_of_many_cracks():
    """It encloses cells: the sound surface falls into more pieces than one line could cut it into."""
    image = sheet(noise=0.5)
    cells = []
    for seed in SEEDS:
        painted = paint(DefectKind.CRACK, image, seed=seed, name="crazing", region=middle(image, 0.9))
        sound = (np.abs(difference(painted, image)) < 4).astype(np.uint8)

        count, _, stats, _ = cv2.connectedComponentsWithStats(sound, connectivity=4)
        cells.append(sum(stats[1:count, cv2.CC_STAT_AREA] >= 20))
    assert np.median(cells) >= 4


def test_a_hole_is_darker_in_its_middle_than_around_and_has_no_stripes_of_the_surface():
    image = sheet(noise=1.0)
    stripes = np.random.default_rng(3).normal(0, 12, (1, SIDE))
    image = np.clip(image + stripes[..., None], 0, 255).astype(np.uint8)
    for seed in SEEDS:
        painted = paint(DefectKind.HOLE, image, seed=seed, name="drilled")
        change = difference(painted, image)
        inside = change < 0.6 * change.min()
        if inside.sum() < 60:
            continue
        assert change[inside].mean() < -20
        rows, columns = np.nonzero(inside)
        inner = np.s_[int(np.quantile(rows, 0.3)) : int(np.quantile(rows, 0.7)) + 1]
        column_means = painted[inner, int(np.quantile(columns, 0.3)) : int(np.quantile(columns, 0.7)) + 1, 0]
        if column_means.shape[1] > 4:
            assert np.diff(column_means.mean(axis=0)).std() < 0.6 * np.diff(stripes).std()


@pytest.mark.parametrize("kind", [DefectKind.CHIP, DefectKind.BREAK])
def test_what_breaks_off_shows_more_background_the_more_severe_it_is(kind):
    image = sheet(level=140, noise=1.0)
    foreground = np.ones((SIDE, SIDE), bool)
    foreground[:, 70:] = False
    image[~foreground] = 15
    region = np.zeros((SIDE, SIDE), bool)
    region[30:100, 30:85] = True
    for seed in SEEDS:
        gone = []
        for severity in (0.0, 0.5, 1.0):
            painted = paint(kind, image, seed=seed, severity=severity, region=region, foreground=foreground)
            gone.append(int((foreground & (painted[..., 0] < 40)).sum()))
            assert np.abs(difference(painted, image))[:, 76:].max() <= 2
        assert gone[0] < gone[2]
        assert gone[0] <= gone[1] <= gone[2]


def test_a_narrow_product_is_bitten_on_one_side_only():
    image = sheet(level=140, noise=1.0)
    foreground = np.zeros((SIDE, SIDE), bool)
    foreground[:, 50:74] = True
    image[~foreground] = 15
    region = np.zeros((SIDE, SIDE), bool)
    region[24:104, 40:84] = True
    for seed in SEEDS:
        painted = paint(DefectKind.CHIP, image, seed=seed, region=region, foreground=foreground)
        gone = foreground & (painted[..., 0] < 40)
        assert not (gone[:, 50:53].any() and gone[:, 71:74].any())


@pytest.mark.parametrize("kind", [DefectKind.SCRATCH, DefectKind.DENT])
def test_the_texture_goes_on_through_what_does_not_remove_it(kind):
    """Across the stripes of a brushed sheet, a scratch or a dent is about as uneven as the sheet was."""
    image = sheet(noise=0.5)
    stripes = np.random.default_rng(3).normal(0, 10, (1, SIDE))
    image = np.clip(image + stripes[..., None], 0, 255).astype(np.uint8)
    before, after = [], []
    for seed in SEEDS:
        painted = paint(kind, image, seed=seed, severity=0.5)
        touched = (np.abs(difference(painted, image)) >= 4)[:, 1:]
        for picture, found in ((image, before), (painted, after)):
            found.append(np.abs(np.diff(picture[..., 0].astype(float), axis=1)[touched]))
    assert np.concatenate(after).mean() > 0.7 * np.concatenate(before).mean()


@pytest.mark.parametrize("kind", [DefectKind.HOLE, DefectKind.CHIP, DefectKind.BREAK])
def test_fresh_ground_has_the_photographs_grain(kind):
    image = sheet(noise=6.0)
    ratios = []
    for seed in SEEDS:
        painted = paint(kind, image, seed=seed, severity=0.8)
        inside = np.abs(difference(painted, image)) >= 12
        second = np.diff(painted[..., 0].astype(float), n=2, axis=1)
        both = inside[:, 2:] & inside[:, 1:-1] & inside[:, :-2]
        if both.sum() > 80:
            own = np.diff(image[..., 0].astype(float), n=2, axis=1)
            ratios.append(np.median(np.abs(second[both])) / np.median(np.abs(own)))
    assert 0.5 < np.median(ratios) < 1.5


@pytest.mark.parametrize("kind", DAMAGE)
def test_seeds_differ_in_size_by_far(kind):
    image = sheet()
    areas = [(np.abs(difference(paint(kind, image, seed=seed), image)) >= 4).sum() for seed in range(24)]
    assert np.quantile(areas, 0.9) > 2.5 * np.quantile(areas, 0.1)


def surfaces():
    yield "dark", sheet(level=45, noise=2.0)
    yield "bright", sheet(level=215, noise=2.0)
    yield "brick", np.repeat(skimage.data.brick()[200:328, 200:328, None], 3, axis=2)
    yield "gravel", np.repeat(skimage.data.gravel()[200:328, 200:328, None], 3, axis=2)
    yield "coloured", np.ascontiguousarray(skimage.data.astronaut()[300:428, 60:188])


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize(("name", "image"), list(surfaces()), ids=[name for name, _ in surfaces()])
def test_the_selector_ranks_severities_as_they_were_planned(kind, name, image):
    severities = np.linspace(0.1, 1.0, 7)
    for seed in range(3):
        scores, kept = [], []
        for severity in severities:
            region, whole = middle(image), np.ones(image.shape[:2], bool)
            painted = paint(kind, image, seed=seed, severity=float(severity))
            refined = refine(image, painted, region, whole, RefineConfig())
            if isinstance(refined, Refined):
                kept.append(severity)
                scores.append(round(BuiltinSelector().score(image, refined.image, refined.mask), 4))
        assert len(kept) >= 6
        assert spearmanr(kept, scores).statistic >= 0.9
