"""The files of one finished pair: the defective image with its row inside, and the mask."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fmas.files import AtomicWriter
from fmas.images import encode_png, pixel_sha256
from fmas.layout import OutputLayout
from fmas.samples import Box
from fmas.types import BoolMask, RGBImage

__all__ = ["PNG_TEXT_KEY", "PairFiles", "WrittenFiles", "row_text"]

PNG_TEXT_KEY = "fmas"
"""The iTXt keyword under which every image below ``test`` carries its metadata row as JSON."""


@dataclass(frozen=True, slots=True)
class WrittenFiles:
    """What was written.

    Attributes:
        row: The metadata row, keys sorted.
        files: Path relative to the category's folder -> SHA-256 of the file.
        sizes: The same paths -> bytes.
    """

    row: Mapping[str, object]
    files: Mapping[str, str]
    sizes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class PairFiles:
    """Writes into one data set; the same arguments give the same bytes.

    Attributes:
        layout: Where things lie.
        temporary: Folder for files on their way.
        compress_level: zlib's.
    """

    layout: OutputLayout
    temporary: Path
    compress_level: int

    def write_pair(
        self, photograph: RGBImage, row: Mapping[str, object], box: Box, image: RGBImage, mask: BoolMask
    ) -> WrittenFiles:
        """Put a candidate into its photograph and write both files.

        Args:
            photograph: The good part, ``(H, W, 3)`` uint8.
            row: The metadata row without what follows from the pixels.
            box: Where the candidate lies.
            image: The composite there, ``(box.height, box.width, 3)`` uint8; counts on the mask only.
            mask: ``(box.height, box.width)`` bool.

        Raises:
            OutputError: If a file cannot be written; the other one may be.
        """
        defect, stem = str(row["defect"]), int(str(row["stem"]))
        composite, whole_mask = photograph.copy(), np.zeros(photograph.shape[:2], dtype=np.bool_)
        composite[box.slices][mask] = image[mask]
        whole_mask[box.slices] = mask
        names = self.layout.synthetic(defect, stem), self.layout.mask(defect, stem)
        row = dict(row) | {
            "file_name": names[0],
            "mask_file_name": names[1],
            "image_sha256": pixel_sha256(composite),
            "mask_sha256": pixel_sha256(whole_mask),
        }
        row = dict(sorted(row.items()))
        contents = self.encode(composite, row), encode_png(whole_mask, compress_level=self.compress_level)
        return self.write(row, dict(zip(names, contents, strict=True)))

    def encode(self, pixels: RGBImage, row: Mapping[str, object]) -> bytes:
        """Return an image of ``test`` as a file with its row inside."""
        return encode_png(pixels, text={PNG_TEXT_KEY: row_text(row)}, compress_level=self.compress_level)

    def write(self, row: Mapping[str, object], contents: Mapping[str, bytes]) -> WrittenFiles:
        """Write files by their paths relative to the category's folder.

        Raises:
            OutputError: If one cannot be written.
        """
        writer = AtomicWriter(self.temporary)
        for name, content in contents.items():
            writer.write(self.layout.dataset / name, content)
        files = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
        return WrittenFiles(row, files, {name: len(content) for name, content in contents.items()})


def row_text(row: Mapping[str, object]) -> str:
    """Return a metadata row as one line of JSON, the same in ``metadata.jsonl`` and in the image."""
    return json.dumps(row, ensure_ascii=False, allow_nan=False, sort_keys=True)
