"""What stains, dirt, discolorations, frays, misprints, bends and missing parts do to a surface, kind by kind."""

from itertools import pairwise

import cv2
import numpy as np
import pytest
import skimage.data
from scipy.ndimage import gaussian_filter, label
from scipy.stats import spearmanr

from fmas.builtin.inpainter import BuiltinInpainter
from fmas.builtin.inpainter.kinds.other import WORDS
from fmas.builtin.inpainter.registry import RENDERERS
from fmas.builtin.inpainter.words import mentioned
from fmas.builtin.selector import BuiltinSelector
from fmas.config import RefineConfig
from fmas.refine import Refined, refine
from fmas.types import Defect, DefectKind, InpaintJob

SIDE = 128
KINDS = (
    DefectKind.STAIN,
    DefectKind.CONTAMINATION,
    DefectKind.DISCOLORATION,
    DefectKind.FRAY,
    DefectKind.MISPRINT,
    DefectKind.BEND,
    DefectKind.MISSING,
    DefectKind.OTHER,
)
REGION = np.zeros((SIDE, SIDE), bool)
REGION[28:92, 32:100] = True


def grey(level, *, noise=3.0):
    picture = gaussian_filter(np.random.default_rng(0).normal(0, 2.5 * noise, (SIDE, SIDE)), 0.7) + level
    return np.clip(picture, 0, 255).astype(np.uint8)[..., None].repeat(3, axis=2)


def brushed(level=120):
    rng = np.random.default_rng(0)
    lines = gaussian_filter(rng.normal(0, 14, (1, SIDE)), (0, 0.8)) + rng.normal(0, 2, (SIDE, SIDE))
    return np.clip(level + lines, 0, 255).astype(np.uint8)[..., None].repeat(3, axis=2)


def photograph(name):
    image = np.atleast_3d(getattr(skimage.data, name)())[60 : 60 + SIDE, 120 : 120 + SIDE]
    return np.ascontiguousarray(np.broadcast_to(image, (SIDE, SIDE, 3)))


SURFACES = {
    "plain": grey(120),
    "brushed": brushed(),
    "black": grey(12, noise=1.0),
    "white": grey(243, noise=1.0),
    "brick": photograph("brick"),
    "grass": photograph("grass"),
    "gravel": photograph("gravel"),
    "coffee": photograph("coffee"),
    "astronaut": photograph("astronaut"),
}


def paint(image, kind, *, name=None, severity=0.8, seed=0, region=REGION, foreground=None):
    foreground = np.ones(image.shape[:2], bool) if foreground is None else foreground
    defect = Defect(name=name or kind.value, prompt=name or kind.value, kind=kind, severity=severity)
    (painted,) = BuiltinInpainter().inpaint([InpaintJob(image, region, foreground, defect, seed)])
    return painted


def judged(image, painted, region=REGION):
    return refine(image, painted, region, np.ones(image.shape[:2], bool), RefineConfig())


def change(image, painted):
    return painted.astype(int).mean(axis=2) - image.mean(axis=2)


# --- strength


@pytest.mark.parametrize("kind", KINDS)
def test_the_selectors_score_rises_with_severity_on_every_surface(kind):
    severities, selector, agreement = np.linspace(0.1, 1, 10), BuiltinSelector(), []
    for seed, name in enumerate(("plain", "brushed", "black", "white", "gravel", "coffee")):
        image, scores = SURFACES[name], []
        for severity in severities:
            refined = judged(image, paint(image, kind, severity=severity, seed=seed))
            if isinstance(refined, Refined):
                scores.append((severity, selector.score(image, refined.image, refined.mask)))
        assert len(scores) >= 8
        agreement.append(spearmanr(*zip(*scores, strict=True)).statistic)
    assert np.mean(agreement) >= 0.9
    assert min(agreement) >= 0.6


@pytest.mark.parametrize("kind", KINDS)
def test_the_weakest_is_faint_and_mostly_accepted(kind):
    accepted, peaks = [], []
    for image in SURFACES.values():
        for seed in range(4):
            painted = paint(image, kind, severity=0.0, seed=seed)
            accepted.append(isinstance(judged(image, painted), Refined))
            peaks.append(np.abs(painted.astype(int) - image).max())
    assert np.mean(accepted) >= 0.9
    assert np.median(peaks) <= 30


@pytest.mark.parametrize("kind", KINDS)
def test_seeds_differ_in_size_and_place(kind):
    image = SURFACES["plain"]
    masks = [np.abs(change(image, paint(image, kind, seed=seed))) > 5 for seed in range(10)]
    areas = np.array([mask.sum() for mask in masks])
    assert areas.max() > 1.8 * areas.min()
    overlap = [(a & b).sum() / (a | b).sum() for a, b in pairwise(masks)]
    assert np.mean(overlap) < 0.6


@pytest.mark.parametrize(
    "kind", [DefectKind.STAIN, DefectKind.CONTAMINATION, DefectKind.DISCOLORATION, DefectKind.FRAY, DefectKind.OTHER]
)
def test_both_lighter_and_darker_ones_occur_on_a_middle_grey(kind):
    image = grey(100)
    means = []
    for seed in range(24):
        delta = change(image, paint(image, kind, seed=seed))
        means.append(delta[np.abs(delta) > 5].mean())
    assert (np.array(means) < 0).any()
    assert (np.array(means) > 0).any()


@pytest.mark.parametrize("kind", KINDS)
def test_no_step_at_the_border_of_the_region(kind):
    """What is painted has ended before the region does, whatever its outline."""
    image = SURFACES["plain"]
    inner = cv2.erode(REGION.astype(np.uint8), np.ones((3, 3))) > 0
    for seed in range(8):
        ring = np.abs(change(image, paint(image, kind, severity=1.0, seed=seed)))[REGION & ~inner]
        assert np.mean(ring > 6) < 0.03


# --- stains


def test_a_stain_multiplies_so_that_the_texture_goes_on():
    image = brushed()
    for name in ("oil stain", "water stain", "coffee stain"):
        painted = paint(image, DefectKind.STAIN, name=name, seed=1)
        inside = np.abs(change(image, painted)) > 10
        assert inside.sum() > 150
        before, after = (
            picture[..., 0].astype(float) - gaussian_filter(picture[..., 0].astype(float), 4)
            for picture in (image, painted)
        )
        core = cv2.erode(inside.astype(np.uint8), np.ones((7, 7))) > 0
        assert np.corrcoef(before[core], after[core])[0, 1] > 0.75


def test_a_dried_stain_is_darkest_near_its_edge():
    image, darker = grey(150), []
    for seed in range(8):
        delta = -change(image, paint(image, DefectKind.STAIN, name="water stain", severity=0.6, seed=seed))
        inside = (gaussian_filter(delta, 1.0) > 6).astype(np.uint8)
        depth = cv2.distanceTransform(inside, cv2.DIST_L2, 5)
        rim, core = (depth > 1.5) & (depth < 5), depth > 0.6 * depth.max()
        darker.append(delta[rim].mean() / delta[core].mean())
    assert np.median(darker) > 1.02


def test_oil_has_a_softer_edge_than_ink():
    image = grey(150)

    def steepness(name):
        values = []
        for seed in range(6):
            painted = paint(image, DefectKind.STAIN, name=name, severity=0.5, seed=seed)
            delta = gaussian_filter(change(image, painted), 0.7)
            gy, gx = np.gradient(delta)
            values.append(np.percentile(np.hypot(gx, gy)[np.abs(delta) > 4], 95) / np.abs(delta).max())
        return np.mean(values)

    assert steepness("ink splash") > 1.5 * steepness("oil stain")


def test_rust_grows_in_colonies():
    image = grey(150)
    textures = {}
    for name in ("rust", "water stain"):
        spread = []
        for seed in range(5):
            delta = change(image, paint(image, DefectKind.STAIN, name=name, severity=1.0, seed=seed))
            core = cv2.erode((np.abs(delta) > 8).astype(np.uint8), np.ones((5, 5))) > 0
            spread.append(delta[core].std() / np.abs(delta[core]).mean())
        textures[name] = np.mean(spread)
    assert textures["rust"] > 1.3 * textures["water stain"]


def test_a_leak_runs_downwards():
    image = grey(150)
    for seed in range(4):
        rows, _ = np.nonzero(np.abs(change(image, paint(image, DefectKind.STAIN, name="leak", seed=seed))) > 8)
        assert np.ptp(rows) > 0.3 * 64
        # Narrow wherever it is looked at.
        assert np.median(np.bincount(rows)[rows.min() : rows.max()]) < 0.6 * np.ptp(rows)


@pytest.mark.parametrize("name", ["lime residue", "salt stain"])
def test_lime_and_salt_are_pale(name):
    image = grey(90)
    delta = change(image, paint(image, DefectKind.STAIN, name=name))
    assert delta[np.abs(delta) > 6].mean() > 8


# --- contamination


@pytest.mark.parametrize("name", ["fibre", "swarf", "dust", "flake", "lint"])
def test_what_lies_on_a_surface_throws_a_shadow_away_from_the_light(name):
    """On a plain surface lit from the upper left, the darkest ring of the change lies to the lower right."""
    image, sideways = grey(130), []
    for seed in range(10):
        delta = change(image, paint(image, DefectKind.CONTAMINATION, name=name, severity=0.9, seed=seed))
        light, dark = delta > 12, delta < -5
        if light.sum() < 8 or dark.sum() < 8:  # a dark thing: its shadow cannot be told from it
            continue
        offset = np.argwhere(dark).mean(axis=0) - np.argwhere(light).mean(axis=0)
        sideways.append(offset @ np.array([0.8, 0.6]))
    assert len(sideways) >= 2
    assert np.median(sideways) > 0.2


def test_a_drop_shows_the_surface_through_and_a_glint():
    image = photograph("brick")
    painted = paint(image, DefectKind.CONTAMINATION, name="drop", severity=0.9, seed=2)
    delta = change(image, painted)
    assert delta.max() > 40
    inside = np.abs(delta) > 6
    assert np.corrcoef(image[inside, 0], painted[inside, 0])[0, 1] > 0.2


def test_dust_is_many_and_a_fibre_is_one():
    image = grey(130)
    pieces = {}
    for name in ("dust", "drop", "flake"):
        counts = [
            label(np.abs(change(image, paint(image, DefectKind.CONTAMINATION, name=name, seed=seed))) > 10)[1]
            for seed in range(8)
        ]
        pieces[name] = np.mean(counts)
    assert pieces["dust"] > 2 * pieces["flake"]


# --- discoloration


def test_a_discoloration_has_no_rim_and_a_softer_border_than_a_stain():
    image = grey(150)

    def steepness(kind, name):
        values = []
        for seed in range(8):
            delta = gaussian_filter(change(image, paint(image, kind, name=name, severity=1.0, seed=seed)), 1.0)
            gy, gx = np.gradient(delta)
            values.append(np.percentile(np.hypot(gx, gy)[np.abs(delta) > 4], 95) / np.abs(delta).max())
        return np.mean(values)

    assert steepness(DefectKind.STAIN, "water stain") > 1.3 * steepness(DefectKind.DISCOLORATION, "scorched")


def test_uneven_grinding_changes_the_lines_of_a_brushed_surface():
    image, ratios = brushed(), []
    for seed in range(8):
        painted = paint(image, DefectKind.DISCOLORATION, name="uneven grinding", severity=1.0, seed=seed)
        core = cv2.erode((np.abs(change(image, painted)) > 8).astype(np.uint8), np.ones((5, 5))) > 0
        if core.sum() < 200:
            continue
        before, after = (
            np.abs(cv2.Sobel(picture[..., 0].astype(np.float32), -1, 1, 0))[core].mean() for picture in (image, painted)
        )
        ratios.append(after / before)
    assert len(ratios) >= 4
    assert max(ratios) > 1.25
    assert np.ptp(ratios) > 0.3


def test_hues_drift_in_a_coloured_photograph():
    image = photograph("coffee")
    shifts = []
    for seed in range(6):
        painted = paint(image, DefectKind.DISCOLORATION, severity=1.0, seed=seed)
        where = np.abs(change(image, painted)) > 8
        before, after = (picture[where].astype(float) + 5 for picture in (image, painted))
        ratio = after / before
        shifts.append(np.ptp(ratio.mean(axis=0)))
    assert np.median(shifts) > 0.05


# --- fray


def test_wear_takes_the_lines_and_leaves_something_matt():
    image, left = brushed(), []
    for seed in range(10):
        painted = paint(image, DefectKind.FRAY, name="wear", severity=1.0, seed=seed)
        core = cv2.erode((np.abs(change(image, painted)) > 8).astype(np.uint8), np.ones((9, 9))) > 0
        if core.sum() < 150:
            continue
        before, after = (picture[..., 0].astype(np.float32) for picture in (image, painted))
        gx, gy = (np.abs(cv2.Sobel(after, -1, *order))[core].mean() for order in ((1, 0), (0, 1)))
        bx, by = (np.abs(cv2.Sobel(before, -1, *order))[core].mean() for order in ((1, 0), (0, 1)))
        left.append((gx / gy) / (bx / by))
    assert np.median(left) < 0.85


def test_pulled_threads_are_drawn_for_woven_words_alone():
    image = grey(120)
    thin = {}
    for name in ("pulled thread", "wear"):
        shares = []
        for seed in range(6):
            mask = np.abs(change(image, paint(image, DefectKind.FRAY, name=name, severity=1.0, seed=seed))) > 10
            opened = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5)))
            shares.append(1 - opened.sum() / mask.sum())
        thin[name] = np.mean(shares)
    assert thin["pulled thread"] > thin["wear"] + 0.1


# --- misprint, bend, missing


def printed():
    image = np.full((SIDE, SIDE, 3), 225, np.uint8)
    for row in range(24, 110, 20):
        cv2.putText(image, "LOT 4711", (10, row), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (30, 30, 30), 2, cv2.LINE_AA)
    return image


def test_a_misprint_of_print_doubles_it_or_leaves_ink_out():
    image, kinds = printed(), set()
    for seed in range(14):
        delta = change(image, paint(image, DefectKind.MISPRINT, severity=1.0, seed=seed))
        dark = image[..., 0] < 80
        if delta[dark].max() > 60:
            kinds.add("ink out")
        if delta[~dark & REGION].min() < -40:
            kinds.add("ink where none belongs")
    assert kinds == {"ink out", "ink where none belongs"}


def test_a_bend_moves_the_outline_and_stays_within_its_region():
    image = grey(150)
    image[:, 66:] = 20
    foreground = np.zeros((SIDE, SIDE), bool)
    foreground[:, :66] = True
    moved = 0
    for seed in range(6):
        painted = paint(image, DefectKind.BEND, severity=1.0, seed=seed, foreground=foreground)
        outlines = (painted[..., 0] > 90).sum(axis=1)
        moved += int(np.abs(outlines - 66)[REGION.any(axis=1)].max() >= 2)
        assert (outlines[:24] == 66).all()
    assert moved >= 4


def test_a_fold_has_a_lit_and_a_shaded_side():
    image = grey(130)
    for seed in range(5):
        delta = gaussian_filter(change(image, paint(image, DefectKind.BEND, severity=1.0, seed=seed)), 1.0)
        assert delta.max() > 8
        assert delta.min() < -8


def test_a_seat_is_shaded_towards_the_light_and_smooth():
    image, seen = brushed(), 0
    for seed in range(8):
        painted = paint(image, DefectKind.MISSING, severity=1.0, seed=seed)
        refined = judged(image, painted)
        assert isinstance(refined, Refined)
        core = cv2.erode(refined.mask.astype(np.uint8), np.ones((9, 9))) > 0
        if core.sum() < 100:
            continue
        rows, columns = np.nonzero(core)
        towards = (columns - columns.mean()) * -0.6 + (rows - rows.mean()) * -0.8
        values = painted[rows, columns, 0].astype(float)
        seen += np.corrcoef(towards, values)[0, 1] < -0.1  # the upper left, nearest the light, lies in its own shadow
    assert seen >= 4


def test_an_opening_shows_the_background_where_the_window_knows_it():
    image = grey(150)
    image[:, 90:] = 18
    foreground = np.zeros((SIDE, SIDE), bool)
    foreground[:, :90] = True
    region = REGION & foreground
    darkest = []
    for seed in range(10):
        painted = paint(image, DefectKind.MISSING, severity=1.0, seed=seed, region=region, foreground=foreground)
        darkest.append(np.percentile(painted[region][:, 0], 2))
    assert min(darkest) < 25
    assert max(darkest) > 25


# --- other


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("pinhole", DefectKind.HOLE),
        ("deep scratch", DefectKind.SCRATCH),
        ("rusty area", DefectKind.STAIN),
        ("missing screw", DefectKind.MISSING),
        ("crease", DefectKind.BEND),
        ("tarnish", DefectKind.DISCOLORATION),
        ("blurred label", DefectKind.MISPRINT),
        ("loose yarn", DefectKind.FRAY),
    ],
)
def test_other_paints_the_kind_its_words_name(words, kind):
    defect = Defect(name=words, prompt="something wrong", kind=DefectKind.OTHER)
    assert mentioned(defect, WORDS) is RENDERERS[kind]


def test_what_the_product_is_made_of_names_no_defect():
    vocabulary = {"glass": "flake", "dust": "dust"}
    bottle = Defect(name="dirt", prompt="photo of a glass bottle with specks of dust", kind=DefectKind.CONTAMINATION)
    assert mentioned(bottle, vocabulary) == "dust"
    assert mentioned(Defect(name="x", prompt="glass fragment"), vocabulary) == "flake"
