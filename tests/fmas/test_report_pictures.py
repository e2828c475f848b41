"""The pictures of the report: where the zoom lies, what a reduced mask covers, what the difference says."""

from __future__ import annotations

import base64
import io

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fmas.report.encoding import Effort, levels_of, levels_png, mask_png, photograph, resample, resized
from fmas.report.pictures import zoom_box
from fmas.samples import Box


def picture(content: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(content)))


@st.composite
def boxes(draw: st.DrawFn) -> tuple[Box, Box]:
    width, height = draw(st.integers(1, 400)), draw(st.integers(1, 400))
    left, top = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    focus = Box(left, top, draw(st.integers(left + 1, width)), draw(st.integers(top + 1, height)))
    return focus, Box(0, 0, width, height)


@given(boxes())
def test_zoom_shows_the_whole_focus_and_nothing_beyond_the_photograph(drawn: tuple[Box, Box]) -> None:
    focus, everything = drawn
    zoom = zoom_box(focus, everything)
    assert 0 <= zoom.left <= focus.left < focus.right <= zoom.right <= everything.right
    assert 0 <= zoom.top <= focus.top < focus.bottom <= zoom.bottom <= everything.bottom
    assert zoom.width >= min(96, everything.width)


masks = st.integers(1, 40).flatmap(
    lambda width: st.lists(st.lists(st.booleans(), min_size=width, max_size=width), min_size=1, max_size=40)
)


@given(masks, st.integers(1, 40), st.integers(1, 40))
def test_a_reduced_mask_has_a_pixel_where_the_mask_has_one(drawn: list[list[bool]], height: int, width: int) -> None:
    mask = np.array(drawn, dtype=np.uint8)
    height, width = min(height, mask.shape[0]), min(width, mask.shape[1])
    reduced = resample(mask, height, width)
    assert reduced.shape == (height, width)
    rows_, columns = np.nonzero(mask)
    expected = set(zip(rows_ * height // mask.shape[0], columns * width // mask.shape[1], strict=True))
    assert set(zip(*np.nonzero(reduced), strict=True)) == expected


@given(masks, st.integers(1, 5))
def test_an_enlarged_mask_has_larger_pixels(drawn: list[list[bool]], times: int) -> None:
    mask = np.array(drawn, dtype=np.uint8)
    enlarged = resample(mask, mask.shape[0] * times, mask.shape[1] * times)
    np.testing.assert_array_equal(enlarged, np.kron(mask, np.ones((times, times), dtype=np.uint8)))


changes = st.lists(st.integers(0, 255), min_size=1, max_size=60)


@given(changes)
def test_difference_is_zero_where_nothing_changed_and_rises_with_the_change(drawn: list[int]) -> None:
    change = np.array([drawn], dtype=np.uint8)
    levels = levels_of(change, int(change.max()))
    np.testing.assert_array_equal(levels == 0, change == 0)
    assert levels.max() == (15 if change.any() else 0)
    order = np.argsort(change[0], kind="stable")
    assert (np.diff(levels[0][order].astype(int)) >= 0).all()


def test_faint_changes_keep_their_steps() -> None:
    assert levels_of(np.array([[1, 4, 9, 100, 225]], dtype=np.uint8), 225).tolist() == [[1, 2, 3, 10, 15]]


def test_levels_and_masks_lose_nothing() -> None:
    levels = np.arange(16, dtype=np.uint8).reshape(4, 4)
    with picture(levels_png(levels)) as image:
        np.testing.assert_array_equal(np.asarray(image.convert("L")) // 17, levels)
    mask = np.random.default_rng(0).random((37, 21)) > 0.5
    with picture(mask_png(mask)) as image:
        assert image.mode == "1"
        np.testing.assert_array_equal(np.asarray(image), mask)


def test_photograph_is_reduced_to_the_size_asked_for() -> None:
    pixels = np.zeros((40, 80, 3), dtype=np.uint8)
    pixels[:, 40:] = 200
    reduced = resized(pixels, (20, 10))
    assert reduced.shape == (10, 20, 3)
    assert resized(pixels, (80, 40)) is pixels
    with picture(photograph(reduced, effort=Effort(quality=90, aim=10_000, least=50))) as image:
        assert image.size == (20, 10)
        assert image.format == "WEBP"
        shown = np.asarray(image.convert("RGB"), dtype=int)
    assert abs(shown[5, 2] - 0).max() < 8
    assert abs(shown[5, 17] - 200).max() < 8


def test_photograph_that_costs_too_much_is_made_coarser_once_but_not_below_the_least() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (120, 120, 3), dtype=np.uint8)

    def size(**effort: int) -> int:
        return len(photograph(noise, effort=Effort(**effort)))

    free, aimed, least = (size(quality=90, aim=aim, least=50) for aim in (10**6, 8_000, 1))
    assert free > aimed > least
    assert size(quality=50, aim=10**6, least=50) == least


def test_patch_is_transparent_where_it_is_not_shown_and_nothing_bleeds_in() -> None:
    pixels = np.full((32, 32, 3), (20, 60, 200), dtype=np.uint8)
    shown = np.zeros((32, 32), dtype=bool)
    shown[10:20, 8:25] = True
    pixels[~shown] = (20, 60, 200)
    with picture(photograph(pixels, shown, effort=Effort(quality=90, aim=10_000, least=50))) as image:
        drawn = np.asarray(image.convert("RGBA"), dtype=int)
    np.testing.assert_array_equal(drawn[..., 3], shown * 255)
    assert np.abs(drawn[shown][:, :3] - (20, 60, 200)).max() < 8
