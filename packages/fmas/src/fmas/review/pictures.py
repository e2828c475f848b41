"""The bytes behind a picture's address: the data set's own files, and small versions of two of them."""

from __future__ import annotations

import hashlib
import io
import threading
from pathlib import Path

import numpy as np
from PIL import Image

from fmas.images import decode_png
from fmas.review.index import CurrentPicture

__all__ = ["KINDS", "PictureError", "picture_bytes"]

KINDS = ("normal", "result", "mask", "thumb-normal", "thumb-result")
"""What there is to see of a pair; ``thumb-…`` is a small version."""

_THUMB_SIDE = 320  # pixels; what the page shows in its list, sharp on a display of twice the density
_THUMB_QUALITY = 85
_AT_A_TIME = threading.BoundedSemaphore(2)  # decoding is what takes memory; the browser asks for many at once


class PictureError(Exception):
    """A picture cannot be shown; ``str(error)`` says why, in words for the reviewer."""


def picture_bytes(dataset: Path, picture: CurrentPicture, kind: str, *, max_pixels: int) -> tuple[bytes, str]:
    """Return content and media type of a picture.

    What is returned is what the manifest recorded, byte for byte, or made from it: a reviewer must never decide about
    one picture while seeing another.

    Args:
        dataset: The category's folder.
        picture: What the place holds.
        kind: One of :data:`KINDS`.
        max_pixels: Larger files are not decoded.

    Raises:
        PictureError: If the file is missing, was changed, or is just being replaced.
        ImageError: If it cannot be decoded.
    """
    name, sha256 = picture.files.get(kind.removeprefix("thumb-"), ("", ""))
    path = dataset / name
    try:
        if not name or not path.resolve().is_relative_to(dataset.resolve()):  # a link to elsewhere
            raise PictureError("there is no such picture in the data set")
        content = path.read_bytes()
    except OSError as error:
        raise PictureError(f"{name} cannot be read ({error.strerror or error})") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise PictureError(f"{name} is not what was recorded: it is being replaced, or somebody changed it")
    if not kind.startswith("thumb-"):
        return content, "image/png"
    with _AT_A_TIME:
        return _thumb(content, name, max_pixels), "image/webp"


def _thumb(content: bytes, name: str, max_pixels: int) -> bytes:
    pixels, _, _ = decode_png(content, what=name, max_pixels=max_pixels)
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.thumbnail((_THUMB_SIDE, _THUMB_SIDE), Image.Resampling.LANCZOS, reducing_gap=3.0)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=_THUMB_QUALITY, method=2)
    return buffer.getvalue()
