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
from fmas.manifest import ManifestEntry
from fmas.validate.problems import ProblemLog
from fmas.validate.reading import UnreadableError, read_regular, without_advice
from fmas.validate.remedies import PUT_COPY, REMAKE, RERUN, Remedy
from fmas.validate.rules import Rule
from fmas.validate.wording import counted

__all__ = ["DatasetReader", "Picture"]

_HARMLESS_CHUNKS = frozenset({b"IHDR", b"IDAT", b"IEND"})
_TEXT_CHUNK = b"iTXt"
_GREY, _RGB = 0, 2  # colour types of the PNG specification
_PNG_START = b"\x89PNG\r\n\x1a\n"
# What somebody may have saved under the name of a PNG: first bytes -> what it is.
_OTHER_FORMATS = {
    b"\xff\xd8\xff": "a JPEG",
    b"GIF8": "a GIF",
    b"BM": "a BMP",
    b"II*\0": "a TIFF",
    b"MM\0*": "a TIFF",
    b"RIFF": "a WebP",
}


class _BrokenError(Exception):
    """A file breaks a rule in a way that leaves nothing more to be said about it."""

    def __init__(self, rule: Rule, message: str) -> None:
        super().__init__(message)
        self.rule = rule


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A decoded file.

    Attributes:
        pixels: ``(H, W, 3)`` uint8 for an image, ``(H, W)`` uint8, not zero where the mask is, for a mask.
        texts: PNG text by keyword.
    """

    pixels: NDArray[Any]
    texts: dict[str, str]


class DatasetReader:
    """Reads the files of one category and reports what is wrong with each.

    A file that was changed is reported and then looked at all the same: what was changed is what the user asks next.

    Args:
        out: The output folder.
        category: The category's folder name.
        max_pixels: Largest width times height that a run lets pass.
        log: Told of every problem.
    """

    def __init__(self, out: Path, category: str, *, max_pixels: int, log: ProblemLog) -> None:
        self._out = out
        self._prefix = f"dataset/{category}"
        self._max_pixels = max_pixels
        self._log = log

    def image(self, name: str, entry: ManifestEntry, *, with_text: bool = False) -> Picture | None:
        """Return an 8-bit RGB image, or ``None`` after reporting why not.

        Args:
            name: Relative to the category's folder; one of ``entry.files``.
            entry: The manifest line that recorded the file.
            with_text: Whether the file is to carry text.
        """
        content = self._content(name)
        if content is None:
            return None
        self._check_record(name, entry, content)
        try:
            picture = self._decoded(name, content, with_text=with_text)
            if (content[24], content[25]) != (8, _RGB):
                raise _BrokenError(Rule.IMAGE_MODE, f"expected 8-bit RGB, got {_sample_type(content)}")
        except _BrokenError as error:
            self.report(error.rule, name, str(error))
            return None
        return picture

    def mask(self, name: str, entry: ManifestEntry) -> Picture | None:
        """Return a mask that is not empty, or ``None`` after reporting why not."""
        content = self._content(name)
        if content is None:
            return None
        self._check_record(name, entry, content)
        try:
            picture = self._decoded(name, content, with_text=False)
            if (content[24], content[25]) != (8, _GREY):
                raise _BrokenError(Rule.MASK_MODE, f"expected 8-bit grey, got {_sample_type(content)}")
            self._check_mask_values(name, picture.pixels)
        except _BrokenError as error:
            self.report(error.rule, name, str(error))
            return None
        return picture

    def report(self, rule: Rule, name: str, message: str, remedy: Remedy = REMAKE) -> None:
        """Report a problem of a file of this category."""
        self._log.add(rule, f"{self._prefix}/{name}", message, remedy)

    def _content(self, name: str) -> bytes | None:
        path = self._out / self._prefix / name
        try:
            status = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            self.report(Rule.MISSING_FILE, name, "expected a file, got nothing", RERUN)
            return None
        except OSError as error:
            self._log.add_unreachable(f"{self._prefix}/{name}", error)
            return None
        if stat.S_ISLNK(status.st_mode):
            self.report(Rule.SYMLINK, name, "expected a file, got a symbolic link", PUT_COPY)
            return None
        if status.st_size == 0 and stat.S_ISREG(status.st_mode):
            self.report(Rule.EMPTY_FILE, name, "expected an image, got zero bytes")
            return None
        try:
            # A stored (not compressed) PNG has 3 bytes a pixel, one a row, and little besides.
            return read_regular(path, largest=4 * self._max_pixels + 2**20)
        except UnreadableError as error:
            self._log.add_unreadable(Rule.FILE_KIND, f"{self._prefix}/{name}", "an image file", error, REMAKE)
            return None

    def _check_record(self, name: str, entry: ManifestEntry, content: bytes) -> None:
        digest, wanted, size = hashlib.sha256(content).hexdigest(), entry.files[name], entry.sizes.get(name)
        if digest != wanted:
            sizes = "" if size == len(content) else f", {counted(len(content), 'byte')} instead of {size}"
            self.report(
                Rule.FILE_SHA256,
                name,
                f"expected the SHA-256 {wanted[:12]}… of the manifest, got {digest[:12]}…{sizes}: the file was changed "
                "after it was written",
            )
        elif size != len(content):
            self.report(
                Rule.FILE_SHA256,
                name,
                f"expected the size {size} of the manifest, got {counted(len(content), 'byte')} of the right SHA-256",
                RERUN,
            )

    def _decoded(self, name: str, content: bytes, *, with_text: bool) -> Picture:
        if not content.startswith(_PNG_START):
            kind = next((kind for start, kind in _OTHER_FORMATS.items() if content.startswith(start)), "something else")
            raise _BrokenError(Rule.PNG, f"expected a PNG, got {kind} by that name")
        try:
            pixels, _, texts = decode_png(content, what=repr(name), max_pixels=self._max_pixels)
        except ImageError as error:
            raise _BrokenError(Rule.PNG, without_advice(error)) from error
        allowed = _HARMLESS_CHUNKS | ({_TEXT_CHUNK} if with_text else set())
        strange = next((chunk for chunk in _chunk_types(content) if chunk not in allowed), None)
        if strange is not None:
            self.report(Rule.PNG, name, f"expected pixels only, got a PNG chunk {strange!r} as well")
        return Picture(pixels, texts)

    def _check_mask_values(self, name: str, pixels: NDArray[Any]) -> None:
        if not pixels.any():
            raise _BrokenError(Rule.MASK_EMPTY, "expected a pixel of 255, got none")
        others = (pixels != 0) & (pixels != 255)
        if others.any():
            number = counted(int(others.sum()), "pixel")
            self.report(
                Rule.MASK_VALUES,
                name,
                f"expected the values 0 and 255 only, got {pixels[others][0]} as well ({number})",
            )


def _chunk_types(content: bytes) -> Iterator[bytes]:
    """Yield the type of every chunk of a PNG that was decoded before, so that its structure is known to be sound."""
    position = 8
    while position + 8 <= len(content):
        yield content[position + 4 : position + 8]
        position += 12 + int.from_bytes(content[position : position + 4], "big")


def _sample_type(content: bytes) -> str:
    names = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGB with alpha"}
    return f"{content[24]}-bit {names.get(content[25], 'unknown')}"
