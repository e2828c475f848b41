"""The files of candidates: what goes in comes out, and what a row says of them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from fmas.candidates import candidate_row, chosen_fields, decode_candidate, encode_candidate
from fmas.errors import ImageError
from fmas.images import encode_png
from fmas.samples import Box, Candidate

shapes = st.tuples(st.integers(1, 12), st.integers(1, 12))


@st.composite
def made(draw):
    height, width = draw(shapes)
    mask = draw(arrays(np.bool_, (height, width)))
    mask[draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))] = True
    image = draw(arrays(np.uint8, (height, width, 3)))
    left, top = draw(st.integers(0, 50)), draw(st.integers(0, 50))
    return Candidate(3, 1, 77, Box(left, top, left + width, top + height), image, mask, 4, 9, 0.25, 0.125)


@given(made(), st.integers(0, 9))
def test_what_is_stored_is_the_composite_inside_the_masks_box(candidate, level):
    row = candidate_row(candidate)
    box = Box(*row["box"])
    stored = decode_candidate(encode_candidate(candidate, compress_level=level), box, what="it")
    canvas, mask = np.zeros((70, 70, 3), np.uint8), np.zeros((70, 70), bool)
    wanted, wanted_mask = canvas.copy(), mask.copy()
    mask[box.slices] = stored.mask
    canvas[box.slices] = stored.image
    wanted_mask[candidate.box.slices] = candidate.mask
    wanted[candidate.box.slices] = candidate.image
    assert np.array_equal(mask, wanted_mask)
    assert np.array_equal(canvas[box.slices], wanted[box.slices])
    assert stored.mask[0].any() and stored.mask[-1].any() and stored.mask[:, 0].any() and stored.mask[:, -1].any()
    assert row["mask_area"] == np.count_nonzero(candidate.mask)


def test_a_row_says_of_the_chosen_one_what_its_list_says():
    candidate = Candidate(
        3, 1, 77, Box(5, 6, 7, 7), np.zeros((1, 2, 3), np.uint8), np.array([[False, True]]), 4, 9, 0.25, 0.5
    )
    row = candidate_row(candidate)
    assert row == {
        "candidate": 3, "attempt": 1, "seed": 77, "severity": 0.25, "score": 0.5, "box": [6, 6, 7, 7], "mask_area": 1,
        "noise_floor": 4, "high": 9,
    }  # fmt: skip
    assert chosen_fields(row) == {
        "candidate": 3, "attempt": 1, "seed": 77, "severity": 0.25, "score": 0.5, "mask_area": 1, "noise_floor": 4,
        "high_threshold": 9,
    }  # fmt: skip


def grey_alpha():
    buffer = io.BytesIO()
    Image.fromarray(np.full((2, 2, 2), 255, np.uint8), "LA").save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected a whole PNG"),
        (encode_png(np.zeros((2, 2, 3), np.uint8)), "expected 8-bit RGBA, got RGB in it; restore"),
        (grey_alpha(), "expected 8-bit RGBA, got LA in it"),
        (encode_png(np.zeros((1, 2, 4), np.uint8)), "expected 2 x 2 pixels as its row says, got 2 x 1 in it"),
        (encode_png(np.full((2, 2, 4), 128, np.uint8)), "expected the alpha values 0 and 255 only, got others in it"),
        (encode_png(np.zeros((9, 9, 4), np.uint8)), "expected at most 4 pixels"),
    ],
    ids=["empty", "no alpha", "grey", "another size", "half transparent", "larger"],
)
def test_other_files_are_refused(content, message):
    with pytest.raises(ImageError, match=message):
        decode_candidate(content, Box(0, 0, 2, 2), what="it")
