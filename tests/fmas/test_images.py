"""Pixels of every format and mode; damage in every form ends in one ImageError, never in a wrong picture."""

from __future__ import annotations

import functools
import hashlib
import io
import os
import re
import struct
import warnings
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from fmas import images
from fmas.errors import ImageError
from fmas.images import decode_png, encode_png, pixel_sha256, read_image

RGB = np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)
GREY = RGB[..., 0]
Y, X = np.mgrid[0:24, 0:40]
SMOOTH = np.stack([X * 6, Y * 10, 255 - X * 6], axis=-1).astype(np.uint8)
ROUGH = (SMOOTH // 2 + RGB // 2).astype(np.uint8)
DEEP = np.random.default_rng(1).integers(0, 65536, (24, 40), dtype=np.uint16)
DEEP[0, :6] = [0, 255, 256, 32767, 32768, 65535]


def encoded(pixels: NDArray[np.generic] | Image.Image, format: str, **options: object) -> bytes:  # noqa: A002 - Pillow's name
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def read(folder: Path, content: bytes, name: str = "image.bin", **options: int) -> NDArray[np.uint8]:
    path = folder / name
    path.write_bytes(content)
    pixels, digest = read_image(path, **options)
    assert digest == hashlib.sha256(content).hexdigest()
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    assert pixels.flags.writeable
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3
    return pixels


def complaint(path: Path, **options: int) -> str:
    with pytest.raises(ImageError) as caught:
        read_image(path, **options)
    message = str(caught.value)
    assert message.startswith("expected ")
    assert "got " in message
    assert ";" in message
    assert "\n" not in message
    assert path.name in message
    return message


def refused(folder: Path, content: bytes, **options: int) -> str:
    path = folder / "refused.png"
    path.write_bytes(content)
    return complaint(path, **options)


def tiff(samples: NDArray[np.generic], tags: Mapping[int, tuple[str, tuple[int, ...]]], order: str = "<") -> bytes:
    """A minimal uncompressed TIFF, for the sample types that no encoder at hand writes."""
    height, width = samples.shape[:2]
    strip = np.ascontiguousarray(samples, dtype=samples.dtype.newbyteorder(order)).tobytes()
    fields: dict[int, tuple[str, tuple[int, ...]]] = {
        256: ("H", (width,)),
        257: ("H", (height,)),
        258: ("H", (samples.dtype.itemsize * 8,) * (samples.shape[2] if samples.ndim == 3 else 1)),
        259: ("H", (1,)),
        262: ("H", (2 if samples.ndim == 3 else 1,)),
        273: ("L", (8,)),
        277: ("H", (samples.shape[2] if samples.ndim == 3 else 1,)),
        278: ("H", (height,)),
        279: ("L", (len(strip),)),
        **tags,
    }
    entries, extra = b"", b""
    directory = 8 + len(strip)
    extra_at = directory + 2 + 12 * len(fields) + 4
    for tag, (kind, values) in sorted(fields.items()):
        raw = struct.pack(f"{order}{len(values)}{kind}", *values)
        if len(raw) > 4:
            raw, extra = struct.pack(order + "L", extra_at + len(extra)), extra + raw
        entries += struct.pack(order + "HHL", tag, {"H": 3, "L": 4}[kind], len(values)) + raw.ljust(4, b"\0")
    header = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "L", directory)
    return header + strip + struct.pack(order + "H", len(fields)) + entries + b"\0" * 4 + extra


def png(width: int, height: int, *chunks: tuple[bytes, bytes], depth: int = 8, colour: int = 2) -> bytes:
    head = (b"IHDR", struct.pack(">LLBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">L", len(body)) + kind + body + struct.pack(">L", zlib.crc32(kind + body))
        for kind, body in (head, *chunks, (b"IEND", b""))
    )


def png16(samples: NDArray[np.uint16], colour: int) -> bytes:
    rows = samples.astype(">u2").reshape(samples.shape[0], -1)
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    return png(samples.shape[1], samples.shape[0], (b"IDAT", zlib.compress(raw)), depth=16, colour=colour)


LOSSLESS: dict[str, dict[str, object]] = {
    "PNG": {},
    "BMP": {},
    "TIFF": {},
    "TIFF lzw": {"compression": "tiff_lzw"},
    "TIFF deflate": {"compression": "tiff_deflate"},
    "WEBP": {"lossless": True},
}


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_rgb(tmp_path: Path, name: str) -> None:
    np.testing.assert_array_equal(read(tmp_path, encoded(RGB, name.split(maxsplit=1)[0], **LOSSLESS[name])), RGB)


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_grey(tmp_path: Path, name: str) -> None:
    pixels = read(tmp_path, encoded(GREY, name.split(maxsplit=1)[0], **LOSSLESS[name]))
    np.testing.assert_array_equal(pixels, np.stack([GREY] * 3, axis=-1))


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"restart_marker_blocks": 3}])
def test_jpeg_is_near(tmp_path: Path, options: dict[str, object]) -> None:
    pixels = read(tmp_path, encoded(SMOOTH, "JPEG", quality=95, **options))
    # 10 levels: quality 95 of a gradient, with chroma at half resolution.
    assert np.abs(pixels.astype(int) - SMOOTH).max() <= 10
    grey = read(
        tmp_path, encoded(SMOOTH[..., 0], "JPEG", quality=95, **options if "subsampling" not in options else {})
    )
    assert np.abs(grey.astype(int) - SMOOTH[..., :1]).max() <= 4


def test_lossy_webp_is_near(tmp_path: Path) -> None:
    pixels = read(tmp_path, encoded(SMOOTH, "WEBP", quality=95))
    assert np.abs(pixels.astype(int) - SMOOTH).mean() <= 4


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF"])
def test_bilevel(tmp_path: Path, format: str) -> None:  # noqa: A002
    pixels = read(tmp_path, encoded(Image.fromarray(GREY > 127), format))
    np.testing.assert_array_equal(pixels, np.where(GREY > 127, 255, 0)[..., None].repeat(3, axis=-1))


@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
def test_transparency_is_dropped_not_composited(tmp_path: Path, format: str) -> None:  # noqa: A002
    rgba = np.dstack([RGB, GREY])
    options = {"lossless": True, "exact": True} if format == "WEBP" else {}
    np.testing.assert_array_equal(read(tmp_path, encoded(rgba, format, **options)), RGB)
    if format != "WEBP":
        grey_alpha = Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(RGB[..., 1])])
        pixels = read(tmp_path, encoded(grey_alpha, format))
        np.testing.assert_array_equal(pixels, np.stack([GREY] * 3, axis=-1))


def test_premultiplied_tiff_gets_its_colour_back(tmp_path: Path) -> None:
    stored = np.full((24, 40, 4), [50, 100, 0, 128], dtype=np.uint8)
    pixels = read(tmp_path, tiff(stored, {338: ("H", (1,))}))
    assert np.abs(pixels.astype(int) - [100, 199, 0]).max() <= 1


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF"])
def test_palette(tmp_path: Path, format: str) -> None:  # noqa: A002
    palette = np.random.default_rng(2).integers(0, 256, (16, 3), dtype=np.uint8)
    indexes = GREY % 16
    image = Image.fromarray(indexes)
    image.putpalette(palette.tobytes())
    assert image.mode == "P"
    np.testing.assert_array_equal(read(tmp_path, encoded(image, format)), palette[indexes])


@pytest.mark.parametrize("transparency", [3, bytes(range(16))], ids=["one entry", "per entry"])
def test_palette_with_transparency(tmp_path: Path, transparency: int | bytes) -> None:
    palette = np.random.default_rng(2).integers(0, 256, (16, 3), dtype=np.uint8)
    image = Image.fromarray(GREY % 16)
    image.putpalette(palette.tobytes())
    content = encoded(image, "PNG", transparency=transparency)
    assert b"tRNS" in content
    np.testing.assert_array_equal(read(tmp_path, content), palette[GREY % 16])


def test_colour_key_transparency(tmp_path: Path) -> None:
    content = encoded(RGB, "PNG", transparency=tuple(int(v) for v in RGB[0, 0]))
    np.testing.assert_array_equal(read(tmp_path, content), RGB)
    content = encoded(GREY, "PNG", transparency=int(GREY[0, 0]))
    np.testing.assert_array_equal(read(tmp_path, content), np.stack([GREY] * 3, axis=-1))


def test_cmyk(tmp_path: Path) -> None:
    plates = np.full((24, 40, 4), [255, 0, 0, 0], dtype=np.uint8)
    image = Image.frombytes("CMYK", (40, 24), plates.tobytes())
    assert (read(tmp_path, encoded(image, "TIFF")) == [0, 255, 255]).all()
    jpeg = read(tmp_path, encoded(image, "JPEG", quality=100)).astype(int)
    assert np.abs(jpeg - [0, 255, 255]).max() <= 3


def high_byte(samples: NDArray[np.uint16]) -> NDArray[np.uint8]:
    grey = (samples // 256).astype(np.uint8)
    return grey if grey.ndim == 3 else np.stack([grey] * 3, axis=-1)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("shape", ["grey", "RGB", "RGBA"])
def test_16_bit_tiff_keeps_the_high_byte(tmp_path: Path, order: str, shape: str) -> None:
    samples = {"grey": DEEP, "RGB": np.dstack([DEEP, DEEP[::-1], DEEP[:, ::-1]])}.get(shape)
    if samples is None:
        samples = np.dstack([DEEP, DEEP[::-1], DEEP[:, ::-1], DEEP])
    tags: dict[int, tuple[str, tuple[int, ...]]] = {338: ("H", (2,))} if shape == "RGBA" else {}
    expected = high_byte(samples[..., :3] if samples.ndim == 3 else samples)
    np.testing.assert_array_equal(read(tmp_path, tiff(samples, tags, order)), expected)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_deflate", "packbits"])
def test_16_bit_grey_tiff_from_pillow(tmp_path: Path, compression: str) -> None:
    pixels = read(tmp_path, encoded(DEEP, "TIFF", compression=compression))
    np.testing.assert_array_equal(pixels, high_byte(DEEP))


@pytest.mark.parametrize("compression", [1, 5, 8, 32773])
def test_16_bit_rgb_tiff_and_png_from_opencv(tmp_path: Path, compression: int) -> None:
    cv2 = pytest.importorskip("cv2")
    rgb = np.dstack([DEEP, DEEP[::-1], DEEP[:, ::-1]])
    for suffix, options in ((".tiff", [cv2.IMWRITE_TIFF_COMPRESSION, compression]), (".png", [])):
        content = cv2.imencode(suffix, rgb[..., ::-1], options)[1].tobytes()
        np.testing.assert_array_equal(read(tmp_path, content), high_byte(rgb))


@pytest.mark.parametrize(("colour", "channels"), [(0, 1), (4, 2), (2, 3), (6, 4)])
def test_16_bit_png(tmp_path: Path, colour: int, channels: int) -> None:
    samples = np.dstack([DEEP, DEEP[::-1], DEEP[:, ::-1], DEEP])[..., :channels]
    expected = high_byte(samples[..., 0] if channels < 3 else samples[..., :3])
    np.testing.assert_array_equal(read(tmp_path, png16(samples, colour)), expected)


def test_8_bit_values_stored_in_16_bits_come_back_exactly(tmp_path: Path) -> None:
    for factor in (256, 257):  # shifted, or repeated: both are usual
        stored = GREY.astype(np.uint16) * np.uint16(factor)
        np.testing.assert_array_equal(read(tmp_path, encoded(stored, "PNG"))[..., 0], GREY)


def test_12_bit_values_in_16_bit_samples_come_out_dark(tmp_path: Path) -> None:
    assert read(tmp_path, encoded(DEEP >> 4, "PNG")).max() == 15


def test_true_12_bit_tiff_uses_the_full_range(tmp_path: Path) -> None:
    twelve = (DEEP >> 4).astype(int)
    first, second = twelve[:, 0::2], twelve[:, 1::2]
    packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=-1).astype(np.uint8)
    content = tiff(packed.reshape(24, 60), {256: ("H", (40,)), 258: ("H", (12,))})
    np.testing.assert_array_equal(read(tmp_path, content)[..., 0], (twelve >> 4).astype(np.uint8))


@pytest.mark.parametrize(
    ("samples", "tags", "word"),
    [
        (GREY.astype(np.float32), {339: ("H", (3,))}, "floating-point"),
        (GREY.astype(np.int32), {339: ("H", (2,))}, "32-bit"),
        (GREY.astype(np.uint32), {339: ("H", (1,))}, "32-bit"),
        (GREY.astype(np.int16), {339: ("H", (2,))}, "signed"),
        (np.dstack([DEEP] * 3), {284: ("H", (2,))}, "colour planes"),
        (RGB, {262: ("H", (8,))}, "LAB"),
    ],
    ids=["float32", "int32", "uint32", "int16", "16-bit planes", "Lab"],
)
def test_sample_types_without_a_defined_white_are_refused(
    tmp_path: Path, samples: NDArray[np.generic], tags: Mapping[int, tuple[str, tuple[int, ...]]], word: str
) -> None:
    assert word in refused(tmp_path, tiff(samples, tags))


def test_first_frame_of_several(tmp_path: Path) -> None:
    frames = [Image.fromarray(255 - RGB)]
    for format_, options in (("TIFF", {}), ("PNG", {}), ("WEBP", {"lossless": True})):
        content = encoded(RGB, format_, save_all=True, append_images=frames, **options)
        np.testing.assert_array_equal(read(tmp_path, content), RGB)
    mpo = encoded(SMOOTH, "MPO", save_all=True, append_images=[Image.fromarray(255 - SMOOTH)], quality=95)
    assert np.abs(read(tmp_path, mpo).astype(int) - SMOOTH).max() <= 10


def test_content_counts_not_the_suffix(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read(tmp_path, encoded(RGB, "PNG"), name="really.jpg"), RGB)
    gif = encoded(Image.fromarray(GREY), "GIF")
    assert "PNG or JPEG or BMP or TIFF or WEBP" in refused(tmp_path, gif)


def test_same_file_same_pixels(tmp_path: Path) -> None:
    content = encoded(SMOOTH, "JPEG")
    assert pixel_sha256(read(tmp_path, content)) == pixel_sha256(read(tmp_path, content, name="again.jpg"))


def stored_as(upright: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """What a camera stores, from EXIF's words: where the stored 0th row and 0th column lie in the upright picture."""
    row, column = {
        1: ("top", "left"), 2: ("top", "right"), 3: ("bottom", "right"), 4: ("bottom", "left"),
        5: ("left", "top"), 6: ("right", "top"), 7: ("right", "bottom"), 8: ("left", "bottom"),
    }[orientation]  # fmt: skip
    stored = upright if row in {"top", "bottom"} else upright.transpose(1, 0, 2)
    if row in {"bottom", "right"}:
        stored = stored[::-1]
    if column in {"bottom", "right"}:
        stored = stored[:, ::-1]
    return np.ascontiguousarray(stored)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_exif_orientation(tmp_path: Path, format: str, orientation: int) -> None:  # noqa: A002
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 98, "subsampling": 0}}.get(format, {})
    content = encoded(stored_as(SMOOTH, orientation), format, exif=exif, **options)
    pixels = read(tmp_path, content)
    assert np.abs(pixels.astype(int) - SMOOTH).max() <= (4 if format == "JPEG" else 0)
    with Image.open(io.BytesIO(content)) as image:
        np.testing.assert_array_equal(pixels, np.asarray(ImageOps.exif_transpose(image).convert("RGB")))


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_orientation_that_means_nothing_is_ignored(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(read(tmp_path, encoded(RGB, "PNG", exif=exif)), RGB)


@pytest.mark.parametrize("exif", [b"", b"x", b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\x7f", b"Exif\0\0" + b"\xff" * 99])
def test_damaged_exif_costs_no_picture(tmp_path: Path, exif: bytes) -> None:
    np.testing.assert_array_equal(read(tmp_path, png_with_exif(exif.removeprefix(b"Exif\0\0"))), RGB)
    pixels = read(tmp_path, encoded(SMOOTH, "JPEG", exif=exif, quality=95))
    assert np.abs(pixels.astype(int) - SMOOTH).max() <= 10


def png_with_exif(body: bytes) -> bytes:
    raw = b"".join(b"\0" + row.tobytes() for row in RGB)
    return png(40, 24, (b"eXIf", body), (b"IDAT", zlib.compress(raw)))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=80))
def test_any_exif_costs_no_picture(tmp_path: Path, noise: bytes) -> None:
    # Two entries that come from anywhere, the second one an orientation of any type and count.
    body = b"II*\0\x08\0\0\0\x02\0" + noise[:12].ljust(12, b"\0") + b"\x12\x01" + noise[12:]
    pixels = read(tmp_path, png_with_exif(body))
    assert sorted(pixels.shape[:2]) == [24, 40]


def test_missing_folder_empty_pipe_and_nul(tmp_path: Path) -> None:
    assert "missing" in complaint(tmp_path / "gone.png")
    (tmp_path / "folder.png").mkdir()
    assert "a folder" in complaint(tmp_path / "folder.png")
    assert "empty file (0 bytes)" in refused(tmp_path, b"")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.png")
        assert "no regular file" in complaint(tmp_path / "pipe.png")
    with pytest.raises(ImageError, match="null byte"):
        read_image(tmp_path / "a\0b.png")


def test_permission_denied_and_vanishing_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "locked.png"
    path.write_bytes(encoded(RGB, "PNG"))

    def denied(self: Path, mode: str) -> None:  # tests may run as root, to whom nothing is denied
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", denied)
    assert "Permission denied" in complaint(path)

    def vanished(self: Path, mode: str) -> None:
        raise FileNotFoundError(2, "No such file or directory", str(self))

    monkeypatch.setattr(Path, "open", vanished)
    assert "missing" in complaint(path)


def test_names_with_line_breaks_and_raw_bytes_stay_on_one_line(tmp_path: Path) -> None:
    with pytest.raises(ImageError) as caught:
        read_image(tmp_path / "a\nb\udcff.png")
    assert "\n" not in str(caught.value)
    assert str(caught.value).encode("utf-8")


@pytest.mark.parametrize(
    "content", [b"hello", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"%PDF-1.7", b"RIFF....WEBP", b"\0" * 99]
)
def test_what_is_no_image(tmp_path: Path, content: bytes) -> None:
    assert "no image, cut short" in refused(tmp_path, content)


def test_sizes(tmp_path: Path) -> None:
    assert "got 1 x 1" in refused(tmp_path, encoded(RGB[:1, :1], "PNG"))
    assert "got 40 x 7" in refused(tmp_path, encoded(RGB[:7], "PNG"))
    assert read(tmp_path, encoded(RGB[:8, :8], "PNG")).shape == (8, 8, 3)
    assert read(tmp_path, encoded(RGB[:1, :1], "PNG"), min_side=1).shape == (1, 1, 3)
    assert "at most 959 pixels, got 40 x 24" in refused(tmp_path, encoded(RGB, "PNG"), max_pixels=959)
    assert read(tmp_path, encoded(RGB, "PNG"), max_pixels=960).shape == RGB.shape


def test_decompression_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    bomb = png(100_000, 100_000, (b"IDAT", zlib.compress(b"\0" * 1000)))
    assert "decompression bomb" in refused(tmp_path, bomb)
    # Between Pillow's warning and its error, and below our limit: no warning escapes, the short data are the fault.
    large = png(10_000, 10_000, (b"IDAT", zlib.compress(b"\0" * 1000)))
    assert "decompression bomb" not in refused(tmp_path, large)
    assert "at most 50000000 pixels" in refused(tmp_path, large, max_pixels=50_000_000)


def test_file_larger_than_any_image_of_that_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_CONTAINER_OVERHEAD", 100)
    assert "at most 108 bytes" in refused(tmp_path, encoded(RGB, "PNG"), max_pixels=1)


@pytest.mark.parametrize("error", [MemoryError(), SyntaxError("bad\nheader"), struct.error("x"), zlib.error("x")])
def test_what_a_decoder_raises_becomes_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(images.Image, "open", broken)
    message = refused(tmp_path, b"x")
    assert ("memory" in message) == isinstance(error, MemoryError)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_interruption_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise error

    path = tmp_path / "a.png"
    path.write_bytes(b"x")
    monkeypatch.setattr(images.Image, "open", interrupted)
    with pytest.raises(error):
        read_image(path)


def test_reading_leaves_warning_filters_alone(tmp_path: Path) -> None:
    before = list(warnings.filters)
    read(tmp_path, encoded(RGB, "PNG"))
    assert warnings.filters == before


DAMAGED: dict[str, Callable[[], bytes]] = {
    "png": lambda: encoded(SMOOTH, "PNG"),
    "png palette": lambda: encoded(Image.fromarray(SMOOTH).quantize(16), "PNG"),
    "png 16": lambda: encoded(DEEP[:12, :12], "PNG"),
    "jpeg": lambda: encoded(ROUGH, "JPEG"),
    "jpeg grey": lambda: encoded(ROUGH[..., 0], "JPEG"),
    "jpeg progressive": lambda: encoded(ROUGH, "JPEG", progressive=True),
    "jpeg restart": lambda: encoded(ROUGH, "JPEG", restart_marker_blocks=1),
    "bmp": lambda: encoded(SMOOTH[:9, :9], "BMP"),
    "bmp palette": lambda: encoded(Image.fromarray(GREY), "BMP"),
    "tiff": lambda: encoded(SMOOTH[:9, :9], "TIFF"),
    "tiff lzw": lambda: encoded(SMOOTH, "TIFF", compression="tiff_lzw"),
    "tiff jpeg": lambda: encoded(SMOOTH, "TIFF", compression="jpeg"),
    "tiff 16": lambda: tiff(np.dstack([DEEP[:9, :9]] * 3), {}),
    "webp": lambda: encoded(SMOOTH, "WEBP"),
    "webp lossless": lambda: encoded(SMOOTH, "WEBP", lossless=True),
}
whole = functools.cache(lambda name: DAMAGED[name]())


def pixels_or_none(folder: Path, content: bytes) -> NDArray[np.uint8] | None:
    try:
        return read(folder, content, max_pixels=1_000_000)  # a damaged header may claim far more, and take seconds
    except ImageError:
        return None


@pytest.mark.parametrize("name", DAMAGED)
def test_truncated_anywhere_it_is_refused_or_complete(tmp_path: Path, name: str) -> None:
    content = whole(name)
    expected = read(tmp_path, content)
    refusals = 0
    for length in {*range(1, len(content), 1 + len(content) // 300), *range(max(1, len(content) - 40), len(content))}:
        pixels = pixels_or_none(tmp_path, content[:length])
        refusals += pixels is None
        # A file may miss some bytes behind the last pixel, but it never gives other pixels.
        assert pixels is None or np.array_equal(pixels, expected), length
    assert refusals > len(content) // 20 or refusals > 250


def picture_data(content: bytes) -> list[int]:
    """Every offset inside a JPEG's entropy-coded data."""
    scans = re.finditer(rb"\xff\xda(..)(?:[^\xff]|\xff[\x00\xd0-\xd7])*", content, re.DOTALL)
    return [k for scan in scans for k in range(scan.start() + 2 + int.from_bytes(scan[1], "big") + 1, scan.end())]


@pytest.mark.parametrize("name", [name for name in DAMAGED if name.startswith("jpeg")])
@pytest.mark.parametrize("tail", [b"\xff\xd9", b"\xff\xd9 trailing \xff\xd9"])
def test_jpeg_cut_and_closed_again_is_refused(tmp_path: Path, name: str, tail: bytes) -> None:
    content = whole(name)
    expected = read(tmp_path, content)
    offsets = picture_data(content)
    assert len(offsets) > 300
    missed = []
    for length in offsets:
        pixels = pixels_or_none(tmp_path, content[:length] + tail)
        if pixels is not None and not np.array_equal(pixels, expected):
            missed.append(length)
    assert missed == []


@pytest.mark.parametrize("value", [0, 128, 255])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 2}])
def test_flat_whole_jpeg_is_not_taken_for_a_cut_one(tmp_path: Path, value: int, options: dict[str, object]) -> None:
    flat = np.full((33, 50, 3), value, dtype=np.uint8)
    for content in (
        encoded(flat, "JPEG", **options),
        encoded(flat[..., 0], "JPEG", **options),
        encoded(flat, "JPEG", **options) + b"trailing bytes",
        encoded(flat, "MPO", save_all=True, append_images=[Image.fromarray(SMOOTH)]),
        encoded(Image.fromarray(flat).convert("CMYK"), "JPEG", **options),
    ):
        assert np.abs(read(tmp_path, content).astype(int) - value).max() <= 1


def test_jpeg_end_skips_thumbnails_and_notices_its_absence() -> None:
    body = b"\xff\xd8\xff\xe1\x00\x06\xff\xd9\xff\xd9\xff\xda\x00\x04\x01\x02\x11\xff\x00\xff\xd0\x22"
    assert images._jpeg_end(body + b"\xff\xd9") == len(body)
    assert images._jpeg_end(body) is None
    # Pillow refuses a file without an end by itself today; should it not, such a file still counts as cut.
    content = whole("jpeg")
    with Image.open(io.BytesIO(content)) as image:
        pixels = np.asarray(image)
    assert not images._ends_early(content, pixels)
    assert images._ends_early(content[:-2], pixels)


@pytest.mark.parametrize("name", DAMAGED)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6),
    cut=st.floats(0, 1),
)
def test_random_damage_never_escapes(tmp_path: Path, name: str, changes: list[tuple[float, int]], cut: float) -> None:
    content = bytearray(whole(name))
    for place, value in changes:
        content[int(place * len(content))] = value
    pixels_or_none(tmp_path, bytes(content))
    pixels_or_none(tmp_path, bytes(content[: 1 + int(cut * len(content))]))


@pytest.mark.parametrize("name", ["png", "png palette", "png 16"])
def test_any_flipped_bit_of_a_png_is_noticed(tmp_path: Path, name: str) -> None:
    content = whole(name)
    for position in range(len(content) - 12):  # behind this the last chunk only says that nothing follows
        damaged = bytearray(content)
        damaged[position] ^= 1 << position % 8
        assert pixels_or_none(tmp_path, bytes(damaged)) is None, position


@pytest.mark.parametrize("level", [0, 1, 6, 9])
def test_png_round_trip(level: int) -> None:
    for pixels, mode in ((RGB, "RGB"), (GREY, "L"), (RGB[::2, ::-1], "RGB"), (RGB[:1, :1], "RGB")):
        content = encode_png(pixels, compress_level=level)
        assert content == encode_png(pixels.copy(), compress_level=level)
        decoded, decoded_mode, text = decode_png(content, what="x")
        np.testing.assert_array_equal(decoded, pixels)
        assert decoded.dtype == np.uint8
        assert (decoded_mode, text) == (mode, {})


def test_mask_becomes_0_and_255() -> None:
    decoded, mode, _ = decode_png(encode_png(GREY > 99), what="x")
    assert mode == "L"
    np.testing.assert_array_equal(decoded, np.where(GREY > 99, 255, 0))


def chunk_names(content: bytes) -> list[bytes]:
    names, position = [], 8
    while position < len(content):
        names.append(content[position + 4 : position + 8])
        position += 12 + int.from_bytes(content[position : position + 4], "big")
    return names


def test_text_is_itxt_and_nothing_else_is_written() -> None:
    text = {"fmas.prompt": "ein tiefer Kratzer — 傷 😀\nline", "empty": "", "b": "x" * 100_000}
    content = encode_png(RGB, text=text)
    assert [name for name in chunk_names(content) if name != b"IDAT"] == [b"IHDR", *[b"iTXt"] * 3, b"IEND"]
    assert "ein tiefer Kratzer — 傷".encode() in content
    assert decode_png(content, what="x")[2] == text


@given(st.dictionaries(st.from_regex(r"[!-~]{1,79}", fullmatch=True), st.text(max_size=30), max_size=3))
@settings(max_examples=40)
def test_any_text_comes_back_or_is_refused(text: dict[str, str]) -> None:
    if any("\0" in value for value in text.values()):
        with pytest.raises(ValueError, match="without NUL"):
            encode_png(RGB, text=text)
    else:
        assert decode_png(encode_png(RGB, text=text), what="x")[2] == text


@pytest.mark.parametrize("text", [{"": "x"}, {"k" * 80: "x"}, {"é": "x"}, {" k": "x"}, {"k": "\0"}, {"k": "\udcff"}])
def test_text_that_png_cannot_hold(text: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="expected an ASCII keyword"):
        encode_png(RGB, text=text)


@pytest.mark.parametrize(
    "pixels", [RGB.astype(np.float32), RGB[..., :2], RGB[0, 0], RGB[:0], np.zeros((8, 8, 3), bool), DEEP]
)
def test_pixels_that_are_neither_image_nor_mask(pixels: NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match="expected non-empty uint8"):
        encode_png(pixels)


@pytest.mark.parametrize("level", [-1, 10])
def test_compression_level_out_of_range(level: int) -> None:
    with pytest.raises(ValueError, match="from 0 to 9"):
        encode_png(RGB, compress_level=level)


def test_decode_png_shows_other_modes_as_they_are_stored() -> None:
    assert decode_png(encoded(Image.fromarray(GREY > 9), "PNG"), what="x")[1] == "1"
    assert decode_png(encoded(np.dstack([RGB, GREY]), "PNG"), what="x")[1] == "RGBA"
    assert decode_png(encoded(Image.fromarray(RGB).quantize(4), "PNG"), what="x")[1] == "P"
    deep, mode, _ = decode_png(encoded(DEEP, "PNG"), what="x")
    assert mode.startswith("I")
    np.testing.assert_array_equal(deep, DEEP)
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode_png(encoded(RGB, "PNG", exif=exif), what="x")[0].shape == RGB.shape


def test_decode_png_refuses_what_is_no_whole_png() -> None:
    content = encode_png(RGB, text={"a": "b"})
    for data in (b"", b"x", content[:-1], content + b"x", content[:60], encoded(RGB, "BMP"), encoded(RGB, "JPEG")):
        with pytest.raises(ImageError, match=r"expected a whole PNG image.* in the mask"):
            decode_png(data, what="the mask")
    with pytest.raises(ImageError, match="at most 9 pixels"):
        decode_png(content, what="x", max_pixels=9)


def test_pixel_digest() -> None:
    assert pixel_sha256(RGB) == pixel_sha256(np.asfortranarray(RGB)) == pixel_sha256(RGB[::-1][::-1].copy())
    others = [RGB, RGB[::-1], RGB.reshape(40, 24, 3), GREY, GREY.astype(np.uint16), GREY > 0, RGB[:0]]
    assert len({pixel_sha256(pixels) for pixels in others}) == len(others)
    expected = hashlib.sha256(b"|u1(2, 2)\x00\x01\x02\x03").hexdigest()
    assert pixel_sha256(np.array([[0, 1], [2, 3]], dtype=np.uint8)) == expected
