"""Draws ``pipeline.png`` from a real run: ``python docs/figures/make_pipeline_figure.py``.

Two photographs that scikit-image carries (a coin of ``coins``, no known restrictions, enlarged; a piece of ``brick``,
CC0) go through the stages of ``fmas run`` with the built-in components, and what each stage adds becomes a column. The
same seed gives the same picture.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from skimage import data

from fmas.components import RunComponents
from fmas.config import RegionConfig, RunConfig
from fmas.files import AtomicWriter
from fmas.images import encode_png
from fmas.inpaint import InpaintStage
from fmas.plan import StoredPlan
from fmas.plugins import load_plugins
from fmas.read import ReadStage
from fmas.region import RegionStage
from fmas.samples import Candidate, Pair, Sample
from fmas.segment import SegmentStage
from fmas.select import SelectStage
from fmas.sources import find_sources
from fmas.types import BoolMask, Defect, DefectKind, Fingerprint, RGBImage

TARGET = Path(__file__).with_name("pipeline.png")
SIDE = 256
SEED = 3
REGION = RegionConfig(area=(0.03, 0.06))  # larger than the default, so that it can be seen at this size
GAP = 10
HEADER = 30
INK = (30, 30, 30)
REGION_COLOUR = (255, 140, 0)
CHOSEN_COLOUR = (0, 150, 70)

COLUMNS = (
    "photograph",
    "1 segment: foreground",
    "2 region",
    "3 inpaint: candidates",
    "4 select: kept one",
    "5 write: mask",
)

DEFECTS = {
    "coin.png": Defect(name="scratch", prompt="a deep scratch", kind=DefectKind.SCRATCH, severity=0.9),
    "wall.png": Defect(name="hole", prompt="a small hole", kind=DefectKind.HOLE, severity=0.7),
}


def main() -> None:
    """Write the figure."""
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder, "photographs")
        write_photographs(images)
        rows = [panels(images / name, defect, Path(folder)) for name, defect in DEFECTS.items()]
    width = len(COLUMNS) * SIDE + (len(COLUMNS) + 1) * GAP
    sheet = Image.new("RGB", (width, HEADER + len(rows) * (SIDE + GAP)), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(17)
    for column, title in enumerate(COLUMNS):
        left = GAP + column * (SIDE + GAP)
        draw.text((left, 5), title, fill=INK, font=font)
        for row, pictures in enumerate(rows):
            sheet.paste(Image.fromarray(pictures[column]), (left, HEADER + row * (SIDE + GAP)))
    sheet.save(TARGET, optimize=True)


def write_photographs(folder: Path) -> None:
    """Write a coin and a piece of wall as ``SIDE`` x ``SIDE`` PNG files."""
    coins = np.asarray(data.coins())  # type: ignore[no-untyped-call]
    bricks = np.asarray(data.brick())  # type: ignore[no-untyped-call]
    coin = Image.fromarray(coins[25:95, 178:248]).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    wall = bricks[100 : 100 + SIDE, 60 : 60 + SIDE]
    writer = AtomicWriter(folder.with_name("temporary"))
    for name, grey in (("coin.png", np.asarray(coin)), ("wall.png", wall)):
        writer.write(folder / name, encode_png(np.stack([grey] * 3, axis=2)))


def panels(photograph: Path, defect: Defect, folder: Path) -> list[RGBImage]:
    """Return one row of the figure: what each stage adds to ``photograph``, ``(SIDE, SIDE, 3)`` uint8 each."""
    config = RunConfig(images=photograph, out=folder / "out", object=photograph.stem, seed=SEED, region=REGION)
    components = RunComponents.from_config(config, load_plugins())
    plan = StoredPlan(photograph.stem, Fingerprint("figure", "1"), (defect,))
    sample = Sample(find_sources(photograph)[0], (Pair(0, 0),))
    (photographed,) = ReadStage(max_pixels=config.max_pixels).process([sample])
    (segmented,) = SegmentStage(components.segmenter).process([photographed])
    (placed,) = RegionStage(plan, config.region, run_seed=SEED, category=config.category_name).process([segmented])
    painter = InpaintStage(
        components.inpainter,
        candidates=config.candidates,
        crop=config.crop,
        refine_config=config.refine,
        run_seed=SEED,
        category=config.category_name,
    )
    (painted,) = painter.process([placed])
    (selected,) = SelectStage(components.selector, config.select).process([painted])
    pair, image, foreground = selected.pairs[0], selected.image, selected.foreground
    if image is None or foreground is None or pair.region is None or pair.chosen is None:
        raise RuntimeError(f"expected a finished pair, got {pair.failure or selected.failure}; choose another seed")
    region = np.zeros(image.shape[:2], dtype=np.bool_)
    region[pair.region.box.slices] = pair.region.mask
    return [
        image,
        shaded(image, foreground.mask),
        outlined(image, region),
        contact_sheet(image, pair),
        composite(image, pair.chosen),
        grey(full_mask(image, pair.chosen)),
    ]


def composite(image: RGBImage, candidate: Candidate) -> RGBImage:
    """Return the whole photograph with a candidate's crop in place."""
    result = image.copy()
    result[candidate.box.slices] = candidate.image
    return result


def full_mask(image: RGBImage, candidate: Candidate) -> BoolMask:
    """Return a candidate's mask in the whole photograph, ``(H, W)`` bool."""
    mask = np.zeros(image.shape[:2], dtype=np.bool_)
    mask[candidate.box.slices] = candidate.mask
    return mask


def contact_sheet(image: RGBImage, pair: Pair) -> RGBImage:
    """Return the accepted candidates, two by two, each with its score; the kept one has a frame."""
    sheet = Image.new("RGB", (SIDE, SIDE), "white")
    draw = ImageDraw.Draw(sheet)
    half = SIDE // 2
    font = ImageFont.load_default(14)
    for number, candidate in enumerate(pair.candidates[:4]):
        crop = Image.fromarray(zoomed(composite(image, candidate), pair)).resize((half - 2, half - 2))
        left, top = number % 2 * half + 1, number // 2 * half + 1
        sheet.paste(crop, (left, top))
        draw.rectangle((left + 4, top + 4, left + 38, top + 21), fill="white")
        draw.text((left + 7, top + 4), f"{candidate.score:.2f}", fill=INK, font=font)
        if pair.chosen is not None and candidate.index == pair.chosen.index:
            draw.rectangle((left, top, left + half - 3, top + half - 3), outline=CHOSEN_COLOUR, width=4)
    return np.asarray(sheet)


def zoomed(image: RGBImage, pair: Pair) -> RGBImage:
    """Return a square around the pair's region, so that a small defect can be seen."""
    if pair.region is None:
        return image
    box = pair.region.box
    side = min(max(2 * max(box.width, box.height), 48), SIDE)
    left = min(max((box.left + box.right - side) // 2, 0), SIDE - side)
    top = min(max((box.top + box.bottom - side) // 2, 0), SIDE - side)
    return image[top : top + side, left : left + side]


def shaded(image: RGBImage, mask: BoolMask) -> RGBImage:
    """Return ``image`` with everything outside ``mask`` faded."""
    faded = (image.astype(np.uint16) + 3 * 255) // 4
    return np.where(mask[..., None], image, faded).astype(np.uint8)


def outlined(image: RGBImage, mask: BoolMask) -> RGBImage:
    """Return ``image`` with ``mask`` tinted."""
    tint = np.array(REGION_COLOUR, dtype=np.uint16)
    return np.where(mask[..., None], (image + tint) // 2, image).astype(np.uint8)


def grey(mask: BoolMask) -> NDArray[np.uint8]:
    """Return a mask as black and white RGB."""
    return np.repeat(mask[..., None], 3, axis=2).astype(np.uint8) * 255


if __name__ == "__main__":
    main()
