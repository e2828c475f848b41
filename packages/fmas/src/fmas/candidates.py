"""The candidates of a pair as files: ``OUT/candidates/<stem>/<candidate>.png``, so that another can be chosen later.

A file is an 8-bit RGBA PNG, cut to the bounding box of its mask: the colours are the composite's, the alpha channel is
255 on the mask and 0 beside it. Where the box lies in the photograph, and all that a metadata row says of the
candidate, stands in the row's ``candidates``. A pair is finished without these files; only ``fmas select`` needs them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fmas.errors import ImageError
from fmas.images import decode_png, encode_png
from fmas.samples import Box, Candidate
from fmas.types import BoolMask, RGBImage

__all__ = ["StoredCandidate", "candidate_row", "chosen_fields", "decode_candidate", "encode_candidate"]


@dataclass(frozen=True, slots=True, eq=False)
class StoredCandidate:
    """What is in a candidate's file.

    Attributes:
        image: ``(h, w, 3)`` uint8 RGB, the composite inside the mask's box.
        mask: ``(h, w)`` bool, touching all four sides.
    """

    image: RGBImage
    mask: BoolMask


def candidate_row(candidate: Candidate) -> dict[str, object]:
    """Return a candidate as a metadata row lists it; ``box`` is left, top, right, bottom, the last two exclusive."""
    box = _mask_box(candidate)
    return {
        "candidate": candidate.index,
        "attempt": candidate.attempt,
        "seed": candidate.seed,
        "severity": candidate.severity,
        "score": candidate.score,
        "box": [box.left, box.top, box.right, box.bottom],
        "mask_area": int(np.count_nonzero(candidate.mask)),
        "noise_floor": candidate.noise_floor,
        "high": candidate.high,
    }


def chosen_fields(candidate: Mapping[str, object]) -> dict[str, object]:
    """Return what a metadata row says of the candidate that was chosen.

    Args:
        candidate: Its entry in the row's ``candidates``.
    """
    same = ("candidate", "attempt", "seed", "severity", "score", "mask_area", "noise_floor")
    return {key: candidate[key] for key in same} | {"high_threshold": candidate["high"]}


def encode_candidate(candidate: Candidate, *, compress_level: int) -> bytes:
    """Return the content of a candidate's file."""
    box, outer = _mask_box(candidate), candidate.box
    inside = Box(box.left - outer.left, box.top - outer.top, box.right - outer.left, box.bottom - outer.top).slices
    alpha = candidate.mask[inside].astype(np.uint8) * np.uint8(255)
    return encode_png(np.dstack([candidate.image[inside], alpha]), compress_level=compress_level)


def decode_candidate(content: bytes, box: Box, *, what: str) -> StoredCandidate:
    """Return what a candidate's file holds.

    Args:
        content: The file.
        box: Where it belongs, as the row says.
        what: Names the file in messages.

    Raises:
        ImageError: If it is not what :func:`encode_candidate` writes for that box.
    """
    pixels, mode, _ = decode_png(content, what=what, max_pixels=box.width * box.height)
    if mode != "RGBA" or pixels.dtype != np.uint8:
        raise ImageError(f"expected 8-bit RGBA, got {mode} in {what}; restore it from a copy")
    if pixels.shape[:2] != (box.height, box.width):
        raise ImageError(
            f"expected {box.width} x {box.height} pixels as its row says, got {pixels.shape[1]} x {pixels.shape[0]} in "
            f"{what}; restore it from a copy"
        )
    alpha = pixels[:, :, 3]
    mask = alpha == 255
    if not np.all(mask | (alpha == 0)):
        raise ImageError(f"expected the alpha values 0 and 255 only, got others in {what}; restore it from a copy")
    return StoredCandidate(np.ascontiguousarray(pixels[:, :, :3]), mask)


def _mask_box(candidate: Candidate) -> Box:
    """Return the bounding box of a candidate's mask in the photograph."""
    rows = np.flatnonzero(candidate.mask.any(axis=1))
    columns = np.flatnonzero(candidate.mask.any(axis=0))
    left, top = candidate.box.left, candidate.box.top
    return Box(left + int(columns[0]), top + int(rows[0]), left + int(columns[-1]) + 1, top + int(rows[-1]) + 1)
