"""What a defect does to a photograph, apart from the photograph: it can be weakened, turned and laid onto another."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fmas.types import BoolMask, NormalSyntheticMask, RGBImage
from fmas_providers.detectors.unet.view import LEAST_SHARE

__all__ = ["KEPT_BYTES", "Change", "KeptPairs"]

KEPT_BYTES = 2**30
"""Pictures beyond this many bytes are not kept in memory but read again whenever they are needed."""

_WHITE = np.float32(255)


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """How far each pixel of a defect went towards black (-1) or white (+1), and the defect's mask.

    Unlike a difference of grey levels, it fits on any photograph: the result never leaves the range of grey levels, and
    what is dark stays darker than its surroundings wherever it lies.

    Attributes:
        top: First row of the box around the defect, in its photograph.
        left: First column.
        values: ``(h, w, 4)`` float32: three channels of change in ``[-1, 1]``, then the mask, 0 or 1.
    """

    top: int
    left: int
    values: NDArray[np.float32]

    @classmethod
    def between(cls, top: int, left: int, boxes: tuple[RGBImage, RGBImage, BoolMask]) -> Change:
        """Return what turns a good picture into a synthetic one inside a mask.

        Args:
            top: Where the boxes lie in the photograph.
            left: As ``top``.
            boxes: The good picture, the synthetic one, ``(h, w, 3)`` uint8, and the mask, ``(h, w)`` bool.
        """
        before, after, mask = boxes[0].astype(np.float32), boxes[1].astype(np.float32), boxes[2]
        difference = after - before
        room = np.where(difference < 0, before, _WHITE - before)
        values = np.empty((*mask.shape, 4), np.float32)
        values[..., :3] = np.where(mask[..., None], difference / np.maximum(room, 1), 0)
        values[..., 3] = mask
        return cls(top, left, values)

    def laid_onto(
        self, picture: NDArray[np.float32], matrix: NDArray[np.float64], *, strength: float
    ) -> tuple[NDArray[np.float32], BoolMask]:
        """Return ``picture`` with the defect and where it is now.

        Args:
            picture: ``(H, W, 3)`` float32, 0..255; not written to.
            matrix: ``(2, 3)``: from ``(x, y, 1)`` in the defect's photograph to the picture.
            strength: The change is multiplied by it; 1 restores the synthetic picture.

        Returns:
            The picture, equal to the given one outside the mask, and ``(H, W)`` bool, which may be empty.
        """
        height, width = picture.shape[:2]
        inner = matrix.copy()
        inner[:, 2] += matrix[:, :2] @ (self.left, self.top)
        # Only the part of the picture where the defect can be is worked on.
        corners = np.array([(x, y) for x in (-1, self.values.shape[1]) for y in (-1, self.values.shape[0])])
        mapped = corners @ inner[:, :2].T + inner[:, 2]
        left, top = np.clip(np.floor(mapped.min(axis=0)), 0, (width, height)).astype(int).tolist()
        right, bottom = np.clip(np.ceil(mapped.max(axis=0)) + 1, 0, (width, height)).astype(int).tolist()
        mask = np.zeros((height, width), np.bool_)
        if right <= left or bottom <= top:
            return picture, mask
        inner[:, 2] -= (left, top)
        moved = cv2.warpAffine(self.values, inner, (right - left, bottom - top), flags=cv2.INTER_LINEAR)
        there = moved[..., 3] >= LEAST_SHARE
        change = np.clip(moved[..., :3] * np.float32(strength), -1, 1)
        before = picture[top:bottom, left:right]
        after = before + change * np.where(change < 0, before, _WHITE - before)
        result = picture.copy()
        result[top:bottom, left:right] = np.where(there[..., None], after, before)
        mask[top:bottom, left:right] = there
        return result, mask


class KeptPairs:
    """Pairs as good pictures and changes, read when first needed.

    Equal good pictures are kept once, and of a synthetic one only the box around its defect.

    Args:
        pairs: Read lazily, any number of times.
        most_bytes: How much is kept.
    """

    def __init__(self, pairs: Sequence[NormalSyntheticMask], *, most_bytes: int = KEPT_BYTES) -> None:
        self._pairs, self._free = pairs, most_bytes
        self._normals: dict[bytes, RGBImage] = {}
        self._kept: dict[int, tuple[bytes, int, int, RGBImage, BoolMask]] = {}

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> tuple[RGBImage, Change]:
        """Return the good picture of a pair, ``(H, W, 3)`` uint8, not to be written to, and its change."""
        if index in self._kept:
            digest, top, left, after, mask = self._kept[index]
            normal = self._normals[digest]
        else:
            pair = self._pairs[index]
            normal = np.ascontiguousarray(pair.normal)
            top, left, after, mask = _box(pair)
            normal = self._keep(index, normal, (top, left, after, mask))
        rows, columns = slice(top, top + mask.shape[0]), slice(left, left + mask.shape[1])
        return normal, Change.between(top, left, (normal[rows, columns], after, mask))

    def normal(self, index: int) -> RGBImage:
        """Return the good picture of a pair alone."""
        if index in self._kept:
            return self._normals[self._kept[index][0]]
        return self[index][0]

    def control(self, index: int) -> RGBImage | None:
        """Return the picture of a negative control, traces but no defect, read anew; ``None`` for any other pair."""
        if index in self._kept and self._kept[index][4].any():
            return None
        pair = self._pairs[index]
        return None if pair.mask.any() else np.ascontiguousarray(pair.synthetic)

    def _keep(self, index: int, normal: RGBImage, box: tuple[int, int, RGBImage, BoolMask]) -> RGBImage:
        """Keep a pair if there is room; return the good picture that is kept already, if one is."""
        digest = hashlib.blake2b(normal.tobytes() + str(normal.shape).encode(), digest_size=16).digest()
        known = self._normals.get(digest)
        needed = box[2].nbytes + box[3].nbytes + (0 if known is not None else normal.nbytes)
        if needed > self._free:
            return normal if known is None else known
        self._free -= needed
        normal = self._normals.setdefault(digest, normal)
        self._kept[index] = (digest, *box)
        return normal


def _box(pair: NormalSyntheticMask) -> tuple[int, int, RGBImage, BoolMask]:
    """Return where the mask's box begins, the synthetic picture in it and the mask in it; 1x1 where it is empty."""
    if not pair.mask.any():
        return 0, 0, pair.synthetic[:1, :1].copy(), pair.mask[:1, :1].copy()
    rows, columns = np.flatnonzero(pair.mask.any(axis=1)), np.flatnonzero(pair.mask.any(axis=0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return int(rows[0]), int(columns[0]), pair.synthetic[box].copy(), pair.mask[box].copy()
