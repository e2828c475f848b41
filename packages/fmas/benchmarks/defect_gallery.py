"""Render every kind of built-in defect on real photographs, one contact sheet per kind, to be looked at at full size.

    python packages/fmas/benchmarks/defect_gallery.py OUT [--photographs DIR] [--severities 0.1 0.5 1.0] [--kinds crack]
    python packages/fmas/benchmarks/defect_gallery.py --docs docs/images/gallery

A row is a photograph, a column a severity (the same seed); the last column is the footprint at the highest severity:
what changed by 8 grey levels, and by 5 where it touches that. The photographs are scikit-image's and, with
``--photographs``, up to four of a folder. The region's outline is not drawn: judge what you see.

``--docs`` writes the pictures of docs/explanation/defect-gallery.md instead: scikit-image's photographs alone (free to
redistribute), the photograph and three severities, WebP, and prints how large they are together.
"""

from __future__ import annotations

import argparse
import sys
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import skimage.data
from PIL import Image
from scipy.ndimage import binary_fill_holes
from skimage.filters import apply_hysteresis_threshold, threshold_otsu

from fmas.builtin.inpainter import BuiltinInpainter
from fmas.types import BoolMask, Defect, DefectKind, InpaintJob, RGBImage

SIDE = 256
SAMPLES = ("brick", "grass", "gravel", "coins", "astronaut", "coffee")


@dataclass(frozen=True, slots=True)
class Cell:
    """Where a picture of the documentation is cut from one of scikit-image's photographs.

    Attributes:
        photograph: Its name in ``skimage.data``.
        top: First row.
        left: First column.
        side: Rows and columns.
        is_object: Whether it shows a part on a background.
    """

    photograph: str
    top: int
    left: int
    side: int
    is_object: bool = False


CELLS = (
    Cell("moon", 40, 150, 176),
    Cell("brick", 60, 60, 176),
    Cell("gravel", 120, 80, 176),
    Cell("grass", 100, 100, 176),
    Cell("coins", 231, 211, 68, is_object=True),
    Cell("coffee", 90, 210, 176),
    Cell("astronaut", 210, 60, 176),
)
CELL_SIDE = 176
NAMES = {
    DefectKind.STAIN: (
        "oil stain",
        "water stain",
        "rust stain",
        "oil stain",
        "rust stain",
        "coffee stain",
        "ink splash",
    ),
    DefectKind.CONTAMINATION: ("fibre", "drop", "swarf", "flake", "dust", "drop", "lint"),
    DefectKind.DISCOLORATION: ("shade", "uneven grinding", "fading", "scorch", "heat tint", "yellow shade", "fading"),
    DefectKind.FRAY: ("wear", "wear", "wear", "wear", "frayed threads", "wear", "pulled threads"),
    DefectKind.OTHER: ("blister", "glue residue", "tear", "tarnish", "scuff", "bubble", "wrinkle"),
}
"""What the rows of some kinds are called: the words choose the variant. Elsewhere the kind itself."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the sheets and print where they are."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--docs", type=Path, help="write the documentation's pictures to this folder, and nothing else")
    parser.add_argument("--photographs", type=Path, help="a folder of further photographs")
    parser.add_argument("--severities", type=float, nargs="+", default=[0.1, 0.5, 1.0])
    parser.add_argument("--kinds", nargs="+", choices=[kind.value for kind in DefectKind], default=list(DefectKind))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--zoom", type=int, default=1)
    options = parser.parse_args(arguments)
    kinds = [DefectKind(name) for name in options.kinds]
    if options.docs is not None:
        return write_docs(options.docs, kinds, options.severities, options.seed)
    if options.out is None:
        parser.error("expected OUT or --docs DIR, got neither; name a folder to write to")

    options.out.mkdir(parents=True, exist_ok=True)
    surfaces = list(photographs(options.photographs))
    for kind in kinds:
        started = time.perf_counter()
        rows = [row(image, foreground, kind, options.severities, options.seed) for image, foreground in surfaces]
        spent = (time.perf_counter() - started) / (len(surfaces) * len(options.severities))
        path = options.out / f"{kind.value}.png"
        sheet = np.concatenate(rows)
        Image.fromarray(np.kron(sheet, np.ones((options.zoom, options.zoom, 1), np.uint8))).save(path)
        sys.stdout.write(f"{path}  {1000 * spent:.1f} ms per rendering\n")
    return 0


def write_docs(folder: Path, kinds: Sequence[DefectKind], severities: Sequence[float], seed: int) -> int:
    """Write one WebP per kind and print the sizes."""
    folder.mkdir(parents=True, exist_ok=True)
    total = 0
    for kind in kinds:
        names = NAMES.get(kind, (kind.value,) * len(CELLS))
        sheet = np.concatenate(
            [docs_row(cell, kind, name, severities, seed) for cell, name in zip(CELLS, names, strict=True)]
        )
        path = folder / f"{kind.value}.webp"
        Image.fromarray(sheet).save(path, quality=82, method=6)
        total += path.stat().st_size
        sys.stdout.write(f"{path}  {path.stat().st_size / 1000:.0f} kB\n")
    sys.stdout.write(f"{total / 1e6:.2f} MB in all\n")
    return 0


def docs_row(cell: Cell, kind: DefectKind, name: str, severities: Sequence[float], seed: int) -> RGBImage:
    """Return the photograph and the renderings side by side, with a white line between."""
    image = load(cell.photograph)[cell.top : cell.top + cell.side, cell.left : cell.left + cell.side]
    image = np.ascontiguousarray(image)
    if cell.side != CELL_SIDE:
        image = np.asarray(cv2.resize(image, (CELL_SIDE, CELL_SIDE), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)
    foreground = part_in(image) if cell.is_object else np.ones(image.shape[:2], bool)
    seed = zlib.crc32(f"{seed} {kind.value} {cell.photograph} {name}".encode())
    where = region(foreground, kind, seed)
    cells = [image]
    for severity in severities:
        defect = Defect(name=name, prompt=name, kind=kind, severity=severity)
        cells += BuiltinInpainter().inpaint([InpaintJob(image, where, foreground, defect, seed)])
    return np.concatenate([np.pad(cell, ((2, 2), (2, 2), (0, 0)), constant_values=255) for cell in cells], axis=1)


def part_in(image: RGBImage) -> BoolMask:
    """Return the largest bright thing of a picture, without holes."""
    grey = image.mean(axis=2)
    bright = np.asarray(binary_fill_holes(grey > threshold_otsu(grey)))  # type: ignore[no-untyped-call]
    _, labels, stats, _ = cv2.connectedComponentsWithStats(bright.astype(np.uint8))
    return np.asarray(labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])))


def load(name: str) -> RGBImage:
    """Return one of scikit-image's photographs, ``(H, W, 3)`` uint8."""
    image = np.atleast_3d(getattr(skimage.data, name)())
    return np.broadcast_to(image, (*image.shape[:2], 3)).astype(np.uint8)


def photographs(folder: Path | None) -> Iterator[tuple[RGBImage, BoolMask]]:
    """Yield crops of ``SIDE`` pixels and what is product in them (everything, but for two that show a border)."""
    for path in sorted(folder.iterdir())[:: max(1, len(list(folder.iterdir())) // 4)][:4] if folder else ():
        with Image.open(path) as opened:
            image = np.asarray(opened.convert("RGB"))
        yield cut(image, image.shape[0] // 2, image.shape[1] // 2)
    for name in SAMPLES:
        image = load(name)
        yield cut(image, *np.array(image.shape[:2]) // 2)


def cut(image: RGBImage, row: int, column: int) -> tuple[RGBImage, BoolMask]:
    """Cut ``SIDE`` pixels round a place (padded with black where there are fewer) and find the product."""
    top, left = max(0, row - SIDE // 2), max(0, column - SIDE // 2)
    crop = image[top : top + SIDE, left : left + SIDE]
    padding = [(SIDE - crop.shape[0], 0), (0, SIDE - crop.shape[1]), (0, 0)]
    framed = np.pad(crop, padding)
    known = np.pad(np.ones(crop.shape[:2], bool), padding[:2])
    return framed, known


def region(foreground: BoolMask, kind: DefectKind, seed: int) -> BoolMask:
    """Return a rectangle on the product; for kinds that reach over its border, one across it where there is one."""
    rng = np.random.default_rng(seed)
    rows, columns = np.flatnonzero(foreground.any(axis=1)), np.flatnonzero(foreground.any(axis=0))
    height, width = (int(rng.uniform(0.35, 0.6) * indices.size) for indices in (rows, columns))
    top = rows[0] + int(rng.integers(rows.size - height))
    left = columns[0] + int(rng.integers(columns.size - width))
    mask = np.zeros(foreground.shape, bool)
    if kind.reaches_edge and not foreground.all():
        # Across the border: upper where there is background above, else right.
        if rows[0] > 0:
            top = rows[0] - height // 3
        else:
            left = columns[-1] + 1 - 2 * width // 3
        mask[max(0, top) : top + height, max(0, left) : left + width] = True
        return mask
    mask[top : top + height, left : left + width] = True
    return mask & foreground


def row(image: RGBImage, foreground: BoolMask, kind: DefectKind, severities: Sequence[float], seed: int) -> RGBImage:
    """Return the photograph, the renderings and the footprint side by side."""
    seed = zlib.crc32(image.tobytes()) + seed
    where = region(foreground, kind, seed)
    cells, painted = [image], image
    for severity in severities:
        defect = Defect(name=kind.value, prompt=kind.value, kind=kind, severity=severity)
        (painted,) = BuiltinInpainter().inpaint([InpaintJob(image, where, foreground, defect, seed)])
        cells.append(painted)
    change = np.abs(painted.astype(int) - image).max(axis=2)
    mask = apply_hysteresis_threshold(change, 5, 8)  # type: ignore[no-untyped-call]
    cells.append(np.where(mask, 255, np.where(where, 60, 0)).astype(np.uint8)[..., None].repeat(3, axis=2))
    return np.concatenate(cells, axis=1)


if __name__ == "__main__":
    sys.exit(main())
