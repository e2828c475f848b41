"""A data set of normal, synthetic and mask over what ``fmas run`` wrote; pictures are read when they are asked for.

It has a length and integer indices and can be pickled, which is all that ``torch.utils.data.DataLoader`` asks of a
map-style data set. Give it a ``transform`` that returns tensors, or a mapping or tuple of them, to get batches.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Generic, TypeVar, cast, overload

import numpy as np

from fmas.errors import ImageError, UsageError
from fmas.images import decode_png
from fmas.pair_rows import PairRows, Row, read_pair_rows
from fmas.types import BoolMask, NormalSyntheticMask, RGBImage

__all__ = ["FEWEST_VALIDATION", "PairDataset"]

FEWEST_VALIDATION = 2
"""Photographs on each side of a split, at the least."""

ItemT_co = TypeVar("ItemT_co", covariant=True)


class PairDataset(Sequence[ItemT_co], Generic[ItemT_co]):
    """Normal picture, synthetic picture and mask of every finished pair, by stem.

    A photograph may have several pairs (``--per-image``). Pictures that a reviewer dropped and good photographs that
    were held out are not in it. Negative controls are not pairs: they are in :attr:`controls`.

    Args:
        folder: ``OUT`` of ``fmas run``, its ``dataset/<category>``, or a copy of the latter.
        category: Which category, where there are several.
        transform: Applied to each item when it is read.

    Raises:
        UsageError: If ``folder`` is no such folder or does not say which category is meant.
        OutputError: If its rows cannot be read.
    """

    __slots__ = ("_all", "_rows", "_transform")

    @overload
    def __init__(
        self: PairDataset[NormalSyntheticMask], folder: Path | str, *, category: str | None = None
    ) -> None: ...
    @overload
    def __init__(
        self,
        folder: Path | str,
        *,
        category: str | None = None,
        transform: Callable[[NormalSyntheticMask], ItemT_co] | None,
    ) -> None: ...

    def __init__(
        self,
        folder: Path | str,
        *,
        category: str | None = None,
        transform: Callable[[NormalSyntheticMask], ItemT_co] | None = None,
    ) -> None:
        self._all: PairRows = read_pair_rows(Path(folder), category)
        self._rows: tuple[Row, ...] = tuple(self._all.pairs)
        self._transform = transform

    def _part(self, rows: Sequence[Row]) -> PairDataset[ItemT_co]:
        part = object.__new__(type(self))
        part._all, part._rows, part._transform = self._all, tuple(rows), self._transform
        return part

    @property
    def folder(self) -> Path:
        """The category's folder; the paths in rows are relative to it."""
        return self._all.folder

    @property
    def category(self) -> str:
        """The category's name."""
        return self._all.category

    @property
    def object_name(self) -> str:
        """What the product is, in words; empty where there is no row to say so."""
        return str(self._rows[0].get("object", "")) if self._rows else ""

    @property
    def rows(self) -> tuple[Row, ...]:
        """The row of ``metadata.jsonl`` of each item, in the same order."""
        return self._rows

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of the folder: pairs that are missing or left out, in words."""
        return tuple(self._all.notes)

    @property
    def controls(self) -> PairDataset[ItemT_co]:
        """The negative controls of this data set's photographs.

        A control is a normal picture with the inpainter's traces. As an item, ``normal`` is its photograph,
        ``synthetic`` the control and ``mask`` empty, so a detector that takes both for normal has understood it.
        """
        photographs = {_photograph(row) for row in self._rows}
        return self._part([row for row in self._all.controls if _photograph(row) in photographs])

    def with_controls(self) -> PairDataset[ItemT_co]:
        """Return the pairs of this data set and, after them, its negative controls."""
        pairs = [row for row in self._rows if not row.get("control")]
        return self._part([*pairs, *self.controls.rows])

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> ItemT_co: ...
    @overload
    def __getitem__(self, index: slice) -> PairDataset[ItemT_co]: ...

    def __getitem__(self, index: int | slice) -> ItemT_co | PairDataset[ItemT_co]:
        """Read one item; a slice is a data set and reads nothing.

        Raises:
            ImageError: If a file is missing, damaged or does not fit its pair; the message names it.
            IndexError: If there is no such item.
        """
        if isinstance(index, slice):
            return self._part(self._rows[index])
        item = self._read(self._rows[index])
        return self._transform(item) if self._transform is not None else cast("ItemT_co", item)

    def photographs(self) -> dict[str, tuple[int, ...]]:
        """Return path of the normal picture -> indices of its pairs, by first pair."""
        found: dict[str, list[int]] = {}
        for index, row in enumerate(self._rows):
            found.setdefault(str(row["normal_file_name"]), []).append(index)
        return {name: tuple(indices) for name, indices in found.items()}

    def normals(self) -> Iterator[RGBImage]:
        """Read the normal picture of each photograph once, copies of the same pixels left out, by first pair.

        Raises:
            ImageError: If a file is missing or damaged.
        """
        for name in {_photograph(row): str(row["normal_file_name"]) for row in self._rows}.values():
            yield self._image(name)

    @property
    def photograph_count(self) -> int:
        """How many different photographs the pairs were made of; copies of the same pixels count once."""
        return len({_photograph(row) for row in self._rows})

    def split(self, validation: float = 0.15, seed: int = 0) -> tuple[PairDataset[ItemT_co], PairDataset[ItemT_co]]:
        """Divide by photograph, so that no picture of the second part was ever seen in the first.

        A photograph's side depends on its pixels and the seed, not on the machine or a library's version.

        Args:
            validation: Share of the photographs in the second part, in ``(0, 1)``; at least two go to each.
            seed: Another one divides otherwise.

        Returns:
            What to learn from, and what to validate with.

        Raises:
            UsageError: If there are fewer than four different photographs, or the share is no share.
        """
        if not 0 < validation < 1:
            raise UsageError(f"expected a share between 0 and 1 for validation, got {validation}; 0.15 is usual")
        names = sorted(
            {_photograph(row) for row in self._rows},
            key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest(),
        )
        if len(names) < 2 * FEWEST_VALIDATION:
            raise UsageError(
                f"expected at least {2 * FEWEST_VALIDATION} different photographs, to keep {FEWEST_VALIDATION} of them "
                f"for validation, got {len(names)} in {self.folder}; add photographs of good parts and run fmas run "
                "again"
            )
        wanted = max(FEWEST_VALIDATION, round(validation * len(names)))
        held = set(names[: min(wanted, len(names) - FEWEST_VALIDATION)])
        parts = ([row for row in self._rows if (_photograph(row) in held) is side] for side in (False, True))
        training, validating = (self._part(rows) for rows in parts)
        return training, validating

    def digest(self) -> str:
        """Return a SHA-256 over the recorded pixels of every item, as 64 hex digits; nothing is read."""
        keys = ("file_name", "image_sha256", "mask_sha256", "normal_file_name", "normal_sha256")
        digest = hashlib.sha256()
        for row in self._rows:
            digest.update(json.dumps([row.get(key) for key in keys]).encode() + b"\n")
        return digest.hexdigest()

    def _read(self, row: Mapping[str, object]) -> NormalSyntheticMask:
        normal = self._image(str(row["normal_file_name"]))
        synthetic = self._image(str(row["file_name"]))
        mask = np.zeros(normal.shape[:2], np.bool_)
        if not row.get("control"):
            mask = self._mask(str(row["mask_file_name"]))
        sizes = normal.shape[:2], synthetic.shape[:2], mask.shape
        if len(set(sizes)) > 1:
            width_height = ", ".join(f"{width} x {height}" for height, width in sizes)
            raise ImageError(
                f"expected pictures of one size, got {width_height} for the normal picture, the synthetic one and the "
                f"mask of {self.folder / str(row['file_name'])}; run fmas validate"
            )
        return NormalSyntheticMask(normal, synthetic, mask)

    def _image(self, name: str) -> RGBImage:
        pixels, mode = self._decode(name)
        if mode != "RGB":
            raise ImageError(f"expected an 8-bit RGB picture, got mode {mode} at {self.folder / name}; restore it")
        return pixels

    def _mask(self, name: str) -> BoolMask:
        pixels, mode = self._decode(name)
        if mode != "L":
            raise ImageError(f"expected an 8-bit grey mask, got mode {mode} at {self.folder / name}; restore it")
        if not pixels.any():
            raise ImageError(f"expected a mask with a defect, got an empty one at {self.folder / name}; restore it")
        if not ((pixels == 0) | (pixels == 255)).all():
            raise ImageError(f"expected 0 and 255 only in a mask, got others at {self.folder / name}; restore it")
        mask: BoolMask = pixels > 0
        return mask

    def _decode(self, name: str) -> tuple[RGBImage, str]:
        path = self.folder / name
        try:
            content = path.read_bytes()
        except FileNotFoundError as error:
            raise ImageError(f"expected a picture of the data set, got none at {path}; run fmas run again") from error
        except OSError as error:
            raise ImageError(f"expected to read {path}, got {error.strerror or error}; check it") from error
        pixels, mode, _ = decode_png(content, what=repr(str(path)))
        return pixels, mode


def _photograph(row: Mapping[str, object]) -> str:
    """Return what tells two photographs apart: the recorded digest of the pixels, else the path."""
    return str(row.get("normal_sha256") or row["normal_file_name"])
