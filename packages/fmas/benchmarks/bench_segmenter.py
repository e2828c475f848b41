"""Measure the built-in segmenter: rendered parts with known masks, textures, speed; and draw its masks on photographs.

    python packages/fmas/benchmarks/bench_segmenter.py                                       # everything rendered
    python packages/fmas/benchmarks/bench_segmenter.py --photographs DIR --sheet masks.png   # outlines on photographs

The parts come from tests/fmas/rendered_parts.py, the textures from tests/fmas/rendered_textures.py. Times are CPU time
of one thread, the least of five runs; 40 ms per megapixel is the limit that we hold ourselves to.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fmas.builtin.segmenter import BuiltinSegmenter
from fmas.types import Foreground

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests" / "fmas"))

import rendered_parts as parts  # noqa: E402
import rendered_textures as textures  # noqa: E402

CELL, TEXT = 300, 22
COLOURED = ("colour on grey", "grey on colour")  # in grey, little would tell these parts from their ground
PART, TEXTURE = (0, 255, 0), (0, 128, 255)  # colours of outlines, BGR


def say(line: str) -> None:
    """Write a line to the standard output."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def measure_parts(segmenter: BuiltinSegmenter, sides: list[int], seeds: int) -> None:
    """Print IoU per kind and light, the mean and the cases below 0.75."""
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    poor = []
    for kind in parts.KINDS:
        for light in parts.LIGHTS:
            for side in sides:
                for seed in range(seeds):
                    picture, truth = parts.render_part(
                        kind, light, side=side, seed=seed, colour=seed % 2 == 0 or light in COLOURED
                    )
                    value = parts.iou(segmenter.segment(picture).mask, truth)
                    found[kind, light].append(value)
                    if value < 0.75:
                        poor.append(f"{kind}, {light}, {side} px, seed {seed}: {value:.2f}")
    count = len(found) * len(sides) * seeds
    say(f"\n## Intersection over union, {count} rendered parts of {sides} px, odd seeds grey\n")
    say(f"| kind | {' | '.join(parts.LIGHTS)} | mean |")
    say("|---" * (len(parts.LIGHTS) + 2) + "|")
    for kind in parts.KINDS:
        row = [np.mean(found[kind, light]) for light in parts.LIGHTS]
        say(f"| {kind} | {' | '.join(f'{value:.2f}' for value in row)} | {np.mean(row):.3f} |")
    columns = [np.mean([found[kind, light] for kind in parts.KINDS]) for light in parts.LIGHTS]
    say(f"| mean | {' | '.join(f'{value:.2f}' for value in columns)} | {np.mean(columns):.3f} |")
    say(f"\nBelow 0.75: {len(poor)} of {count}")
    for line in poor:
        say(f"- {line}")


def texture_pictures(crops: int, rendered: int) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Yield textures with the name of their source."""
    for name in textures.PHOTOGRAPHS:
        for crop in textures.photograph_crops(name, crops, seed=1):
            yield f"{name} (photograph)", crop
    for kind in textures.TEXTURES:
        for seed in range(rendered):
            yield kind, textures.render_texture(kind, side=(128, 200, 300, 450, 700)[seed % 5], seed=seed)


def measure_textures(segmenter: BuiltinSegmenter, crops: int, rendered: int) -> None:
    """Print how many textures are taken for textures."""
    right: dict[str, list[bool]] = defaultdict(list)
    for source, picture in texture_pictures(crops, rendered):
        right[source].append(segmenter.segment(picture).kind == "texture")
    everything = [one for ones in right.values() for one in ones]
    say(f"\n## Textures recognised as textures: {np.mean(everything):.1%} of {len(everything)}\n")
    say("| source | recognised | of |\n|---|---|---|")
    for source, ones in right.items():
        say(f"| {source} | {np.mean(ones):.1%} | {len(ones)} |")


def measure_speed(segmenter: BuiltinSegmenter) -> None:
    """Print CPU milliseconds per megapixel."""
    say("\n## CPU time, one thread\n\n| picture | megapixels | ms | ms per megapixel |\n|---|---|---|---|")
    part, _ = parts.render_part("nut", "cast shadow", side=1000, seed=0)
    grey, _ = parts.render_part("corner", "gradient", side=1000, seed=0, colour=False)
    texture = textures.render_texture("concrete", side=1000, seed=1)
    for name, picture in (("part, colour", part), ("part on the border, grey", grey), ("texture, colour", texture)):
        for size in ((1000, 1000), (2000, 2000), (4000, 3000)):
            enlarged = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC), np.uint8)
            spent = min(_cpu_seconds(segmenter, enlarged) for _ in range(5)) * 1000
            megapixels = size[0] * size[1] / 1e6
            say(f"| {name} | {megapixels:g} | {spent:.1f} | {spent / megapixels:.1f} |")


def _cpu_seconds(segmenter: BuiltinSegmenter, picture: NDArray[np.uint8]) -> float:
    started = time.process_time()
    segmenter.segment(picture)
    return time.process_time() - started


def draw_sheet(segmenter: BuiltinSegmenter, folder: Path, sheet: Path, columns: int) -> None:
    """Write the outlines of all photographs in ``folder``, brightened; several sheets where one would be too long."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in {".png", ".jpg", ".jpeg", ".bmp"})
    cells, areas, kinds = [], [], []
    for path in paths:
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if picture is None:
            continue
        found = segmenter.segment(np.ascontiguousarray(picture[..., ::-1]))
        areas.append(float(found.mask.mean()))
        kinds.append(found.kind)
        cells.append(_cell(np.asarray(picture, np.uint8), found, path.stem))
    per_sheet = columns * 6
    for number, start in enumerate(range(0, len(cells), per_sheet)):
        chosen = cells[start : start + per_sheet]
        chosen += [np.full_like(chosen[0], 60)] * (-len(chosen) % columns)
        rows = [np.hstack(chosen[i : i + columns]) for i in range(0, len(chosen), columns)]
        target = sheet if start == 0 else sheet.with_stem(f"{sheet.stem}-{number + 1}")
        cv2.imwrite(str(target), np.vstack(rows))
        say(f"wrote {target}")
    counts = f"{kinds.count('object')} parts, {kinds.count('texture')} textures"
    say(f"{len(cells)} photographs: {counts}, smallest mask {min(areas):.1%}")


def _cell(picture: NDArray[np.uint8], found: Foreground, name: str) -> NDArray[np.uint8]:
    """Return one brightened photograph with its outline and a caption."""
    scale = CELL / max(picture.shape[:2])
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    bright = np.clip(np.sqrt(picture / 255.0) * 255, 0, 255).astype(np.uint8)
    shown = np.pad(cv2.resize(bright, size, interpolation=cv2.INTER_AREA), ((1, 1), (1, 1), (0, 0)))
    solid = np.pad(cv2.resize(found.mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST), 1)
    outlines, _ = cv2.findContours(solid, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(shown, outlines, -1, PART if found.kind == "object" else TEXTURE, 1)
    cell = np.full((CELL + 2 + TEXT, CELL + 6, 3), 60, np.uint8)
    cell[: shown.shape[0], : shown.shape[1]] = shown
    caption = f"{name[-22:]} {found.kind} {found.confidence:.2f} {found.mask.mean():.0%}"
    cv2.putText(cell, caption, (3, CELL + 17), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255, 255, 255), 1, cv2.LINE_AA)
    return cell


def main() -> None:
    """Read the options and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=Path, help="folder of photographs to draw outlines on")
    parser.add_argument("--sheet", type=Path, default=Path("masks.png"), help="where the drawn outlines go")
    parser.add_argument("--columns", type=int, default=7)
    parser.add_argument("--sides", type=int, nargs="+", default=[300], help="sides of the rendered parts in pixels")
    parser.add_argument("--seeds", type=int, default=1, help="rendered parts per kind, light and side")
    parser.add_argument("--crops", type=int, default=150, help="crops of each stored photograph of a texture")
    parser.add_argument("--rendered", type=int, default=20, help="pictures of each kind of rendered texture")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    segmenter = BuiltinSegmenter()
    if options.photographs is not None:
        draw_sheet(segmenter, options.photographs, options.sheet, options.columns)
        return
    measure_parts(segmenter, options.sides, options.seeds)
    measure_textures(segmenter, options.crops, options.rendered)
    measure_speed(segmenter)


if __name__ == "__main__":
    main()
