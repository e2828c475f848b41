from __future__ import annotations

import importlib.util
import sys
import time
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fmas.builtin.segmenter import BuiltinSegmenter, SegmenterOptions, create
from fmas.errors import ConfigError, ImageError
from fmas.protocols import Component, Segmenter
from fmas.types import Foreground

RGB = NDArray[np.uint8]
MAGNETIC_TILES = Path(__file__).resolve().parents[3] / "shared" / "datasets" / "magnetic_tile" / "train" / "good"


def _sibling(name: str) -> ModuleType:
    """Import a module that lies beside this file; the tests are no package."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # rendered_textures imports rendered_parts
    spec.loader.exec_module(module)
    return module


parts = _sibling("rendered_parts")
textures = _sibling("rendered_textures")
iou, render_part = parts.iou, parts.render_part

# A block that is cut by three sides takes half of the border: which half is the part is a matter of taste.
KINDS = [kind for kind in parts.KINDS if kind != "block"]
LIGHTS = ("even", "dark field", "gradient", "vignette", "cast shadow", "noise and jpeg", "faint", "colour on grey")
COLOURED = ("colour on grey", "grey on colour")  # in grey, little would tell these parts from their ground


def segment(image: RGB, **options: object) -> Foreground:
    return create(options).segment(image)


@pytest.fixture(scope="module")
def found_parts() -> dict[tuple[str, str], tuple[float, Foreground]]:
    """IoU and answer per kind and light; every other picture is grey, but for coloured parts."""
    segmenter = BuiltinSegmenter()
    result = {}
    for number, kind in enumerate(KINDS):
        for light in LIGHTS:
            picture, truth = render_part(kind, light, side=240, seed=1, colour=number % 2 == 0 or light in COLOURED)
            found = segmenter.segment(picture)
            result[kind, light] = (iou(found.mask, truth), found)
    return result


def test_every_kind_of_part_is_found_in_every_light(
    found_parts: dict[tuple[str, str], tuple[float, Foreground]],
) -> None:
    assert len(KINDS) >= 8 and len(LIGHTS) >= 5
    measured = {case: value for case, (value, _) in found_parts.items()}
    assert np.mean(list(measured.values())) >= 0.92
    assert {case: round(value, 3) for case, value in measured.items() if value < 0.75} == {}


def test_parts_are_called_objects_with_confidence(
    found_parts: dict[tuple[str, str], tuple[float, Foreground]],
) -> None:
    assert {case for case, (_, found) in found_parts.items() if found.kind != "object"} == set()
    assert np.median([found.confidence for _, found in found_parts.values()]) >= 0.9


@pytest.mark.parametrize(
    "light", ["spot", "white on white", "dark on dark", "on cloth", "on brushed metal", "on a belt"]
)
def test_parts_are_found_on_difficult_grounds(light: str) -> None:
    segmenter = BuiltinSegmenter()
    pictures = [
        render_part(kind, light, side=240, seed=1) for kind in ("stone", "washer", "bracket", "bottle", "pills")
    ]
    assert np.mean([iou(segmenter.segment(picture).mask, truth) for picture, truth in pictures]) >= 0.9


@pytest.mark.parametrize("light", ["dark field", "colour on grey", "two-tone"])
def test_a_part_cut_by_three_sides_is_found(light: str) -> None:
    picture, truth = render_part("block", light, side=300, seed=0)
    assert iou(segment(picture).mask, truth) > 0.9


def test_a_cast_shadow_is_no_part() -> None:
    rng = np.random.default_rng(2)
    ground = np.full((300, 300), 200.0)
    ground *= 1 - 0.35 * cv2.GaussianBlur(cv2.circle(np.zeros((300, 300)), (172, 168), 80, 1.0, -1), (0, 0), 6)
    truth = cv2.circle(np.zeros((300, 300), np.uint8), (150, 150), 80, 1, -1) > 0
    ground[truth] = 60
    picture = np.clip(ground + rng.normal(0, 2, ground.shape), 0, 255).astype(np.uint8)
    assert iou(segment(np.repeat(picture[..., None], 3, axis=2)).mask, truth) > 0.95


@pytest.mark.parametrize("size", [(97, 211), (700, 1301)])
def test_the_mask_has_the_picture_s_own_size_and_place(size: tuple[int, int]) -> None:
    height, width = size
    picture = np.full((height, width, 3), 40, np.uint8)
    truth = np.zeros(size, bool)
    truth[height // 4 : height // 2, width // 3 : width // 2] = True
    picture[truth] = (180, 170, 160)
    found = segment(picture)
    assert found.mask.shape == size
    assert found.mask.dtype == bool
    assert iou(found.mask, truth) > 0.95


def test_a_hole_shows_the_ground_and_a_highlight_does_not() -> None:
    picture = np.full((300, 300, 3), 30, np.uint8)
    cv2.circle(picture, (150, 150), 100, (170, 170, 170), -1)
    cv2.circle(picture, (110, 150), 30, (30, 30, 30), -1)
    cv2.circle(picture, (190, 150), 7, (30, 30, 30), -1)
    cv2.circle(picture, (150, 200), 9, (250, 250, 250), -1)
    cv2.circle(picture, (150, 100), 1, (30, 30, 30), -1)
    mask = segment(picture).mask
    assert not mask[150, 110]
    assert not mask[150, 190]
    assert mask[200, 150]
    assert mask[100, 150], "a speck of the ground's colour is no hole"


def test_the_coins_are_found_on_their_uneven_background() -> None:
    found = segment(textures.stored_photograph("coins"))
    assert found.kind == "object"
    count, _, stats, _ = cv2.connectedComponentsWithStats(found.mask.astype(np.uint8))
    assert 20 <= count - 1 <= 24  # 24 coins, a few of which may touch
    assert stats[1:, cv2.CC_STAT_AREA].min() > 500


# Textures


def _taken_for_parts(pictures: list[RGB]) -> list[int]:
    segmenter = BuiltinSegmenter()
    found = [segmenter.segment(picture) for picture in pictures]
    assert all(one.mask.all() for one in found if one.kind == "texture")
    return [number for number, one in enumerate(found) if one.kind != "texture"]


def test_crops_of_photographed_textures_are_textures() -> None:
    crops = [crop for name in textures.PHOTOGRAPHS for crop in textures.photograph_crops(name, 40, seed=7)]
    assert len(_taken_for_parts(crops)) <= 0.03 * len(crops)


def test_rendered_textures_are_textures() -> None:
    pictures = [textures.render_texture(kind, side=200, seed=seed) for kind in textures.TEXTURES for seed in range(5)]
    assert len(_taken_for_parts(pictures)) <= 0.03 * len(pictures)


def test_a_constant_picture_is_a_texture_nobody_is_sure_of() -> None:
    found = segment(np.full((80, 120, 3), 77, np.uint8))
    assert found.kind == "texture"
    assert found.mask.all()
    assert found.confidence <= 0.2


def _with_black_rim(width: int) -> RGB:
    rng = np.random.default_rng(5)
    picture = np.clip(rng.normal(110, 6, (200, 160, 1)) + np.zeros(3), 0, 255).astype(np.uint8)
    picture[:, :width] = 12
    return picture


def test_a_black_surround_is_left_out_of_a_part_that_fills_the_picture() -> None:
    found = segment(_with_black_rim(9))
    assert found.kind == "object"
    assert not found.mask[:, :7].any()
    assert found.mask[:, 11:].all()


def test_a_picture_that_fades_to_black_keeps_its_dark_end() -> None:
    picture = np.repeat(np.repeat(np.linspace(2, 150, 200)[None, :, None], 150, 0), 3, 2).astype(np.uint8)
    assert segment(picture).mask.all()


@pytest.fixture(scope="module")
def tiles() -> dict[str, tuple[RGB, NDArray[np.bool_]]]:
    """Every photograph of a magnetic tile and its mask."""
    if not MAGNETIC_TILES.is_dir():
        pytest.skip("needs shared/datasets/magnetic_tile beside the repository")
    segmenter = BuiltinSegmenter()
    result = {}
    for path in sorted(MAGNETIC_TILES.iterdir()):
        bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
        assert bgr is not None
        result[path.stem] = bgr[..., 0], segmenter.segment(np.ascontiguousarray(bgr[..., ::-1])).mask
    return result


def test_no_magnetic_tile_is_lost(tiles: dict[str, tuple[RGB, NDArray[np.bool_]]]) -> None:
    assert len(tiles) == 160
    # The widest surround takes 8 %.
    assert {name for name, (_, mask) in tiles.items() if mask.mean() < 0.9} == set()
    assert {
        name for name, (_, mask) in tiles.items() if not mask[mask.shape[0] // 3 : -mask.shape[0] // 3].any()
    } == set()


def test_no_black_surround_of_a_magnetic_tile_is_kept(tiles: dict[str, tuple[RGB, NDArray[np.bool_]]]) -> None:
    """What is black along a whole side and ends in a step is no tile; a tile that fades into the dark has no step."""
    seen = set()
    for name, (grey, mask) in tiles.items():
        for lines, kept in ((grey, mask), (grey[::-1], mask[::-1]), (grey.T, mask.T), (grey.T[::-1], mask.T[::-1])):
            level = np.median(lines[:40], axis=1)
            black = int(np.argmax(level > 25)) if level[0] < 25 and (level > 25).any() else 0
            if 2 <= black < 36 and level[black + 3] > 2.5 * level[black - 1]:
                seen.add(name)
                assert kept[0].mean() < 0.15, name
    assert len(seen) >= 10


# Sizes, options, contract


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (3, 2), (11, 40), (12, 12), (13, 600), (4000, 30)])
def test_tiny_and_thin_pictures_get_a_mask(size: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    found = segment(picture)
    assert found.mask.shape == size
    assert found.mask.any()


def test_a_12_megapixel_picture_takes_well_under_40_ms_per_megapixel() -> None:
    picture, truth = render_part("nut", "cast shadow", side=750, seed=2)
    picture = cv2.resize(picture, (4000, 3000), interpolation=cv2.INTER_NEAREST)
    segmenter = BuiltinSegmenter()
    started = time.process_time()
    found = segmenter.segment(picture)
    assert time.process_time() - started < 12 * 0.040
    assert iou(found.mask, cv2.resize(truth.astype(np.uint8), (4000, 3000), interpolation=cv2.INTER_NEAREST) > 0) > 0.9


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(1, 90), width=st.integers(1, 90), seed=st.integers(0, 999), levels=st.sampled_from([2, 5, 256]),
    mode=st.sampled_from(["auto", "object", "texture"]),
)  # fmt: skip
def test_never_empty_always_the_same_and_the_input_untouched(
    height: int, width: int, seed: int, levels: int, mode: str
) -> None:
    coarse = np.random.default_rng(seed).integers(0, levels, (height // 9 + 1, width // 9 + 1, 3))
    picture = np.kron(coarse * (255 // (levels - 1)), np.ones((9, 9, 1)))[:height, :width].astype(np.uint8)
    before = picture.copy()
    found, again = segment(picture, mode=mode), segment(picture, mode=mode)
    assert found.mask.shape == (height, width)
    assert found.mask.any()
    assert found.kind in ("object", "texture")
    assert found.kind == "object" or found.mask.all()
    assert 0.0 <= found.confidence <= 1.0
    np.testing.assert_array_equal(found.mask, again.mask)
    np.testing.assert_array_equal(picture, before)


def test_mode_overrules_the_decision() -> None:
    part = render_part("disc", "dark field", side=150, seed=0)[0]
    forced_texture = segment(part, mode="texture")
    assert forced_texture.kind == "texture"
    assert forced_texture.mask.all()
    assert forced_texture.confidence == 1.0
    brick = textures.stored_photograph("brick")
    assert segment(brick).kind == "texture"
    assert segment(brick, mode="object").kind == "object"
    plain = np.clip(np.random.default_rng(0).normal(99, 2, (60, 60, 3)), 0, 255).astype(np.uint8)
    nothing_there = segment(plain, mode="object")
    assert (nothing_there.kind, nothing_there.confidence) == ("object", 0.0)
    assert nothing_there.mask.all()


def test_min_area_drops_parts() -> None:
    picture = np.full((200, 200, 3), 30, np.uint8)
    picture[80:100, 80:100] = 200  # 1 % of the picture
    assert segment(picture, min_area=0.005).kind == "object"
    assert segment(picture, min_area=0.05).kind == "texture"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mod": "auto"}, r"unknown key 'segmenter\.mod': did you mean 'mode'"),
        ({"mode": "part"}, r"segmenter\.mode"),
        ({"min_area": 0.0}, r"segmenter\.min_area"),
        ({"min_area": 1.0}, r"segmenter\.min_area"),
        ({"working_size": 8}, r"segmenter\.working_size"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        create(options)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((5, 5), np.uint8),
        np.zeros((5, 5, 4), np.uint8),
        np.zeros((5, 5, 3), np.float32),
        np.zeros((0, 5, 3), np.uint8),
    ],
    ids=["grey", "rgba", "float", "empty"],
)
def test_what_is_not_an_rgb_picture_is_refused(image: NDArray[np.uint8]) -> None:
    with pytest.raises(ImageError, match="convert it to 8-bit RGB"):
        segment(image)


def test_it_is_a_segmenter_and_its_fingerprint_tells_its_options() -> None:
    segmenter = create({"min_area": 0.01})
    assert isinstance(segmenter, Segmenter)
    assert isinstance(segmenter, Component)
    fingerprint = segmenter.fingerprint()
    assert fingerprint.name == "builtin"
    assert fingerprint.config == {"mode": "auto", "min_area": 0.01, "working_size": 448}
    assert fingerprint.digest() != BuiltinSegmenter(SegmenterOptions()).fingerprint().digest()
