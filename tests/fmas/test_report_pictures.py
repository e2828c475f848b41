"""The pictures of the report: where the zoom lies, what the outline covers, how large an embedded picture is."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fmas.report.pictures import outline_uri, photo_uri, resample, zoom_box
from fmas.samples import Box


def picture(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.split(",", 1)[1])))


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
    assert zoom.width >= min(48, everything.width)


masks = st.integers(1, 40).flatmap(
    lambda width: st.lists(st.lists(st.booleans(), min_size=width, max_size=width), min_size=1, max_size=40)
)


@given(masks, st.integers(1, 40), st.integers(1, 40))
def test_a_reduced_mask_has_a_pixel_where_the_mask_has_one(drawn: list[list[bool]], height: int, width: int) -> None:
    mask = np.array(drawn)
    height, width = min(height, mask.shape[0]), min(width, mask.shape[1])
    reduced = resample(mask, height, width)
    assert reduced.shape == (height, width)
    rows_, columns = np.nonzero(mask)
    expected = set(zip(rows_ * height // mask.shape[0], columns * width // mask.shape[1], strict=True))
    assert set(zip(*np.nonzero(reduced), strict=True)) == expected


@given(masks, st.integers(1, 5))
def test_an_enlarged_mask_has_larger_pixels(drawn: list[list[bool]], times: int) -> None:
    mask = np.array(drawn)
    enlarged = resample(mask, mask.shape[0] * times, mask.shape[1] * times)
    np.testing.assert_array_equal(enlarged, np.kron(mask, np.ones((times, times), dtype=bool)))


@pytest.mark.parametrize("line_width", [1, 2])
def test_outline_lies_beside_the_mask_and_never_on_it(line_width: int) -> None:
    mask = np.zeros((20, 30), dtype=bool)
    mask[6:10, 8:15] = True
    with picture(outline_uri(mask, line_width=line_width)) as image:
        colours = np.asarray(image.convert("RGBA"))
    assert not colours[mask][:, 3].any()
    assert tuple(colours[6 - line_width, 10]) == tuple(colours[9 + line_width, 10]) == (255, 45, 141, 255)
    assert 0 < colours[5 - line_width, 10, 3] < 255
    assert colours[4 - line_width, 10, 3] == 0


def test_photo_is_reduced_to_the_size_asked_for() -> None:
    pixels = np.zeros((40, 80, 3), dtype=np.uint8)
    pixels[:, 40:] = 200
    with picture(photo_uri(pixels, (20, 10), quality=90)) as image:
        assert image.size == (20, 10)
        assert image.format == "WEBP"
        shown = np.asarray(image.convert("RGB"), dtype=int)
    assert abs(shown[5, 2] - 0).max() < 8
    assert abs(shown[5, 17] - 200).max() < 8
