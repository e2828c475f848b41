"""Good parts photographed on a dusty table must score below defective ones.

Each photograph shows a clean part on a table with dust, which looks like the part's defects and lies elsewhere every
time. At inspection the table is dustier than in training, and crumbs lie on it that training never saw. Half of the
photographs inspected show a defect; none of them, and none of their tables, was trained on.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from fmas.types import BoolMask, NormalSyntheticMask, RGBImage

pytest.importorskip("torch")
pytest.importorskip("safetensors")
pytest.importorskip("fmas_evaluate")

from fmas_evaluate import image_auroc
from fmas_providers.detectors.options import UNetOptions
from fmas_providers.detectors.unet.detector import UNetDetector

SIDE = 112
PARTS = 24


@dataclass(frozen=True)
class Photograph:
    good: RGBImage
    defective: RGBImage
    mask: BoolMask
    part: tuple[slice, slice]

    def whole(self) -> NormalSyntheticMask:
        return NormalSyntheticMask(self.good, self.defective, self.mask)

    def around_the_part(self) -> NormalSyntheticMask:
        return NormalSyntheticMask(
            *(np.ascontiguousarray(one[self.part]) for one in (self.good, self.defective, self.mask))
        )


def dab(picture: np.ndarray, at: np.ndarray, colour: np.ndarray, rng: np.random.Generator, widest: int) -> None:
    axes = [int(one) for one in rng.integers(1, widest, 2)]
    point = int(at[1]), int(at[0])
    cv2.ellipse(picture, point, axes, int(rng.integers(180)), 0, 360, colour.tolist(), -1, cv2.LINE_AA)


def photograph(seed: int, *, inspected: bool) -> Photograph:
    rng = np.random.default_rng((seed, inspected))
    light = cv2.resize(rng.normal(0, 5, (3, 3)).astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    picture = np.full((SIDE, SIDE, 3), (176, 164, 146), np.float32) + light[..., np.newaxis]
    for _ in range(rng.integers(2, 60 if inspected else 25)):
        at = rng.integers(0, SIDE, 2)
        dab(picture, at, picture[*at] * rng.uniform(0.2, 0.6), rng, 4)
    for _ in range(rng.integers(0, 12) if inspected else 0):
        dab(picture, rng.integers(0, SIDE, 2), rng.uniform(0, 255, 3), rng, 5)

    height, width = rng.integers(44, 52, 2)
    top, left = rng.integers(14, SIDE - 14 - height), rng.integers(14, SIDE - 14 - width)
    part = slice(int(top), int(top + height)), slice(int(left), int(left + width))
    picture[part] = rng.normal((62, 92, 104), 4)
    defective = picture.copy()
    at = np.array([rng.integers(top + 6, top + height - 6), rng.integers(left + 6, left + width - 6)])
    colour = picture[*at] * rng.uniform(0.2, 0.6)
    if rng.random() < 0.5:
        dab(defective, at, colour, rng, 4)
    else:
        end = np.clip(at + rng.integers(-14, 15, 2), (top + 5, left + 5), (top + height - 6, left + width - 6))
        ends = [(int(column), int(row)) for row, column in (at, end)]
        cv2.line(defective, *ends, colour.tolist(), 2, cv2.LINE_AA)
    mask = np.abs(defective - picture).max(axis=2) > 6
    noise = rng.normal(0, 2, picture.shape)
    good, bad = (np.clip(one + noise, 0, 255).astype(np.uint8) for one in (picture, defective))
    return Photograph(good, bad, mask, part)


@pytest.fixture(scope="module")
def learnt_from() -> list[Photograph]:
    return [photograph(seed, inspected=False) for seed in range(PARTS)]


@pytest.fixture(scope="module")
def inspected() -> tuple[list[RGBImage], list[bool]]:
    """Good and defective photographs in turn, each on a table of its own."""
    pictures = [
        picture
        for seed in range(0, 48, 2)
        for picture in (photograph(seed, inspected=True).good, photograph(seed + 1, inspected=True).defective)
    ]
    return pictures, [False, True] * (len(pictures) // 2)


def trained(pairs: list[NormalSyntheticMask], **options: object) -> UNetDetector:
    small = {"width": 8, "levels": 3, "stem": 2, "wdam_levels": 1, "batch_size": 8, "steps": 150, "checks": 1}
    quick = {"learning_rate": 5e-3, "ema": 0.95, "threads": 1, "device": "cpu"}
    detector = UNetDetector(UNetOptions.model_validate({**small, **quick, **options}))
    detector.fit(pairs)
    return detector


def ranking(detector: UNetDetector, inspected: tuple[list[RGBImage], list[bool]]) -> float:
    pictures, defective = inspected
    scores = np.array([score for _, score in detector.score(pictures)])
    return float(image_auroc(scores, np.array(defective)))


def test_whole_pictures_and_the_gate_rank_defective_parts_above_good_ones(
    learnt_from: list[Photograph], inspected: tuple[list[RGBImage], list[bool]]
) -> None:
    assert ranking(trained([one.whole() for one in learnt_from], crop=SIDE, view="whole"), inspected) >= 0.95


def test_crops_around_the_part_without_the_gate_take_dust_for_defects(
    learnt_from: list[Photograph], inspected: tuple[list[RGBImage], list[bool]]
) -> None:
    pairs = [one.around_the_part() for one in learnt_from]
    assert ranking(trained(pairs, crop=40, view="crops", gate=False), inspected) < 0.8
