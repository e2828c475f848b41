"""What the comparison trains and tests on: good photographs, pairs made of them in four ways, real defects."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps
from rivals import RIVALS, Material
from texture_sources import foreign_textures

from fmas.plugins import load_plugins
from fmas.types import BoolMask, NormalSyntheticMask, RGBImage

__all__ = ["METHODS", "GoodParts", "TestImage", "digest", "make_pairs", "read_good", "read_test", "split_by_photograph"]

METHODS = (*RIVALS, "fmas")
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
VALIDATION_EVERY = 10
"""Every so manieth good photograph is kept for the synthetic validation."""


@dataclass(frozen=True, slots=True, eq=False)
class GoodParts:
    """Photographs of good parts.

    Attributes:
        names: File names without suffix, distinct.
        photographs: ``(H, W, 3)`` uint8 each, at most ``largest`` pixels long.
        foregrounds: ``(H, W)`` bool each, from the built-in segmenter; NSA and ours both know where the product is.
    """

    names: tuple[str, ...]
    photographs: tuple[RGBImage, ...]
    foregrounds: tuple[BoolMask, ...]

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, slots=True, eq=False)
class TestImage:
    """A photograph of the test split.

    Attributes:
        kind: Its folder: ``good`` or what is wrong.
        photograph: ``(H, W, 3)`` uint8.
        mask: ``(H, W)`` bool, the real defect; empty for ``good``.
    """

    kind: str
    photograph: RGBImage
    mask: BoolMask


def read_good(folder: Path, *, largest: int, limit: int | None = None) -> GoodParts:
    """Read the photographs of ``train/good``, shrunk to ``largest`` pixels where they are longer."""
    paths = _pictures(folder)[:limit]
    if not paths:
        raise SystemExit(f"expected photographs of good parts in {folder}, found none; pass --data")
    photographs = tuple(_read(path, largest) for path in paths)
    segmenter = load_plugins().create("segmenter", "builtin", {})
    foregrounds = tuple(segmenter.segment(photograph).mask for photograph in photographs)
    return GoodParts(tuple(path.stem for path in paths), photographs, foregrounds)


def read_test(data: Path, *, largest: int, limit: int | None = None) -> list[TestImage]:
    """Read ``test`` and ``ground_truth`` in MVTec's layout, ``limit`` images of each kind; good ones come first."""
    found = []
    for folder in sorted((data / "test").iterdir(), key=lambda path: (path.name != "good", path.name)):
        for path in _pictures(folder)[:limit]:
            photograph = _read(path, largest)
            mask = np.zeros(photograph.shape[:2], np.bool_)
            if folder.name != "good":
                with Image.open(data / "ground_truth" / folder.name / f"{path.stem}_mask.png") as opened:
                    truth = np.asarray(opened.convert("L"))
                size = (photograph.shape[1], photograph.shape[0])
                # Area and any: a thin crack must not vanish when a large photograph is shrunk.
                mask = cv2.resize((truth > 127).astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.25
            found.append(TestImage(folder.name, photograph, np.asarray(mask)))
    return found


def split_by_photograph(good: GoodParts) -> tuple[GoodParts, GoodParts]:
    """Return the photographs to train on and those for validation; no photograph is in both."""
    kept = [index for index in range(len(good)) if index % VALIDATION_EVERY != VALIDATION_EVERY - 1]
    return _some(good, kept), _some(good, sorted(set(range(len(good))) - set(kept)))


def make_pairs(
    method: str, good: GoodParts, *, count: int, seed: int, work: Path, name: str
) -> list[NormalSyntheticMask]:
    """Make ``count`` pairs, the same number of each photograph as far as it goes.

    Args:
        method: One of ``METHODS``.
        good: The photographs.
        count: How many pairs; ours may come out fewer where a photograph allowed none.
        seed: Of whatever the method draws.
        work: A folder for files.
        name: The product in words; only ours reads it.
    """
    if method == "fmas":
        return _ours(good, count=count, seed=seed, work=work, name=name)
    rng = np.random.default_rng([seed, METHODS.index(method)])
    material = Material(good.photographs, good.foregrounds, foreign_textures(rng))
    pairs: list[NormalSyntheticMask] = []
    while len(pairs) < count:
        place = len(pairs) % len(good)
        photograph = good.photographs[place]
        painted, mask = RIVALS[method](photograph, good.foregrounds[place], material, rng)
        if mask.any():  # Perlin noise may stay below its threshold, a patch may find no place: draw again
            pairs.append(NormalSyntheticMask(photograph, painted, mask))
    return pairs


def digest(pairs: Sequence[NormalSyntheticMask]) -> str:
    """Return a SHA-256 over the pixels of all pairs."""
    total = hashlib.sha256()
    for pair in pairs:
        for array in (pair.normal, pair.synthetic, pair.mask):
            total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


def _ours(good: GoodParts, *, count: int, seed: int, work: Path, name: str) -> list[NormalSyntheticMask]:
    """Run ``fmas run`` with its defaults on the same photographs and read what it wrote."""
    images = work / "photographs"
    images.mkdir(parents=True)
    for stem, photograph in zip(good.names, good.photographs, strict=True):
        Image.fromarray(photograph).save(images / f"{stem}.png", compress_level=1)
    per_image = -(-count // len(good))
    command = [sys.executable, "-m", "fmas", "run", str(images), "--out", str(work / "out"), "--object", name]
    command += ["--per-image", str(per_image), "--seed", str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in {0, 3}:  # 3: some photographs failed
        raise SystemExit(f"expected `{' '.join(command)}` to finish, got {done.returncode}:\n{done.stderr[-2000:]}")
    (category,) = (work / "out/dataset").iterdir()
    rows = [json.loads(line) for line in (category / "metadata.jsonl").read_text(encoding="utf-8").splitlines()]
    rows.sort(key=lambda row: (row["pair"], row["stem"]))  # one of every photograph before the second of any
    return [
        NormalSyntheticMask(
            normal=_plain(category / row["normal_file_name"]),
            synthetic=_plain(category / row["file_name"]),
            mask=_plain(category / row["mask_file_name"])[..., 0] > 0,
        )
        for row in rows[:count]
    ]


def _some(good: GoodParts, indices: Sequence[int]) -> GoodParts:
    return GoodParts(
        names=tuple(good.names[index] for index in indices),
        photographs=tuple(good.photographs[index] for index in indices),
        foregrounds=tuple(good.foregrounds[index] for index in indices),
    )


def _pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)


def _plain(path: Path) -> RGBImage:
    with Image.open(path) as opened:
        return np.asarray(opened.convert("RGB"))


def _read(path: Path, largest: int) -> RGBImage:
    with Image.open(path) as opened:
        turned = ImageOps.exif_transpose(opened).convert("RGB")
    turned.thumbnail((largest, largest), Image.Resampling.BOX)
    return np.asarray(turned)
