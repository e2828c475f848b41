"""Test images side by side: what each variant sees in those it does best and worst on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fmas.benchmark.layouts import Category, TestImage
from fmas.benchmark.measuring import Inspected, mean_map
from fmas.benchmark.truth import read_truth
from fmas.images import read_image
from fmas.report.encoding import Effort, fitted, photograph, resized
from fmas.types import FloatMap, RGBImage

__all__ = ["GalleryRow", "chosen_images", "gallery"]

_LONGEST = 210
_EFFORT = Effort(quality=78, aim=16_000, least=40)
_STRONGEST = 0.7  # opacity of the hottest colour
_TRUTH_COLOUR = (255, 45, 141)
_EVERY = 5  # of the pixels in a row and in a column, for the colour scale


@dataclass(frozen=True, slots=True)
class GalleryRow:
    """One test image.

    Attributes:
        relative: Its path below ``test``.
        kind: The defect's folder name, or ``good``.
        why: Why it is shown, e.g. ``lowest score of a defect: unet-fmas``.
        photograph: WebP in base64, with the true defect's outline.
        overlays: Variant -> (WebP in base64, share of the good test images with a lower score).
        size: Width and height of all of them, pixels.
    """

    relative: str
    kind: str
    why: tuple[str, ...]
    photograph: str
    overlays: Mapping[str, tuple[str, float]]
    size: tuple[int, int]


def gallery(category: Category, variants: Mapping[str, Sequence[Inspected]], *, most: int) -> list[GalleryRow]:
    """Draw the chosen images.

    Args:
        category: Whose.
        variants: Variant -> its finished seeds; maps and scores are averaged over them.
        most: The greatest number of images.
    """
    scores = {
        name: {
            image.relative: float(np.mean([seed.scores[image.relative] for seed in seeds])) for image in category.images
        }
        for name, seeds in variants.items()
    }
    chosen = chosen_images(category, scores, most=most)
    scales = {name: _scale(category, seeds) for name, seeds in variants.items()}
    good = {
        name: [of[image.relative] for image in category.images if not image.defective] for name, of in scores.items()
    }
    rows = []
    for image, why in chosen:
        pixels, _ = read_image(category.test / image.relative)
        size = fitted(pixels.shape[1], pixels.shape[0], _LONGEST)
        small = resized(pixels, size)
        overlays = {
            name: (
                photograph(_heated(small, mean_map(seeds, image), scales[name]), effort=_EFFORT),
                _lower(good[name], scores[name][image.relative]),
            )
            for name, seeds in variants.items()
        }
        shown = photograph(_outlined(small, image), effort=_EFFORT)
        rows.append(GalleryRow(image.relative, image.kind, why, shown, overlays, size))
    return rows


def chosen_images(
    category: Category, scores: Mapping[str, Mapping[str, float]], *, most: int
) -> list[tuple[TestImage, tuple[str, ...]]]:
    """Choose what is worth looking at: each variant's lowest defect, highest good part and highest defect.

    Args:
        category: Whose images.
        scores: Variant -> path -> score.
        most: The greatest number of images; failures go first.

    Returns:
        Images and why each was chosen, defects before good parts.
    """
    reasons: dict[str, list[str]] = {}
    defects = [image.relative for image in category.images if image.defective]
    good = [image.relative for image in category.images if not image.defective]
    for words, paths, pick in (
        ("lowest score of a defect", defects, min),
        ("highest score of a good part", good, max),
        ("highest score of a defect", defects, max),
    ):
        for name, of in scores.items():
            path = pick(paths, key=lambda path, of=of: of[path])  # type: ignore[misc]  # bound now, as it must be
            if path in reasons or len(reasons) < most:
                reasons.setdefault(path, []).append(f"{words}: {name}")
    images = [image for image in category.images if image.relative in reasons]
    return [(image, tuple(reasons[image.relative])) for image in sorted(images, key=lambda i: not i.defective)]


def _scale(category: Category, seeds: Sequence[Inspected]) -> tuple[float, float]:
    """Return where colour begins and ends: the middle and the last thousandth of all test pixels."""
    values = np.concatenate([mean_map(seeds, image)[::_EVERY, ::_EVERY].ravel() for image in category.images])
    start, end = (float(end) for end in np.quantile(values, (0.5, 0.999)))
    return start, max(end, start + 1e-12)


def _lower(good: Sequence[float], score: float) -> float:
    return float(np.mean([value < score for value in good]))


def _heated(picture: RGBImage, values: FloatMap, scale: tuple[float, float]) -> RGBImage:
    height, width = picture.shape[:2]
    if values.shape != (height, width):
        values = np.asarray(cv2.resize(values, (width, height), interpolation=cv2.INTER_AREA), dtype=np.float32)
    position = np.clip((values - scale[0]) / (scale[1] - scale[0]), 0.0, 1.0)
    colours = cv2.applyColorMap(np.rint(55 + 200 * position).astype(np.uint8), cv2.COLORMAP_PLASMA)[..., ::-1]
    opacity = (_STRONGEST * np.sqrt(position))[..., np.newaxis]
    mixed: NDArray[np.uint8] = np.rint(picture * (1 - opacity) + colours * opacity).astype(np.uint8)
    return mixed


def _outlined(picture: RGBImage, image: TestImage) -> RGBImage:
    if image.truth is None:
        return picture
    height, width = picture.shape[:2]
    mask = read_truth(image.truth)
    small = cv2.resize(mask.astype(np.uint8) * 255, (width, height), interpolation=cv2.INTER_AREA) > 0
    contours, _ = cv2.findContours(small.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    drawn = picture.copy()
    cv2.drawContours(drawn, contours, -1, _TRUTH_COLOUR, 1)
    return drawn
