"""Damages to image files and to what their pixels show; the records are made to match, so that no hash tells."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fmas.images import decode_png, encode_png

Damage = Callable[[Any], object]
CASES: list[tuple[str, Damage, set[str]]] = []


def case(*rules: str) -> Callable[[Damage], Damage]:
    """Register a damage and the rules that must be found broken, no others."""

    def register(damage: Damage) -> Damage:
        CASES.append((damage.__name__, damage, set(rules)))
        return damage

    return register


@case("missing-file")
def image_missing(f):
    f.path("image").unlink()


@case("missing-file")
def mask_missing(f):
    f.path("mask").unlink()


@case("missing-file")
def twin_missing(f):
    f.path("twin").unlink()


@case("missing-file")
def held_out_missing(f):
    f.path("held_out").unlink()


@case("missing-file")
def files_of_a_line_missing(f):
    for kind in ("image", "mask"):
        f.path(kind).unlink()


@case("missing-file", "extra-file")
def image_renamed(f):
    f.path("image").rename(f.path("image").with_name("900000.png"))


@case("file-kind")
def image_is_a_folder(f):
    f.path("image").unlink()
    f.path("image").mkdir()


@case("file-kind")
def pipe_instead_of_a_mask(f):
    f.path("mask").unlink()
    os.mkfifo(f.path("mask"))


@case("file-kind")
def pipe_among_images(f):
    os.mkfifo(f.path("image").with_name("900000.png"))


@case("empty-file")
def image_of_zero_bytes(f):
    f.path("image").write_bytes(b"")


@case("file-names")
def row_names_another_file(f):
    f.pairs[0]["row"]["file_name"] = f.pairs[0]["row"]["file_name"].replace("00000", "0000")
    f.seal(text=False)


@case("file-names")
def row_names_a_file_elsewhere(f):
    f.pairs[0]["row"]["normal_file_name"] = "../../../../etc/hostname"
    f.seal(pixel_hashes=False, text=False)


@case("file-names", "extra-file")
def line_names_another_file(f):
    files = f.pairs[0]["files"]
    name = f.pairs[0]["row"]["file_name"]
    for record in (files, f.pairs[0]["sizes"]):
        record[name.replace("/0", "/9")] = record.pop(name)
    f.path("image").rename(f.dataset / name.replace("/0", "/8"))
    f.write_lines()


@case("file-sha256")
def recompressed(f):
    pixels, _, texts = decode_png(f.path("image").read_bytes(), what="")
    f.path("image").write_bytes(encode_png(pixels, text=texts, compress_level=0))


@case("file-sha256")
def size_of_another_file(f):
    f.pairs[0]["sizes"][f.name("image")] += 1
    f.write_lines()


@case("png")
def image_cut_short_and_sealed(f):
    f.path("image").write_bytes(f.path("image").read_bytes()[:-30])
    f.seal()


@case("png")
def bytes_behind_the_image(f):
    f.path("mask").write_bytes(f.path("mask").read_bytes() + b"x")
    f.seal()


@case("png")
def jpeg_by_the_name_of_png(f):
    Image.fromarray(f.pixels("image")).save(f.path("image"), "JPEG")
    f.seal()


@case("png")
def image_to_be_rotated(f):
    f.insert_chunk("twin", b"eXIf", b"MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0")
    f.seal()


@case("png")
def image_with_a_transparent_colour(f):
    f.insert_chunk("held_out", b"tRNS", b"\0\1\0\2\0\3")
    f.seal()


@case("png")
def mask_with_a_time(f):
    f.insert_chunk("mask", b"tIME", b"\x07\xea\1\1\0\0\0")
    f.seal()


@case("image-mode")
def image_with_alpha(f):
    Image.fromarray(f.pixels("image")).convert("RGBA").save(f.path("image"))
    f.seal()


@case("image-mode")
def grey_twin(f):
    Image.fromarray(f.pixels("twin")).convert("L").save(f.path("twin"))
    f.seal()


@case("image-mode")
def held_out_with_16_bits(f):
    """Pillow reads 16-bit RGB as if it had 8; other readers do not."""
    height, width = f.pixels("held_out").shape[:2]
    rows = b"".join(b"\0" + f.pixels("held_out")[row].astype(">u2").tobytes() for row in range(height))
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    png = b"".join(struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks)
    f.path("held_out").write_bytes(b"\x89PNG\r\n\x1a\n" + png)
    f.seal()


@case("mask-mode")
def mask_in_colour(f):
    f.paint("mask", np.repeat(f.pixels("mask")[..., np.newaxis], 3, axis=2))
    f.seal()


@case("mask-mode")
def mask_of_one_bit(f):
    Image.fromarray(f.pixels("mask")).convert("1").save(f.path("mask"))
    f.seal()


@case("mask-values")
def mask_with_grey(f):
    mask = f.pixels("mask")
    mask[mask == 255] = 254
    f.paint("mask", mask)
    f.seal()


@case("mask-empty")
def mask_emptied(f):
    f.paint("mask", np.zeros_like(f.pixels("mask")))
    f.seal()


@case("size")
def mask_of_another_size(f):
    f.paint("mask", np.pad(f.pixels("mask"), ((0, 1), (0, 0))))
    f.seal()


@case("size")
def row_of_another_size(f):
    f.pairs[0]["row"]["width"] += 1
    f.seal()


@case("size")
def held_out_of_another_size(f):
    f.paint("held_out", f.pixels("held_out")[1:])
    f.seal()


@case("untouched")
def pixel_changed_outside_the_mask_and_sealed(f):
    pixels = f.pixels("image")
    row, column = np.argwhere(f.pixels("mask") == 0)[-1]
    pixels[row, column, 2] ^= 1
    f.paint("image", pixels)
    f.seal()


@case("untouched")
def pixel_taken_out_of_the_mask(f):
    mask = f.pixels("mask")
    row, column = np.argwhere(mask)[0]
    mask[row, column] = 0
    f.paint("mask", mask)
    f.seal()


@case("changed-share")
def mask_wider_than_the_change(f):
    mask = f.pixels("mask") > 0
    rows, columns = np.nonzero(mask)
    mask[max(rows.min() - 9, 0) : rows.max() + 10, max(columns.min() - 9, 0) : columns.max() + 10] = True
    f.paint("mask", mask)
    f.anywhere()
    f.seal()


@case("largest-change", "component-peak")
def change_too_weak(f):
    pixels, mask = f.pixels("twin"), f.pixels("mask") > 0
    pixels[mask] ^= 4
    f.paint("image", pixels)
    f.seal()


@case("component-peak")
def second_component_too_weak(f):
    pixels, mask = f.pixels("image"), f.pixels("mask")
    corner = (slice(0, 3), slice(0, 3)) if not mask[:6, :6].any() else (slice(-3, None), slice(-3, None))
    pixels[corner] ^= 4
    mask[corner] = 255
    f.paint("image", pixels)
    f.paint("mask", mask)
    f.anywhere()
    f.seal()


@case("saturated")
def defect_all_black(f):
    pixels = f.pixels("image")
    pixels[f.pixels("mask") > 0] = 0
    f.paint("image", pixels)
    f.seal()


@case("mask-region")
def mask_outside_the_region(f):
    row = f.pairs[0]["row"]
    row["region_box"][0] += 1
    f.seal()


@case("mask-region")
def mask_larger_than_the_region(f):
    f.pairs[0]["row"]["region_area"] = f.pairs[0]["row"]["mask_area"] - 1
    f.seal()


@pytest.mark.parametrize(("damage", "rules"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_damage_is_found_by_its_rule(forgery, damage, rules):
    forgery.expect(damage, rules)
