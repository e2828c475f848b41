"""Reading one PNG of a data set: is it there, is it what was recorded, is it what the layout promises?"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from fmas.errors import ImageError
from fmas.images import decode_png
from fmas.validate.problems import ProblemLog
from fmas.validate.reading import UnreadableError, read_regular
from fmas.validate.rules import Rule

__all__ = ["DatasetReader", "Picture"]

_HARMLESS_CHUNKS = frozenset({b"IHDR", b"IDAT", b"IEND"})
_TEXT_CHUNK = b"iTXt"
_GREY, _RGB = 0, 2  # colour types of the PNG specification
_REMAKE = "delete it and run the same fmas run again"


class _BrokenError(Exception):
    """A file breaks a rule; nothing more can be said about it."""

    def __init__(self, rule: Rule, message: str) -> None:
        super().__init__(message)
        self.rule = rule


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A decoded file.

    Attributes:
        pixels: ``(H, W, 3)`` uint8 for an image, ``(H, W)`` uint8 with values 0 and 255 for a mask.
        texts: PNG text by keyword.
    """

    pixels: NDArray[Any]
    texts: dict[str, str]


class DatasetReader:
    """Reads the files of one category and reports what is wrong with each.

    Args:
        out: The output folder.
        category: The category's folder name.
        max_pixels: Largest width times height that a run lets pass.
        log: Told of every problem.
    """

    def __init__(self, out: Path, category: str, *, max_pixels: int, log: ProblemLog) -> None:
        self._folder = out / "dataset" / category
        self._prefix = f"dataset/{category}"
        self._max_pixels = max_pixels
        self._log = log

    def image(self, name: str, sha256: str, *, with_text: bool = False) -> Picture | None:
        """Return an 8-bit RGB image, or ``None`` after reporting why not.

        Args:
            name: Relative to the category's folder.
            sha256: What the manifest recorded for the file.
            with_text: Whether the file is to carry text.
        """
        try:
            content = self._content(name, sha256)
            picture = self._decoded(name, content, with_text=with_text)
            if (content[24], content[25]) != (8, _RGB):
                raise _BrokenError(Rule.IMAGE_MODE, f"expected 8-bit RGB, got {_sample_type(content)}; {_REMAKE}")
        except _BrokenError as error:
            self.report(error.rule, name, str(error))
            return None
        return picture

    def mask(self, name: str, sha256: str) -> Picture | None:
        """Return a mask that is not empty, or ``None`` after reporting why not."""
        try:
            content = self._content(name, sha256)
            picture = self._decoded(name, content, with_text=False)
            if (content[24], content[25]) != (8, _GREY):
                raise _BrokenError(Rule.MASK_MODE, f"expected 8-bit grey, got {_sample_type(content)}; {_REMAKE}")
            _refuse_no_mask(picture.pixels)
        except _BrokenError as error:
            self.report(error.rule, name, str(error))
            return None
        return picture

    def report(self, rule: Rule, name: str, message: str) -> None:
        """Report a problem of a file of this category."""
        self._log.add(rule, f"{self._prefix}/{name}", message)

    def _content(self, name: str, sha256: str) -> bytes:
        path = self._folder / name
        try:
            status = path.lstat()
        except OSError as error:
            message = "expected a file, got nothing; run the same fmas run again"
            raise _BrokenError(Rule.MISSING_FILE, message) from error
        if stat.S_ISLNK(status.st_mode):
            raise _BrokenError(Rule.SYMLINK, "expected a file, got a symbolic link; put a copy in its place")
        if status.st_size == 0 and stat.S_ISREG(status.st_mode):
            raise _BrokenError(Rule.EMPTY_FILE, f"expected an image, got zero bytes; {_REMAKE}")
        try:
            # A stored (not compressed) PNG has 3 bytes a pixel, one a row, and little besides.
            content = read_regular(path, largest=4 * self._max_pixels + 2**20)
        except UnreadableError as error:
            raise _BrokenError(Rule.FILE_KIND, f"expected an image file, got {error}; {_REMAKE}") from error
        digest = hashlib.sha256(content).hexdigest()
        if digest != sha256:
            raise _BrokenError(
                Rule.FILE_SHA256,
                f"expected the SHA-256 {sha256[:12]}… of the manifest, got {digest[:12]}…: the file was changed after "
                f"it was written; {_REMAKE}",
            )
        return content

    def _decoded(self, name: str, content: bytes, *, with_text: bool) -> Picture:
        try:
            pixels, _, texts = decode_png(content, what=repr(name), max_pixels=self._max_pixels)
        except ImageError as error:
            raise _BrokenError(Rule.PNG, str(error)) from error
        allowed = _HARMLESS_CHUNKS | ({_TEXT_CHUNK} if with_text else set())
        strange = next((chunk for chunk in _chunk_types(content) if chunk not in allowed), None)
        if strange is not None:
            raise _BrokenError(Rule.PNG, f"expected pixels only, got a PNG chunk {strange!r} as well; {_REMAKE}")
        return Picture(pixels, texts)


def _refuse_no_mask(pixels: NDArray[Any]) -> None:
    others = (pixels != 0) & (pixels != 255)
    if others.any():
        value = pixels[others][0]
        raise _BrokenError(Rule.MASK_VALUES, f"expected the values 0 and 255 only, got {value} as well; {_REMAKE}")
    if not pixels.any():
        raise _BrokenError(Rule.MASK_EMPTY, f"expected a pixel of 255, got none; {_REMAKE}")


def _chunk_types(content: bytes) -> Iterator[bytes]:
    """Yield the type of every chunk of a PNG that was decoded before, so that its structure is known to be sound."""
    position = 8
    while position + 8 <= len(content):
        yield content[position + 4 : position + 8]
        position += 12 + int.from_bytes(content[position : position + 4], "big")


def _sample_type(content: bytes) -> str:
    names = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGB with alpha"}
    return f"{content[24]}-bit {names.get(content[25], 'unknown')}"
