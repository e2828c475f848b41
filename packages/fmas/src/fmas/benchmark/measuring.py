"""From what an inspection wrote to measures: of one cell, and of several seeds averaged pixel by pixel.

Scores and maps of several seeds are averaged as they are, values and not ranks: that is what an ensemble of these
models would answer, and seeds of one variant share their unit. Figures averaged over seeds, which need no common unit,
stand beside them in every table.
"""

from __future__ import annotations

import csv
import math
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from fmas.benchmark.layouts import Category, TestImage
from fmas.benchmark.ruler import Ruler, Sampled, ScoredImage
from fmas.benchmark.truth import read_truth
from fmas.errors import OutputError
from fmas.inspection_files import InspectionFolder
from fmas.types import BoolMask, FloatMap

__all__ = [
    "Inspected",
    "averaged_images",
    "cell_images",
    "draw_seed",
    "mean_map",
    "measured_kinds",
    "read_inspected",
    "read_map",
]

_MOST_PIXELS = 120_000_000
"""Maps of more pixels in all are measured at 1/2, 1/3 … of their width: two sets of maps must fit into memory."""


@dataclass(frozen=True, slots=True)
class Inspected:
    """The tables of an inspection of a category's test images.

    Attributes:
        folder: The inspection's folder.
        scores: Path below ``test`` -> image score.
        flagged: Path -> whether the score is above the model's calibrated threshold.
        subbands: Path -> layer -> weights of LL, LH, HL, HH; empty where nobody asked.
    """

    folder: Path
    scores: Mapping[str, float]
    flagged: Mapping[str, bool]
    subbands: Mapping[str, Mapping[str, tuple[float, ...]]] = field(default_factory=dict)

    def rates(self, category: Category) -> tuple[float, float]:
        """Return the share of good parts flagged, and that of defective ones, at the calibrated threshold."""
        good = [self.flagged[image.relative] for image in category.images if not image.defective]
        bad = [self.flagged[image.relative] for image in category.images if image.defective]
        return sum(good) / len(good), sum(bad) / len(bad)

    def mean_subbands(self, category: Category, *, defective: bool) -> dict[str, tuple[float, ...]]:
        """Return layer -> mean weights over the good or the defective test images."""
        wanted = [self.subbands[i.relative] for i in category.images if i.defective == defective and self.subbands]
        layers = dict.fromkeys(layer for weights in wanted for layer in weights)
        return {
            layer: tuple(float(x) for x in np.mean([weights[layer] for weights in wanted], axis=0)) for layer in layers
        }


def read_inspected(folder: Path, category: Category, *, explained: bool) -> Inspected:
    """Read an inspection's tables and see that every test image is in them.

    Raises:
        OutputError: If a test image could not be inspected, or a table is another one.
    """
    files = InspectionFolder(folder)
    scores: dict[str, float] = {}
    flagged: dict[str, bool] = {}
    subbands: dict[str, dict[str, tuple[float, ...]]] = {}
    try:
        for row in _rows(files.scores):
            scores[row["path"]] = float(row["score"])
            flagged[row["path"]] = row["verdict"] != "good"
        for row in _rows(files.explanations) if explained and files.explanations.is_file() else ():
            weights = tuple(float(value) for name, value in row.items() if name not in ("path", "layer"))
            subbands.setdefault(row["path"], {})[row["layer"]] = weights
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise OutputError(
            f"expected scores.csv as fmas inspect writes it in {folder}, got {error}; delete the folder to redo it"
        ) from error
    missing = [image.relative for image in category.images if image.relative not in scores]
    if missing:
        raise OutputError(
            f"expected a score for each of {len(category.images)} test images, got none for {len(missing)} of them, "
            f"e.g. {missing[0]!r}; see failures.jsonl in {folder}"
        )
    return Inspected(folder, scores, flagged, subbands if len(subbands) >= len(category.images) else {})


def cell_images(category: Category, inspected: Inspected) -> list[ScoredImage]:
    """Return the test images of one cell in the category's order."""
    return averaged_images(category, [inspected])


def averaged_images(category: Category, seeds: Sequence[Inspected]) -> list[ScoredImage]:
    """Return the test images with scores and maps averaged over seeds; memory holds one set of maps.

    Raises:
        OutputError: If a map cannot be read or is not of its mask's size.
    """
    shrink = _shrink(category, seeds[0])
    return [
        ScoredImage(
            map=_smaller_map(mean_map(seeds, image), shrink),
            mask=_smaller_mask(_mask_of(image, seeds[0]), shrink),
            score=math.fsum(seed.scores[image.relative] for seed in seeds) / len(seeds),
        )
        for image in category.images
    ]


def measured_kinds(
    category: Category, images: Sequence[ScoredImage], ruler: Ruler
) -> Iterator[tuple[str, int, Sampled]]:
    """Yield (kind of defect, how many, measures of these beside all good images)."""
    for kind in category.kinds:
        chosen = [image for place, image in zip(category.images, images, strict=True) if place.kind in (kind, "good")]
        number = sum(place.kind == kind for place in category.images)
        yield kind, number, ruler.sample(chosen, seed=draw_seed(category.name, kind))


def draw_seed(*names: str) -> int:
    """Return where the draws of a set of images start: for all variants and seeds alike, for each set another one."""
    return zlib.crc32("\0".join(names).encode(errors="backslashreplace"))


def read_map(inspection: Path, relative: str) -> FloatMap:
    """Return one anomaly map, ``(H, W)`` float32.

    Raises:
        OutputError: If it is missing or no map.
    """
    path = InspectionFolder(inspection).map_of(relative)
    try:
        with Image.open(path) as image:
            values = np.asarray(image, dtype=np.float32)
    except (OSError, UnidentifiedImageError, ValueError) as error:
        raise OutputError(f"expected the map {path}, got {error}; delete {inspection} to redo it") from error
    if values.ndim != 2:
        raise OutputError(f"expected one value per pixel in {path}, got {values.shape}; delete {inspection} to redo it")
    return values


def _rows(path: Path) -> Iterable[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def mean_map(seeds: Sequence[Inspected], image: TestImage) -> FloatMap:
    """Return one test image's map averaged over seeds, ``(H, W)`` float32."""
    total = read_map(seeds[0].folder, image.relative)
    if len(seeds) == 1:
        return total
    total = total.copy()
    for seed in seeds[1:]:
        total += read_map(seed.folder, image.relative)
    return total / np.float32(len(seeds))


def _mask_of(image: TestImage, inspected: Inspected) -> BoolMask | None:
    if image.truth is None:
        return None
    mask = read_truth(image.truth)
    shape = read_map(inspected.folder, image.relative).shape
    if mask.shape != shape:
        raise OutputError(
            f"expected a mask of {shape[1]} x {shape[0]} pixels, as its image, got {mask.shape[1]} x {mask.shape[0]} "
            f"in {image.truth}; mend the data set"
        )
    return mask


def _shrink(category: Category, inspected: Inspected) -> int:
    """Return the least whole number by which to divide width and height so that all maps fit."""
    total = 0
    for image in category.images:
        with Image.open(InspectionFolder(inspected.folder).map_of(image.relative)) as opened:
            total += opened.width * opened.height
    return max(1, math.ceil(math.sqrt(total / _MOST_PIXELS)))


def _blocks(values: NDArray[np.generic], by: int) -> NDArray[np.generic]:
    """Return ``(H // by, by, W // by, by)`` blocks; a rest at the lower and right border is filled with the border."""
    pad = [(0, -size % by) for size in values.shape]
    values = np.pad(values, pad, mode="edge")
    return values.reshape(values.shape[0] // by, by, values.shape[1] // by, by)


def _smaller_map(values: FloatMap, by: int) -> FloatMap:
    return values if by == 1 else _blocks(values, by).astype(np.float32).mean(axis=(1, 3))


def _smaller_mask(mask: BoolMask | None, by: int) -> BoolMask | None:
    if mask is None or by == 1:
        return mask
    return np.asarray(_blocks(mask, by).any(axis=(1, 3)), dtype=np.bool_)
