"""VisA's own layout put in order as MVTec AD's, with links to the images, so that one reader serves both."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from fmas.errors import UsageError
from fmas.files import AtomicWriter
from fmas.images import encode_png, read_image

__all__ = ["stage_visa", "visa_objects"]

_COLUMNS = ("object", "split", "label", "image", "mask")
_ANOMALY = "anomaly"


def visa_objects(split: Path) -> list[str]:
    """Return the objects that VisA's split file names, sorted.

    Raises:
        UsageError: If the file is not VisA's.
    """
    return sorted({row["object"] for row in _rows(split)})


def stage_visa(dataset: Path, name: str, staging: Path) -> Path:
    """Put one object of VisA in order below ``staging``.

    Photographs become links (copies where links cannot be made). Masks, whose values VisA uses for kinds of defects,
    are written anew: 255 where VisA's are not 0.

    Args:
        dataset: VisA's root.
        name: The object.
        staging: Where to; what an interrupted call left is done again.

    Returns:
        A folder in the layout of MVTec AD, whose only kind of defect is ``anomaly``.

    Raises:
        UsageError: If a file that the split names is missing.
    """
    folder = staging / name
    finished = folder / "staged.txt"
    if finished.is_file():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    writer = AtomicWriter(staging / ".tmp")
    for row in _rows(dataset / "split_csv" / "1cls.csv"):
        if row["object"] != name or (row["split"] == "train" and row["label"] != "normal"):
            continue
        image = _existing(dataset, row["image"])
        kind = "good" if row["label"] == "normal" else _ANOMALY
        _link(image, folder / row["split"] / kind / image.name)
        if kind == _ANOMALY:
            pixels, _ = read_image(_existing(dataset, row["mask"]))
            mask = np.asarray(pixels.max(axis=2) > 0, dtype=np.bool_)
            writer.write(folder / "ground_truth" / kind / f"{image.stem}_mask.png", encode_png(mask))
    (folder / "train" / "good").mkdir(parents=True, exist_ok=True)
    writer.write_text(finished, f"links to the images of {name} in {dataset.resolve()}\n")
    return folder


def _rows(split: Path) -> Iterator[Mapping[str, str]]:
    with split.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        if not set(_COLUMNS) <= set(reader.fieldnames or ()):
            raise UsageError(
                f"expected VisA's columns {','.join(_COLUMNS)} in {str(split)!r}, got "
                f"{','.join(reader.fieldnames or ()) or 'nothing'}; fetch VisA's own split_csv folder"
            )
        for row in reader:
            if row["split"] not in ("train", "test") or row["label"] not in ("normal", _ANOMALY):
                raise UsageError(
                    f"expected train or test, and normal or {_ANOMALY}, in line {reader.line_num} of {str(split)!r}, "
                    f"got {row['split']!r} and {row['label']!r}; fetch VisA's own split_csv folder"
                )
            yield row


def _existing(dataset: Path, relative: str | None) -> Path:
    path = dataset / (relative or "")
    if not relative or not path.is_file():
        raise UsageError(
            f"expected the file {relative!r}, which VisA's split names, got none in {str(dataset)!r}; unpack all of it"
        )
    return path


def _link(target: Path, link: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    try:
        link.symlink_to(target.resolve())
    except OSError:  # Windows without the right, or a file system without links
        shutil.copyfile(target, link)
