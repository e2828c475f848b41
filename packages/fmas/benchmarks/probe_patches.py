"""Patches for the probe: where a mask's border runs, from composites without a visible defect and from their twins.

The composites come from `fmas run` itself: every kind of the built-in inpainter at its faintest (severity 0, strength
0.01), through crop, paint, refine, composite and PNG. The faintest that a run accepts still changes a pixel by 8 grey
levels, or it would be no defect; so each is faded, linearly and rounded once, until no pixel is further than a few grey
levels from the photograph, and keeps the mask that the run gave it. What is left to be found is what the painting and
the compositing leave behind without being seen: steps at the border, grain that is missing or repeated, rounding.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from fmas.types import BoolMask, DefectKind, FloatMap, RGBImage

__all__ = ["CONTROLS", "SIDE", "Composite", "Patches", "cut_patches", "faded", "made_by_fmas", "visible_change"]

SIDE = 32
"""Of a patch, in pixels."""

MARGIN = 64
"""Pixels around a mask that are kept of its photograph."""


@dataclass(frozen=True, slots=True, eq=False)
class Composite:
    """One pair of a run.

    Attributes:
        source: Which photograph; the split is by it.
        kind: The defect's kind.
        twin: ``(H, W, 3)`` uint8, the photograph around the mask.
        picture: ``(H, W, 3)`` uint8, the composite.
        mask: ``(H, W)`` bool.
    """

    source: str
    kind: str
    twin: RGBImage
    picture: RGBImage
    mask: BoolMask


@dataclass(frozen=True, slots=True, eq=False)
class Patches:
    """Pairs of patches.

    Attributes:
        originals: ``(N, SIDE, SIDE)`` float32, luminance of the photographs, 0..255.
        composites: ``(N, SIDE, SIDE)`` float32, the same places in the composites.
        sources: ``(N,)`` the photographs' names.
        kinds: ``(N,)`` the defects' kinds.
    """

    originals: FloatMap
    composites: FloatMap
    sources: NDArray[np.str_]
    kinds: NDArray[np.str_]


def made_by_fmas(images: Path, work: Path, *, per_image: int, severity: float, strength: float) -> Iterator[Composite]:
    """Run ``fmas run`` over every kind and yield what it wrote.

    Args:
        images: A folder of photographs.
        work: A folder for the runs, which is made.
        per_image: Pairs per photograph, about; kinds are drawn.
        severity: Of every defect.
        strength: The built-in inpainter's option.
    """
    kinds = tuple(DefectKind)
    # On a texture a run leaves out the kinds that need an edge, while there are others: they get a run of their own.
    parts = {"edge": [kind for kind in kinds if kind.reaches_edge], "other": [k for k in kinds if not k.reaches_edge]}
    for part, members in parts.items():
        count = max(1, round(per_image * len(members) / len(kinds)))
        yield from _run(images, work / part, members, f"--per-image={count}", severity=severity, strength=strength)


def _run(
    images: Path, work: Path, kinds: Sequence[DefectKind], *options: str, severity: float, strength: float
) -> Iterator[Composite]:
    work.mkdir(parents=True)
    plan = work / "kinds.json"
    entries = [{"name": kind, "prompt": kind, "kind": kind, "severity": severity} for kind in map(str, kinds)]
    plan.write_text(json.dumps(entries), encoding="utf-8")
    command = [sys.executable, "-m", "fmas", "run", str(images), "--out", str(work / "out"), "--category", "probe"]
    command += ["--candidates", "1", "--set", f"llm.defects={plan}", "--set", f"inpainter.strength={strength}"]
    command += options
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in {0, 3}:  # 3: some photographs failed
        raise SystemExit(f"expected `{' '.join(command)}` to finish, got {done.returncode}:\n{done.stderr[-2000:]}")
    root = work / "out/dataset/probe"
    for line in (root / "metadata.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        mask = _read(root / row["mask_file_name"])[..., 0] > 0
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        window = tuple(slice(max(0, i[0] - MARGIN), i[-1] + 1 + MARGIN) for i in (rows, columns))
        twin, picture = (_read(root / row[key])[window].copy() for key in ("normal_file_name", "file_name"))
        yield Composite(row["source"], row["kind"], twin, picture, mask[window].copy())


def visible_change(composite: Composite) -> float:
    """Return the largest change of a pixel, in grey levels."""
    return float(np.abs(composite.picture.astype(np.int16) - composite.twin).max())


def faded(composite: Composite, most: float) -> Composite:
    """Move a composite towards its photograph until no pixel is more than ``most`` grey levels away; round once."""
    change = composite.picture.astype(np.float32) - composite.twin
    factor = np.float32(min(1.0, most / max(1.0, float(np.abs(change).max()))))
    picture = np.rint(composite.twin + factor * change).astype(np.uint8)
    return Composite(composite.source, composite.kind, composite.twin, picture, composite.mask)


def cut_patches(composites: Iterable[Composite], *, each: int, seed: int) -> Patches:
    """Cut patches that are centred on random pixels of the masks' borders.

    Args:
        composites: Pairs of pictures; those smaller than a patch give none.
        each: Patches of each composite.
        seed: Draws the pixels.
    """
    rng = np.random.default_rng(seed)
    half = SIDE // 2
    originals, changed, sources, kinds = [], [], [], []
    for composite in composites:
        border = composite.mask ^ ndimage.binary_erosion(composite.mask)
        inner = np.zeros_like(border)
        inner[half : inner.shape[0] - half, half : inner.shape[1] - half] = True
        places = np.argwhere(border & inner)
        for row, column in rng.permutation(places)[:each]:
            window = (slice(row - half, row + half), slice(column - half, column + half))
            originals.append(composite.twin[window].mean(axis=2, dtype=np.float32))
            changed.append(composite.picture[window].mean(axis=2, dtype=np.float32))
            sources.append(composite.source)
            kinds.append(composite.kind)
    if not originals:
        raise SystemExit("expected masks with room for a patch around their border, got none; pass larger photographs")
    return Patches(np.stack(originals), np.stack(changed), np.array(sources), np.array(kinds))


Control: TypeAlias = Callable[[Composite, np.random.Generator], Composite]


def _hard_paste(composite: Composite, rng: np.random.Generator) -> Composite:
    """Fill the mask with another place of the photograph, cut sharply."""
    return _pasted(composite, composite.mask.astype(np.float32), rng)


def _soft_paste(composite: Composite, rng: np.random.Generator) -> Composite:
    """Fill the mask with another place of the photograph, with a border that fades over a few pixels."""
    opacity = cv2.GaussianBlur(composite.mask.astype(np.float32), (0, 0), 1.0)
    return _pasted(composite, np.asarray(opacity, np.float32), rng)


def _smoothed(composite: Composite, _: np.random.Generator) -> Composite:
    """Take a little of the finest texture away inside the mask, as the decoders of generative models do."""
    flat = cv2.GaussianBlur(composite.twin, (0, 0), 0.6)
    picture = np.where(composite.mask[..., None], flat, composite.twin)
    return Composite(composite.source, composite.kind, composite.twin, picture, composite.mask)


CONTROLS: Mapping[str, Control] = MappingProxyType(
    {"hard paste": _hard_paste, "soft paste": _soft_paste, "slight blur": _smoothed}
)
"""What a probe must be able to see: pastes of good surface, and a blur that no eye notices."""


def _pasted(composite: Composite, opacity: FloatMap, rng: np.random.Generator) -> Composite:
    height, width = composite.mask.shape
    moved = np.roll(composite.twin, (int(rng.integers(height)), int(rng.integers(width))), axis=(0, 1))
    blend = composite.twin + opacity[..., None] * (moved.astype(np.float32) - composite.twin)
    picture = np.clip(np.rint(blend), 0, 255).astype(np.uint8)
    return Composite(composite.source, composite.kind, composite.twin, picture, composite.mask)


def _read(path: Path) -> RGBImage:
    with Image.open(path) as opened:
        return np.asarray(opened.convert("RGB"))
