from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fmas.builtin.selector import BuiltinSelector, SelectorOptions, create
from fmas.errors import ConfigError, ImageError
from fmas.protocols import Component, Selector

RGB = NDArray[np.uint8]
Mask = NDArray[np.bool_]


def _surface(name: str) -> RGB:
    from skimage import data

    if name in ("brick", "grass", "gravel"):
        return np.repeat(getattr(data, name)()[100:260, 100:260, None], 3, axis=2)
    rng = np.random.default_rng(4)
    colour = {"grey": (120, 120, 120), "colour": (170, 90, 60)}[name]
    return np.clip(np.asarray(colour) + rng.normal(0, 5, (160, 160, 1)), 0, 255).astype(np.uint8)


def _box_mask(shape: tuple[int, int], top: int, left: int, bottom: int, right: int) -> Mask:
    mask = np.zeros(shape, bool)
    mask[top:bottom, left:right] = True
    return mask


def _defect(kind: str, image: RGB, mask: Mask) -> NDArray[np.float64]:
    """Return the full-strength defect as a field to blend in, (H, W, 3)."""
    height, width = mask.shape
    y, x = np.mgrid[:height, :width].astype(float)
    if kind == "scratch":
        profile = np.exp(-(((y - x) / 1.5) ** 2)) - 0.7 * np.exp(-(((y - x - 3) / 1.5) ** 2))
        change = 110 * profile[..., None]
    elif kind == "stain":
        change = image * (np.array([-0.35, -0.45, -0.6]) * np.exp(-((x - 80) ** 2 + (y - 80) ** 2) / 900)[..., None])
    elif kind == "hole":
        change = np.where(np.hypot(x - 80, y - 80) < 18, -0.85, 0)[..., None] * image
    elif kind == "blur":
        change = cv2.GaussianBlur(image, (0, 0), 4).astype(float) - image
    else:
        change = np.random.default_rng(1).normal(0, 40, (height, width, 1)) + np.zeros(3)
    return np.where(mask[..., None], change, 0.0)


def _blend(image: RGB, defect: NDArray[np.float64], strength: float) -> RGB:
    return np.clip(np.rint(image + strength * defect), 0, 255).astype(np.uint8)


SURFACES = ("grey", "colour", "brick", "grass", "gravel")
KINDS = ("scratch", "stain", "hole", "blur", "noise")


@pytest.mark.parametrize("surface", SURFACES)
def test_the_same_picture_scores_exactly_zero(surface: str) -> None:
    image = _surface(surface)
    assert BuiltinSelector().score(image, image.copy(), _box_mask(image.shape[:2], 20, 30, 140, 150)) == 0.0


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_score_grows_with_the_strength(surface: str, kind: str) -> None:
    image = _surface(surface)
    mask = _box_mask(image.shape[:2], 40, 40, 120, 120)
    defect = _defect(kind, image, mask)
    strengths = (0.0, 0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 1.0)
    scores = [BuiltinSelector().score(image, _blend(image, defect, strength), mask) for strength in strengths]
    assert all(b > a for a, b in pairwise(scores)), scores
    assert scores[-1] < 1.0


@pytest.mark.parametrize("surface", SURFACES)
def test_a_faint_stain_and_a_hole_score_what_the_docstring_says(surface: str) -> None:
    image = _surface(surface)
    mask = np.hypot(*(np.mgrid[:160, :160] - 80)) < 18
    hole = BuiltinSelector().score(image, _blend(image, _defect("hole", image, mask), 1.0), mask)
    stain = BuiltinSelector().score(image, _blend(image, _defect("stain", image, mask), 0.15), mask)
    assert stain == pytest.approx(0.07, abs=0.015)
    assert hole == pytest.approx(0.5, abs=0.06)


def test_structure_alone_sees_a_change_that_colour_alone_hardly_does() -> None:
    image = _surface("gravel")
    mask = _box_mask(image.shape[:2], 40, 40, 120, 120)
    shuffled = image.copy()
    shuffled[40:120, 40:120] = image[40:120, 40:120][::-1, ::-1]
    structure = BuiltinSelector(SelectorOptions(structure_weight=1.0))
    brighter = _blend(image, np.where(mask[..., None], 12.0, 0.0), 1.0)
    assert structure.score(image, shuffled, mask) > 10 * structure.score(image, brighter, mask)


@pytest.mark.parametrize("surface", ["grey", "brick"])
def test_nothing_far_outside_the_mask_s_box_matters(surface: str) -> None:
    image = _surface(surface)
    mask = _box_mask(image.shape[:2], 50, 60, 90, 120)
    candidate = _blend(image, _defect("scratch", image, _box_mask(image.shape[:2], 0, 0, 160, 160)), 1.0)
    before = BuiltinSelector().score(image, candidate, mask)
    elsewhere = candidate.copy()
    near = _box_mask(image.shape[:2], 50 - 8, 60 - 8, 90 + 8, 120 + 8)
    elsewhere[~near] = 255 - elsewhere[~near]
    assert before > 0
    assert BuiltinSelector().score(image, elsewhere, mask) == before


def test_inside_the_box_the_mask_weighs() -> None:
    image = _surface("grey")
    ring = _box_mask(image.shape[:2], 40, 40, 120, 120)
    ring[50:110, 50:110] = False
    candidate = image.copy()
    candidate[70:90, 70:90] = 255
    full = _box_mask(image.shape[:2], 40, 40, 120, 120)
    assert BuiltinSelector().score(image, candidate, ring) < 0.5 * BuiltinSelector().score(image, candidate, full)


@pytest.mark.parametrize(
    "box",
    [(0, 0, 1, 1), (80, 80, 81, 81), (159, 159, 160, 160), (10, 0, 11, 160), (0, 70, 160, 71), (0, 0, 160, 160)],
    ids=["corner pixel", "one pixel", "last pixel", "row", "column", "everything"],
)
@pytest.mark.parametrize("surface", ["grey", "colour", "grass"])
def test_tiny_and_thin_masks_and_masks_at_the_border(box: tuple[int, int, int, int], surface: str) -> None:
    image = _surface(surface)
    mask = _box_mask(image.shape[:2], *box)
    weak, strong = (_blend(image, np.where(mask[..., None], value, 0.0), 1.0) for value in (10.0, 60.0))
    selector = BuiltinSelector()
    assert selector.score(image, image, mask) == 0.0
    assert 0.0 < selector.score(image, weak, mask) < selector.score(image, strong, mask) < 1.0


def test_a_change_of_hue_alone_is_seen() -> None:
    image = np.full((64, 64, 3), 128, np.uint8)
    tinted = image.copy()
    tinted[20:40, 20:40] = (150, 118, 128)  # about the same lightness
    assert BuiltinSelector().score(image, tinted, _box_mask((64, 64), 20, 20, 40, 40)) > 0.1


def test_large_boxes_are_reduced_without_changing_what_the_score_says() -> None:
    image = cv2.resize(_surface("brick"), (1200, 900), interpolation=cv2.INTER_CUBIC)
    mask = _box_mask((900, 1200), 0, 0, 900, 1200)
    darker = (image * 0.7).astype(np.uint8)
    reduced = BuiltinSelector(SelectorOptions(scales=1, structure_weight=0.0)).score(image, darker, mask)
    full = BuiltinSelector(SelectorOptions(scales=1, structure_weight=0.0, working_size=1200)).score(
        image, darker, mask
    )
    assert reduced == pytest.approx(full, rel=0.02)  # area averaging and Lab do not quite commute


def test_the_score_follows_the_documented_formula_on_one_pixel() -> None:
    original, candidate = np.zeros((1, 1, 3), np.uint8), np.full((1, 1, 3), 255, np.uint8)
    score = BuiltinSelector().score(original, candidate, np.ones((1, 1), bool))
    # Black to white is dE = 100 and nothing has structure; at each size the pixel is a quarter of what it was, and the
    # one pixel of 64 that counts.
    at_sizes = [0.5 * 100 / 120 / 4**scale / np.sqrt(64) for scale in range(4)]
    assert score == pytest.approx(
        np.mean(np.power(at_sizes, 4)) ** 0.25, rel=1e-4
    )  # 8-bit white is L = 100 up to float32


def test_a_patch_of_64_pixels_is_seen_whole_and_more_adds_nothing_at_full_size() -> None:
    image = np.full((80, 80, 3), 128, np.uint8)
    selector = BuiltinSelector(SelectorOptions(scales=1, structure_weight=0.0))
    scores = []
    for side in (4, 8, 16, 40):
        mask = _box_mask((80, 80), 20, 20, 20 + side, 20 + side)
        scores.append(selector.score(image, _blend(image, np.where(mask[..., None], 60.0, 0.0), 1.0), mask))
    assert scores[0] == pytest.approx(scores[1] / 2)
    assert scores[1] == pytest.approx(scores[2]) == pytest.approx(scores[3])


@pytest.mark.parametrize("surface", SURFACES)
def test_faint_pixels_in_the_mask_do_not_dilute_a_clear_mark(surface: str) -> None:
    image = _surface(surface)
    narrow = _box_mask(image.shape[:2], 60, 40, 63, 120)
    candidate = _blend(image, np.where(narrow[..., None], 70.0, 0.0), 1.0)
    wide = _box_mask(image.shape[:2], 40, 40, 120, 120)
    shadowed = _blend(candidate, np.where((wide & ~narrow)[..., None], -6.0, 0.0), 1.0)
    selector = BuiltinSelector()
    alone, with_shadow = selector.score(image, candidate, narrow), selector.score(image, shadowed, wide)
    assert 0.95 * alone < with_shadow < 1.6 * alone


@pytest.mark.parametrize("angle", [0, 30, 45, 90])
def test_a_scratch_scores_alike_however_it_lies(angle: int) -> None:
    image = _surface("grey")
    line = np.zeros(image.shape[:2], np.uint8)
    direction = np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
    start, end = (tuple(int(value) for value in np.rint(80 + sign * 50 * direction)) for sign in (-1, 1))
    cv2.line(line, start, end, 1, 3)
    mask = line > 0
    score = BuiltinSelector().score(image, _blend(image, np.where(mask[..., None], -60.0, 0.0), 1.0), mask)
    assert score == pytest.approx(0.42, abs=0.025)


def test_a_busy_surface_hides_what_a_smooth_one_shows() -> None:
    rng = np.random.default_rng(3)
    smooth = np.full((120, 120, 3), 128, np.uint8)
    busy = np.clip(128 + rng.normal(0, 40, (120, 120, 1)) + np.zeros(3), 0, 255).astype(np.uint8)
    mask = _box_mask((120, 120), 40, 40, 80, 80)
    colours = BuiltinSelector(SelectorOptions(structure_weight=0.0, scales=1))
    on_smooth, on_busy = (
        colours.score(image, _blend(image, np.where(mask[..., None], 12.0, 0.0), 1.0), mask) for image in (smooth, busy)
    )
    assert on_busy < 0.75 * on_smooth


def test_a_lone_pixel_at_each_end_of_a_huge_box_is_not_lost() -> None:
    image = np.full((700, 5000, 3), 128, np.uint8)
    mask = np.zeros((700, 5000), bool)
    mask[0, 0] = mask[-1, -1] = True
    darker = image.copy()
    darker[:60, :60] = 20
    assert BuiltinSelector(SelectorOptions(working_size=64)).score(image, darker, mask) > 0


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 40), width=st.integers(1, 40), seed=st.integers(0, 10_000), share=st.floats(0.01, 1.0),
)  # fmt: skip
def test_finite_symmetric_and_in_range(height: int, width: int, seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    first, second = (rng.integers(0, 256, (height, width, 3)).astype(np.uint8) for _ in range(2))
    mask = rng.random((height, width)) < share
    mask[rng.integers(height), rng.integers(width)] = True
    selector = BuiltinSelector()
    score = selector.score(first, second, mask)
    assert isinstance(score, float)
    assert 0.0 <= score < 1.0
    assert score == pytest.approx(selector.score(second, first, mask), abs=1e-6)  # float32 rounding
    assert selector.score(first, first, mask) == 0.0


@pytest.mark.parametrize(
    ("original", "candidate", "mask", "message"),
    [
        (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.uint8), np.ones((4, 4), bool), "expected original"),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 3)), np.ones((4, 4), bool), "expected candidate"),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 3), np.uint8), np.ones((4, 4), bool), "equal size"),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 3), np.uint8), np.ones((5, 4), bool), "equal size"),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 3), np.uint8), np.ones((4, 4), np.uint8), "pass mask > 0"),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), bool), "empty"),
    ],
)
def test_wrong_input_is_refused(
    original: NDArray[np.generic], candidate: NDArray[np.generic], mask: NDArray[np.generic], message: str
) -> None:
    with pytest.raises(ImageError, match=message):
        BuiltinSelector().score(original, candidate, mask)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 3}, r"unknown key 'selector\.scale': did you mean 'scales'"),
        ({"scales": 0}, r"selector\.scales"),
        ({"structure_weight": float("nan")}, r"selector\.structure_weight"),
        ({"working_size": 1}, r"selector\.working_size"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        create(options)


def test_it_is_a_selector_and_its_fingerprint_tells_its_options() -> None:
    selector = create({"scales": 2})
    assert isinstance(selector, Selector)
    assert isinstance(selector, Component)
    assert selector.fingerprint().name == "builtin"
    assert selector.fingerprint().config == {"scales": 2, "structure_weight": 0.5, "working_size": 512}
    assert selector.fingerprint().digest() != BuiltinSelector().fingerprint().digest()
