"""What was done to a changed file is told, not only that it was changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from fmas.images import decode_png, encode_png

Damage = Callable[[Any], object]
CASES: list[tuple[str, Damage, set[str]]] = []


def changed(*rules: str) -> Callable[[Damage], Damage]:
    """Register a change that nobody covered up, and the rules that must be found broken beside file-sha256."""

    def register(damage: Damage) -> Damage:
        CASES.append((damage.__name__, damage, {"file-sha256", *rules}))
        return damage

    return register


@changed("untouched", "pixel-sha256")
def pixel_changed_outside_the_mask(f):
    pixels = f.pixels("image")
    row, column = np.argwhere(f.pixels("mask") == 0)[0]
    pixels[row, column, 1] ^= 1
    f.paint("image", pixels)


@changed("untouched", "pixel-sha256")
def pixel_changed_in_the_twin(f):
    pixels = f.pixels("twin")
    row, column = np.argwhere(f.pixels("mask") + f.pixels("mask", 1) == 0)[0]
    pixels[row, column, 1] ^= 1
    f.paint("twin", pixels)


@changed("mask-empty")
def mask_emptied(f):
    f.paint("mask", np.zeros_like(f.pixels("mask")))


@changed("mask-values")
def mask_with_grey(f):
    f.paint("mask", f.pixels("mask") // 2)


@changed("mask-mode")
def mask_in_colour(f):
    f.paint("mask", np.repeat(f.pixels("mask")[..., np.newaxis], 3, axis=2))


@changed("mask-area", "untouched", "pixel-sha256")
def pixel_taken_out_of_the_mask(f):
    mask = f.pixels("mask")
    mask[tuple(np.argwhere(mask)[0])] = 0
    f.paint("mask", mask)


@changed("size", "pixel-sha256")
def mask_of_another_size(f):
    f.paint("mask", np.pad(f.pixels("mask"), ((0, 1), (0, 0)), mode="edge"))


@changed("size", "pixel-sha256")
def held_out_cropped(f):
    f.paint("held_out", f.pixels("held_out")[1:])


@changed("image-mode")
def image_with_alpha(f):
    Image.fromarray(f.pixels("image")).convert("RGBA").save(f.path("image"))


@changed("image-mode")
def grey_twin(f):
    Image.fromarray(f.pixels("twin")).convert("L").save(f.path("twin"))


@changed("png")
def image_cut_short(f):
    f.path("image").write_bytes(f.path("image").read_bytes()[:-30])


@changed("png")
def time_stamp(f):
    f.insert_chunk("mask", b"tIME", b"\x07\xea\1\1\0\0\0")


@changed("png", "untouched", "pixel-sha256")
def time_stamp_and_pixel(f):
    """A chunk too many hides nothing either."""
    pixel_changed_outside_the_mask(f)
    f.insert_chunk("image", b"tIME", b"\x07\xea\1\1\0\0\0")


@changed("changed-share", "largest-change", "component-peak", "pixel-sha256", "png-text")
def image_replaced_by_its_twin(f):
    f.path("image").write_bytes(f.path("twin").read_bytes())


@changed("png-text")
def text_lost(f):
    f.path("image").write_bytes(encode_png(f.pixels("image")))


@changed()
def recompressed(f):
    pixels, _, texts = decode_png(f.path("image").read_bytes(), what="")
    f.path("image").write_bytes(encode_png(pixels, text=texts, compress_level=0))


@pytest.mark.parametrize(("damage", "rules"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_change_is_found_by_what_it_is(forgery, damage, rules):
    forgery.expect(damage, rules)


@pytest.mark.parametrize("kind", ["image", "mask", "twin", "held_out"])
@pytest.mark.parametrize(
    ("name", "found"), [("JPEG", "a JPEG"), ("GIF", "a GIF"), ("BMP", "a BMP"), ("TIFF", "a TIFF"), ("WEBP", "a WebP")]
)
def test_other_format_by_the_name_of_png(forgery, kind, name, found):
    Image.fromarray(forgery.pixels(kind)).save(forgery.path(kind), name)
    assert forgery.broken() == {"file-sha256", "png"}
    (told,) = forgery.told("png")
    assert f"expected a PNG, got {found} by that name; delete it and run the same fmas run again" in told


def test_text_by_the_name_of_png(forgery):
    forgery.path("image").write_text("see the shared drive")
    (told,) = forgery.told("png")
    assert "got something else by that name" in told


def test_message_of_a_png_has_one_advice(forgery):
    image_cut_short(forgery)
    (told,) = forgery.told("png")
    assert told.count("; ") == 1


def test_number_of_grey_pixels_is_told(forgery):
    mask = forgery.pixels("mask")
    mask[tuple(np.argwhere(mask)[0])] = 7
    forgery.paint("mask", mask)
    (told,) = forgery.told("mask-values")
    assert "got 7 as well (1 pixel)" in told


@pytest.mark.parametrize(("cut", "told"), [(30, "bytes instead of"), (0, "")])
def test_size_is_told_if_it_changed(forgery, cut, told):
    content = forgery.path("twin").read_bytes()
    forgery.path("twin").write_bytes(content[: len(content) - cut] if cut else content[:-1] + b"x")
    (problem,) = forgery.told("file-sha256")
    assert told in problem
    assert ("instead of" in problem) == bool(cut)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(st.data())
def test_pixels_outside_the_mask_are_counted_and_found(forgery, data):
    before = forgery.path("image").read_bytes()
    pixels, outside = forgery.pixels("image"), np.argwhere(forgery.pixels("mask") == 0)
    chosen = data.draw(st.lists(st.integers(0, len(outside) - 1), min_size=1, max_size=3, unique=True))
    for place in chosen:
        pixels[tuple(outside[place])] ^= data.draw(st.integers(1, 255))
    forgery.paint("image", pixels)
    try:
        (told,) = forgery.told("untouched")
    finally:
        forgery.path("image").write_bytes(before)
    number = "1 pixel outside the mask differs" if len(chosen) == 1 else f"{len(chosen)} pixels outside the mask differ"
    row, column = outside[min(chosen)]
    assert f"{number}, the first at row {row}, column {column}; " in told
