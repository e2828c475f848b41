"""The candidates that a run kept beside the data set: are they what the rows say of them?"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fmas.errors import ImageError
from fmas.images import decode_png, pixel_sha256
from fmas.manifest import ManifestEntry
from fmas.types import BoolMask, RGBImage
from fmas.validate.problems import ProblemLog
from fmas.validate.reading import UnreadableError, read_regular, without_advice
from fmas.validate.remedies import Remedy
from fmas.validate.rows import CandidateRow, PairRow
from fmas.validate.rules import Rule
from fmas.validate.wording import counted

__all__ = ["KeptCandidates"]

_RESTORE = Remedy("restore it from a copy; without it fmas select cannot choose it, the data set itself is whole")
_OUR_FOLDER, _OUR_FILE = re.compile(r"\d{6,}"), re.compile(r"\d+\.png")


class _BrokenError(Exception):
    """A file is not what its row says."""


class KeptCandidates:
    """Checks the kept candidates of one pair after the other.

    Args:
        out: The output folder.
        log: Told of every problem.
    """

    def __init__(self, out: Path, log: ProblemLog) -> None:
        self._out = out
        self._log = log
        self._listed: set[str] = set()
        self._without_any = 0

    def check(self, entry: ManifestEntry, row: PairRow, twin: RGBImage, image: RGBImage, mask: BoolMask) -> None:
        """Check the files of one pair against its row, its twin, and what the data set shows.

        Args:
            entry: The manifest line.
            row: Its row, whose boxes may be anything.
            twin: The good part, ``(H, W, 3)`` uint8.
            image: The image of ``test``, same shape.
            mask: ``(H, W)`` bool.
        """
        if not entry.candidates:
            return
        self._listed.update(entry.candidates)
        folder = f"candidates/{entry.stem:06d}"
        wanted = {f"{folder}/{item.candidate}.png": item for item in row.candidates}
        if set(wanted) != set(entry.candidates):
            message = f"expected the manifest to list {', '.join(wanted)}, got {', '.join(entry.candidates)}"
            self._log.add(Rule.KEPT_CANDIDATES, folder, message, _RESTORE)
            return
        if not any((self._out / name).exists() for name in wanted):
            self._without_any += 1
            return
        # What was changed in the data set is told there; it is no reason to doubt the candidates.
        stated = (row.normal_sha256, row.image_sha256, row.mask_sha256)
        sound = tuple(pixel_sha256(pixels) for pixels in (twin, image, mask)) == stated
        for name, item in wanted.items():
            try:
                stored, alpha = self._read(name, item, entry.candidates[name])
                if item.candidate != row.candidate:
                    _refuse_other_area(alpha, item)
                    if sound:
                        _refuse_other_surroundings(stored, alpha, item, twin)
                elif sound:
                    _refuse_other_picture(stored, alpha, item, image, mask)
            except UnreadableError as error:
                self._log.add_unreadable(Rule.KEPT_CANDIDATES, name, "a kept candidate", error, _RESTORE)
            except _BrokenError as error:
                self._log.add(Rule.KEPT_CANDIDATES, name, f"expected {error}", _RESTORE)

    def notes(self) -> Iterator[str]:
        """Yield what breaks no rule and is still worth knowing, once every pair was checked."""
        if self._without_any:
            yield (
                f"the candidates of {counted(self._without_any, 'pair')} are not there any more; fmas select "
                "cannot choose these anew"
            )
        unlisted = sum(name not in self._listed for name in _our_files(self._out))
        if unlisted:
            yield (
                f"{counted(unlisted, 'candidate')} that no manifest line names, from a run that is going on or was "
                "killed; no part of the data set"
            )

    def _read(self, name: str, item: CandidateRow, digest: str) -> tuple[RGBImage, BoolMask]:
        """Return colours and mask of a file that is what was recorded."""
        left, top, right, bottom = item.box
        area = max(right - left, 1) * max(bottom - top, 1)
        content = read_regular(self._out / name, largest=5 * area + 2**20)
        found = hashlib.sha256(content).hexdigest()
        if found != digest:
            raise _BrokenError(f"the SHA-256 {digest[:12]}… of the manifest, got {found[:12]}…: it was changed")
        try:
            pixels, mode, _ = decode_png(content, what=repr(name), max_pixels=area)
        except ImageError as error:
            raise _BrokenError(without_advice(error).removeprefix("expected ")) from error
        if mode != "RGBA" or pixels.shape != (bottom - top, right - left, 4):
            raise _BrokenError(
                f"8-bit RGBA of {right - left} x {bottom - top} pixels, got {mode} of {pixels.shape[1]} x "
                f"{pixels.shape[0]}"
            )
        alpha = pixels[:, :, 3]
        mask = alpha == 255
        if not np.all(mask | (alpha == 0)):
            raise _BrokenError(f"the alpha values 0 and 255 only, got {alpha[~mask & (alpha != 0)][0]} as well")
        if not (mask[0].any() and mask[-1].any() and mask[:, 0].any() and mask[:, -1].any()):
            raise _BrokenError("the bounding box of its mask, got a larger one")
        return pixels[:, :, :3], mask


def _refuse_other_area(alpha: BoolMask, item: CandidateRow) -> None:
    area = np.count_nonzero(alpha)
    if area != item.mask_area:
        raise _BrokenError(f"a mask of {item.mask_area} pixels as the row says, got {area}")


def _refuse_other_surroundings(stored: RGBImage, alpha: BoolMask, item: CandidateRow, twin: RGBImage) -> None:
    left, top, right, bottom = item.box
    there = twin[top:bottom, left:right]
    if there.shape != stored.shape:
        raise _BrokenError(f"a box inside the photograph, got {item.box}")
    if not np.array_equal(stored[~alpha], there[~alpha]):
        raise _BrokenError("the photograph's pixels beside its mask, got others")


def _refuse_other_picture(
    stored: RGBImage, alpha: BoolMask, item: CandidateRow, image: RGBImage, mask: BoolMask
) -> None:
    left, top, right, bottom = item.box
    inside = mask[top:bottom, left:right]
    if not np.array_equal(inside, alpha) or np.count_nonzero(inside) != np.count_nonzero(mask):
        raise _BrokenError("the mask of the data set, because it is the chosen candidate, got another")
    if not np.array_equal(image[top:bottom, left:right], stored):
        raise _BrokenError("the pixels of the data set, because it is the chosen candidate, got others")


def _our_files(out: Path) -> Iterator[str]:
    for path in (out / "candidates").glob("*/*.png"):
        if _OUR_FOLDER.fullmatch(path.parent.name) and _OUR_FILE.fullmatch(path.name):
            yield path.relative_to(out).as_posix()
