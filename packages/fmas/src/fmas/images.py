"""Reading photographs into 8-bit RGB, and writing and reading back the PNG files of a data set.

One decoder, Pillow, and rules that do not look at an image's content, so that all images of a product fare alike:

* 16-bit samples keep their high byte (``v >> 8``), 12-bit ones their eight high bits (``v >> 4``). Pillow and OpenCV
  do the same to 16-bit colour. Nothing is stretched: 12-bit values stored in 16-bit samples come out dark.
* Transparency is dropped, not composited: the stored colour counts, as it does in ``Image.convert("RGB")`` and in
  OpenCV's colour reading, which detectors are fed by.
* CMYK becomes RGB by Pillow's formula. Colour profiles and gamma chunks are ignored.
* Of several frames or pages the first is taken.
* Floating-point, 32-bit and signed samples are refused, since the file does not say what is white.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
import struct
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from fmas.errors import ImageError
from fmas.types import BoolMask, RGBImage

__all__ = ["decode_png", "encode_png", "pixel_sha256", "read_image"]

_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")
_ORIENTATION, _BITS_PER_SAMPLE, _PLANAR_CONFIGURATION = 0x0112, 258, 284
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # neither stuffing, nor fill bytes, nor a restart
_JPEG_END = 0xD9
_PNG_END = b"\0\0\0\0IEND\xae\x42\x60\x82"
_CONTAINER_OVERHEAD = 64 * 2**20  # bytes granted to metadata and further frames beside the pixels

# What Pillow's parsers and the C code below them may raise on damaged files. Warning: a user may run Python with
# -W error. Not Exception: that would hide mistakes of ours, and never BaseException.
_DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    EOFError,
    RuntimeError,
    SystemError,
    MemoryError,
    AssertionError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Warning,
)


def read_image(
    path: Path, *, max_pixels: int = 200_000_000, min_side: int = 8, shown_as: str | None = None
) -> tuple[RGBImage, str]:
    """Read one photograph, turned upright as its EXIF data say.

    The format is told by the content, not by the suffix. PNG checksums are verified; a JPEG whose data end early is
    refused even if the decoder would fill the rest with grey.

    Args:
        path: A PNG, JPEG, BMP, TIFF or WebP file.
        max_pixels: Largest width times height, checked before anything is decoded. Pillow's own ceiling, twice
            ``PIL.Image.MAX_IMAGE_PIXELS`` (178,956,970 pixels unless somebody changed it), holds as well.
        min_side: Smallest width and height, pixels.
        shown_as: What messages call the file; its path by default.

    Returns:
        Pixels, ``(H, W, 3)`` uint8 RGB 0..255, C-contiguous and writable; and the SHA-256 of the file's bytes, 64 hex
        digits. The file is read once, so both speak of the same bytes.

    Raises:
        ImageError: If the file is missing, unreadable, empty, damaged, no image, too large, too small, or of a sample
            type that has no defined white.
    """
    name = repr(str(path) if shown_as is None else shown_as)
    content = _read_bytes(path, name, max_bytes=8 * max_pixels + _CONTAINER_OVERHEAD)
    with _decoding(name, _FORMATS):
        image = _open(content, name, formats=_FORMATS, max_pixels=max_pixels)
        if min(image.size) < min_side:
            raise ImageError(
                f"expected an image of at least {min_side} x {min_side} pixels, got {_size(image)} in {name} "
                "(too small); replace it by a larger photograph"
            )
        _refuse_unreadable_layout(image, name)
        image.load()
        pixels = _to_rgb(image, name)
        if image.format in {"JPEG", "MPO"} and _ends_early(content, pixels):
            raise ImageError(f"expected a whole JPEG, got one whose picture data end early in {name}; copy it again")
        pixels = _upright(pixels, _orientation(image))
    return np.array(pixels, dtype=np.uint8, order="C"), hashlib.sha256(content).hexdigest()


def encode_png(
    pixels: NDArray[np.uint8] | BoolMask, *, text: Mapping[str, str] | None = None, compress_level: int = 3
) -> bytes:
    """Encode an image or a mask; the same arguments give the same bytes with the same versions of Pillow and zlib.

    Args:
        pixels: ``(H, W, 3)`` uint8 RGB, ``(H, W, 4)`` uint8 RGBA, ``(H, W)`` uint8 grey, or ``(H, W)`` bool, written
            as grey 0 and 255.
        text: Written as iTXt chunks, UTF-8, uncompressed, in the mapping's order. Keywords are 1 to 79 ASCII
            characters; texts hold no NUL.
        compress_level: zlib's, 0 (stored) to 9 (smallest).

    Returns:
        A PNG file without a time stamp.

    Raises:
        ValueError: If an argument is outside what is stated above.
    """
    if pixels.dtype == np.bool_ and pixels.ndim == 2:
        pixels = pixels.astype(np.uint8) * np.uint8(255)
    is_colour = pixels.ndim == 3 and pixels.shape[2] in (3, 4)
    if pixels.dtype != np.uint8 or not (is_colour or pixels.ndim == 2) or 0 in pixels.shape:
        raise ValueError(
            "expected non-empty uint8 pixels (H, W, 3), (H, W, 4) or (H, W), or a bool mask (H, W), "
            f"got {pixels.dtype} {pixels.shape}; convert them first"
        )
    if not 0 <= compress_level <= 9:
        raise ValueError(f"expected a compression level from 0 to 9, got {compress_level}; 3 suits photographs")
    chunks = PngImagePlugin.PngInfo()
    for keyword, value in (text or {}).items():
        if not re.fullmatch(r"[!-~]([ -~]{0,77}[!-~])?", keyword) or not _is_png_text(value):
            raise ValueError(
                "expected an ASCII keyword of 1 to 79 characters and a UTF-8 text without NUL, "
                f"got {keyword!r}: {value[:40]!r}; escape it first"
            )
        chunks.add_itxt(keyword, value)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(
        buffer, "PNG", pnginfo=chunks, compress_level=compress_level, optimize=False
    )
    return buffer.getvalue()


def decode_png(data: bytes, *, what: str, max_pixels: int = 200_000_000) -> tuple[NDArray[Any], str, dict[str, str]]:
    """Decode a PNG as it is stored: no conversion, no rotation, every checksum verified.

    Args:
        data: The file's bytes.
        what: Names the file in messages.
        max_pixels: Largest width times height.

    Returns:
        The pixels (``(H, W, 3)`` uint8 for mode ``RGB``, ``(H, W, 4)`` uint8 for ``RGBA``, ``(H, W)`` uint8 for ``L``,
        whatever numpy makes of any other mode, hence no dtype is promised), Pillow's name of the mode, and every text
        chunk by its keyword.

    Raises:
        ImageError: If ``data`` are not one whole PNG.
    """
    with _decoding(what, ("PNG",)):
        image = _open(data, what, formats=("PNG",), max_pixels=max_pixels)
        image.load()
        if not data.endswith(_PNG_END):  # decoders mind neither a cut inside the last chunk nor bytes behind it
            raise ImageError(
                f"expected a whole PNG image, got another ending than its last chunk in {what}; rewrite it"
            )
        pixels = np.array(image, order="C")
        texts = image.text if isinstance(image, PngImagePlugin.PngImageFile) else {}
        return pixels, image.mode, {str(keyword): str(value) for keyword, value in texts.items()}


def pixel_sha256(pixels: NDArray[Any]) -> str:
    """Return a SHA-256, 64 hex digits, over dtype, shape and values of any array, whatever its memory layout."""
    digest = hashlib.sha256(f"{pixels.dtype.str}{pixels.shape}".encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def _read_bytes(path: Path, name: str, *, max_bytes: int) -> bytes:
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):  # a pipe would block for ever
            kind = "a folder" if stat.S_ISDIR(mode) else "something that is no regular file"
            raise ImageError(f"expected an image file, got {kind} at {name}; name a file")
        with path.open("rb") as file:
            # Not max_bytes + 1 at once: Python would set that much memory aside before it reads.
            content = file.read(min(max_bytes, os.fstat(file.fileno()).st_size) + 1)
    except FileNotFoundError as error:
        raise ImageError(f"expected an image file, got nothing at {name} (missing); restore it or rerun") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise ImageError(f"expected a readable file, got {reason!r} for {name}; check its permissions") from error
    if not content:
        raise ImageError(f"expected an image, got an empty file (0 bytes) at {name}; copy it again")
    if len(content) > max_bytes:
        raise ImageError(
            f"expected at most {max_bytes} bytes, got a larger file at {name}; crop or downscale it, or save one frame"
        )
    return content


@contextmanager
def _decoding(name: str, formats: tuple[str, ...]) -> Iterator[None]:
    """Turn whatever a damaged file makes the decoder raise into one ``ImageError``, and keep its warnings quiet."""
    try:
        with warnings.catch_warnings():
            # By module: should two threads interleave and a filter be left behind, it still hides nothing of others'.
            warnings.filterwarnings("ignore", module=r"PIL\.")
            yield
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"expected at most {_pillow_ceiling()} pixels, got more in {name} (decompression bomb?); "
            "crop or downscale it"
        ) from error
    except MemoryError as error:
        raise ImageError(f"expected an image that fits in memory, got {name}; downscale it or free memory") from error
    except _DECODER_ERRORS as error:
        reason = (
            "no image, cut short, or of an unknown variant"
            if isinstance(error, UnidentifiedImageError)
            else _one_line(error)
        )
        raise ImageError(
            f"expected a whole {' or '.join(formats)} image, got damaged or unsupported content in {name} ({reason}); "
            "copy it again or convert it"
        ) from error


def _open(content: bytes, name: str, *, formats: tuple[str, ...], max_pixels: int) -> Image.Image:
    """Parse the header, check the size before any pixel is decoded, and verify a PNG's checksums."""
    image = Image.open(io.BytesIO(content), formats=formats)
    if image.width * image.height > max_pixels:
        raise ImageError(
            f"expected at most {max_pixels} pixels, got {_size(image)} in {name} (decompression bomb?); "
            "crop or downscale it"
        )
    if image.format == "PNG":
        image.verify()  # decoding alone skips the checksums of the pixel data; it leaves the image unusable
        image = Image.open(io.BytesIO(content), formats=formats)
    return image


def _refuse_unreadable_layout(image: Image.Image, name: str) -> None:
    """Refuse the files that Pillow would decode to something, but not to the picture."""
    deepest = 8
    if isinstance(image, TiffImageFile):
        deepest = max(image.tag_v2.get(_BITS_PER_SAMPLE, (1,)))
        if deepest > 8 and image.tag_v2.get(_PLANAR_CONFIGURATION, 1) == 2:
            raise ImageError(
                f"expected interleaved samples, got {deepest}-bit colour planes in {name}; "
                "save it as an interleaved (contiguous) TIFF or as PNG"
            )
    if image.mode == "F" or (image.mode == "I" and image.format != "PNG"):
        kind = "floating-point" if image.mode == "F" else "32-bit or signed"
        raise ImageError(
            f"expected 8-bit or unsigned 16-bit samples, got {kind} ones in {name}, which name no white; "
            "scale it to 8 or 16 bits, the same way for all images"
        )


def _to_rgb(image: Image.Image, name: str) -> RGBImage:
    if image.mode == "I" or image.mode.startswith("I;16"):  # Pillow before 11 calls a 16-bit grey PNG "I"
        bits = max(image.tag_v2.get(_BITS_PER_SAMPLE, (16,))) if isinstance(image, TiffImageFile) else 16
        grey = (np.asarray(image).astype(np.uint16) >> (bits - 8)).astype(np.uint8)
        return np.repeat(grey[:, :, np.newaxis], 3, axis=2)
    if image.mode == "LAB":
        raise ImageError(f"expected grey, RGB, palette or CMYK colour, got {image.mode} in {name}; convert it to RGB")
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 for none or for data that make no sense. Pillow turned a TIFF already."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except _DECODER_ERRORS:  # damaged EXIF data are no reason to lose a picture
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _upright(pixels: RGBImage, orientation: int) -> RGBImage:
    if orientation in {3, 4, 7, 6}:
        pixels = pixels[::-1]
    if orientation in {2, 3, 7, 8}:
        pixels = pixels[:, ::-1]
    return pixels.swapaxes(0, 1) if orientation >= 5 else pixels


def _ends_early(content: bytes, pixels: RGBImage) -> bool:
    """Whether a JPEG's picture data run out before the picture does.

    libjpeg then fills the rest with grey and says so only in a warning that Pillow drops. Further data put before the
    end marker tell: a complete picture ignores them, an incomplete one changes. (A progressive file that lacks whole
    scans looks complete, only blurred.)
    """
    end = _jpeg_end(content)
    if end is None:
        return True
    noise = b"\xda\x35\xc6\x5b" * 64  # begins unlike the zeros that libjpeg feeds itself
    # With restart markers, because a picture may also end just where one is due.
    longer = content[:end] + b"".join(noise + bytes((0xFF, 0xD0 + k)) for k in range(8)) + noise + content[end:]
    with Image.open(io.BytesIO(longer), formats=("JPEG",)) as other:
        return not np.array_equal(np.asarray(other.convert("RGB")), pixels)


def _jpeg_end(content: bytes) -> int | None:
    """Return where the first picture's end marker stands; a thumbnail's, inside a segment, does not count."""
    position = 2
    while (marker := _JPEG_MARKER.search(content, position)) is not None:
        position = marker.start()
        if content[position + 1] == _JPEG_END:
            return position
        # Over the segment; the search then runs over the picture data, if such follow, to the next marker.
        position += 2 + int.from_bytes(content[position + 2 : position + 4], "big")
    return None


def _is_png_text(value: str) -> bool:
    try:
        return b"\0" not in value.encode("utf-8")
    except UnicodeEncodeError:
        return False


def _pillow_ceiling() -> int:
    return 2 * (Image.MAX_IMAGE_PIXELS or 0)


def _size(image: Image.Image) -> str:
    return f"{image.width} x {image.height}"


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
