"""Reading one score map or one mask from a TIFF, PNG, NPY or NPZ file, or saying which file is wrong and why."""

from __future__ import annotations

import errno
import logging
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmas_evaluate.errors import InvalidInput
from fmas_evaluate.extras import extra_module
from fmas_evaluate.files import printable

__all__ = ["MAP_SUFFIXES", "MASK_SUFFIXES", "read_map", "read_mask"]

MAP_SUFFIXES = (".npy", ".npz", ".png", ".tif", ".tiff")
MASK_SUFFIXES = (".bmp", *MAP_SUFFIXES)

# What numpy, pillow and tifffile raise on broken bytes; SyntaxError is pillow's for a broken PNG.
_BROKEN = (
    *(ValueError, TypeError, IndexError, KeyError, EOFError, OverflowError, RuntimeError, SyntaxError, MemoryError),
    *(AttributeError, AssertionError, ZeroDivisionError, NotImplementedError),
    *(struct.error, tokenize.TokenError, zlib.error, zipfile.BadZipFile),
)


def read_map(path: Path) -> NDArray[Any]:
    """Return a score map.

    An NPY file is mapped, not read: only the pages that are looked at are loaded.

    Args:
        path: TIFF with one grey page (any real type), PNG with 8 or 16 bits of grey, NPY, or NPZ with one array.

    Returns:
        ``(H, W)``, of the file's own integer or float type, values as stored.

    Raises:
        InvalidInput: If the file is broken or holds anything else.
        OSError: If the file cannot be read at all.
        ModuleNotFoundError: If the library for this format is not installed.
    """
    array = _read(path, "score map")
    if array.dtype.kind not in "iuf":
        raise InvalidInput(
            f"{printable(path)}: expected integer or float scores, got {array.dtype}; save the map before any threshold"
        )
    return array


def read_mask(path: Path, *, colours: bool = False) -> NDArray[Any]:
    """Return a defect mask with its values as stored; what they mean is judged by whoever compares them.

    A PNG may hold grey, a palette, or colours that are all grey.

    Args:
        path: As for ``read_map``, or BMP.
        colours: Accept a mask with colours: a pixel's value is then the largest of its channels.

    Returns:
        ``(H, W)`` bool, integer or float.

    Raises:
        InvalidInput: If the file is broken, or has colours and ``colours`` is false.
        OSError: If the file cannot be read at all.
        ModuleNotFoundError: If the library for this format is not installed.
    """
    return _read(path, "mask", colours=colours)


def _read(path: Path, what: str, *, colours: bool | None = None) -> NDArray[Any]:
    """Return the array of any format; ``colours`` is ``None`` for a map, which may have none."""
    suffix = path.suffix.lower()
    with _blaming(path, what):
        if suffix == ".npy":
            return _plane(np.load(path, mmap_mode="r", allow_pickle=False))
        if suffix == ".npz":
            return _plane(_only_array(path))
        if suffix in (".tif", ".tiff"):
            return _plane(_tiff(path))
        return _picture(path, colours=colours)


@contextmanager
def _blaming(path: Path, what: str) -> Iterator[None]:
    """Turn whatever broken bytes cause into one error that names the file."""
    try:
        yield
    except _UnfitError as error:
        raise InvalidInput(f"{printable(path)}: {error}") from error
    except ModuleNotFoundError:
        raise
    except OSError as error:
        # Missing, forbidden, a broken disk: not the bytes. EINVAL is a seek to where a broken archive points.
        if error.errno not in (None, errno.EINVAL):
            raise
        raise _broken(path, what, error) from error
    except _BROKEN as error:
        raise _broken(path, what, error) from error


class _UnfitError(Exception):
    """A file that reads well and holds the wrong thing."""


def _broken(path: Path, what: str, error: Exception) -> InvalidInput:
    reason = " ".join(printable(" ".join(str(error).split())).split()) or type(error).__name__
    if len(reason) > 200:
        reason = reason[:200] + "…"
    return InvalidInput(
        f"{printable(path)}: expected a whole {path.suffix.lower()[1:].upper()} file with a {what}, got one that "
        f"cannot be read ({reason}); write it again"
    )


def _plane(array: NDArray[Any]) -> NDArray[Any]:
    """Return ``(H, W)``; one channel in front or behind is taken off."""
    if array.ndim == 3 and array.shape[0] == 1:
        array = array[0]
    elif array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim != 2:
        raise _UnfitError(
            f"expected one plane (H, W), got shape {array.shape}; save one file per image, without colours or batches"
        )
    if array.size == 0:
        raise _UnfitError(f"expected at least one pixel, got shape {array.shape}; write it again")
    return array


def _only_array(path: Path) -> NDArray[Any]:
    # numpy would leave the file open when the archive is broken.
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        if len(archive.files) != 1:
            names = ", ".join(printable(name) for name in archive.files) or "none"
            raise _UnfitError(f"expected one array in the NPZ file, got {len(archive.files)} ({names}); save one alone")
        array: NDArray[Any] = archive[archive.files[0]]
        return array


def _tiff(path: Path) -> NDArray[Any]:
    tifffile = extra_module("tifffile", purpose=f"to read {printable(path)}")
    with _complaints("tifffile"), tifffile.TiffFile(path) as tiff:
        if len(tiff.pages) != 1:
            raise _UnfitError(f"expected one page, got {len(tiff.pages)}; save one file per image")
        page = tiff.pages[0]
        if page.samplesperpixel != 1 or int(page.photometric) == 3:  # 3: a palette
            raise _UnfitError(
                f"expected one grey channel, got {page.samplesperpixel} of {page.photometric.name}; save the scores, "
                "not a picture of them"
            )
        if (
            max((o + n for o, n in zip(page.dataoffsets, page.databytecounts, strict=True)), default=0)
            > tiff.filehandle.size
        ):
            raise ValueError("the file ends before its pixels do")
        try:
            array: NDArray[Any] = page.asarray()
        except ValueError as error:
            if "imagecodecs" not in str(error):
                raise
            # LZW is what OpenCV writes; pillow has it built in.
            return _picture(path, colours=None)
        return array


@contextmanager
def _complaints(logger: str) -> Iterator[None]:
    """Raise what a library only logs as an error: it skips a damaged tag, and floats may come back as integers."""
    handler = _Raising(logging.ERROR)
    log = logging.getLogger(logger)
    propagated = log.propagate
    log.addHandler(handler)
    log.propagate = False  # its warnings would stand between our lines
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.propagate = propagated


class _Raising(logging.Handler):
    """Turns a log record into an exception."""

    def emit(self, record: logging.LogRecord) -> None:
        """Raise its message."""
        raise ValueError(record.getMessage())


def _picture(path: Path, *, colours: bool | None) -> NDArray[Any]:
    """Return a file that pillow reads."""
    extra_module("PIL", purpose=f"to read {printable(path)}", distribution="pillow")
    from PIL import Image

    with warnings.catch_warnings():
        # A map of 100 megapixels is no attack: the user made it.
        warnings.simplefilter("ignore")
        try:
            with Image.open(path) as image:
                if getattr(image, "n_frames", 1) != 1:
                    raise _UnfitError(
                        f"expected one picture, got {getattr(image, 'n_frames', 1)}; save one file per image"
                    )
                image.load()
                return _grey(image, colours=colours)
        except Image.DecompressionBombError as error:
            raise _UnfitError(
                f"expected a picture that pillow dares to read, got {error}; save it as NPY or TIFF"
            ) from error


def _grey(image: Any, *, colours: bool | None) -> NDArray[Any]:  # noqa: ANN401 (pillow is imported on demand)
    mode = image.mode
    if mode in ("1", "L", "F", "I") or mode.startswith("I;16"):
        return _plane(np.asarray(image))
    if colours is None:
        raise _UnfitError(f"expected one grey channel, got {mode}; save the scores, not a picture of them")
    pixels = np.asarray(image.convert("RGBA"))
    if (pixels[..., 3] != 255).any():
        raise _UnfitError("expected a grey mask, got a transparent one; save it as 8-bit grey, 0 and 255")
    largest: NDArray[Any] = pixels[..., :3].max(axis=2)
    if not colours and (largest != pixels[..., :3].min(axis=2)).any():
        raise _UnfitError(
            "expected a grey mask, got colours; save it as 8-bit grey, 0 and 255, or give --mask-threshold 0 if every "
            "pixel that is not black is a defect"
        )
    return largest
