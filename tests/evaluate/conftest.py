"""Fixtures for the command's tests: folders of maps and masks in NPY, which needs no library beyond numpy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest


@dataclass(frozen=True)
class Folders:
    """A small data set on disk and in memory.

    Attributes:
        maps: Folder of score maps, `<dir>/<stem>.npy`.
        truth: Folder of masks, `<dir>/<stem>_mask.npy`; nothing for `good`.
        scores: Name -> map.
        masks: Name -> mask.
    """

    maps: Path
    truth: Path
    scores: dict[str, np.ndarray]
    masks: dict[str, np.ndarray]


def save(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)
    return path


@pytest.fixture
def make_folders(tmp_path: Path) -> Callable[..., Folders]:
    """Return a function that writes a data set of the given images, `<dir>/<stem>`, good ones in folders `good`."""

    def make(*names: str, seed: int = 0, strength: float = 2.0, where: str = "", dtype: str = "float32") -> Folders:
        generator = np.random.default_rng(seed)
        maps, truth = tmp_path / where / "out" / "maps", tmp_path / where / "truth"
        maps.mkdir(parents=True)
        truth.mkdir()
        scores, masks = {}, {}
        for number, name in enumerate(names):
            height, width = 24 + number, 30 - number % 4
            mask = np.zeros((height, width), dtype=bool)
            if "good" not in name.split("/"):
                top, left = generator.integers(1, 10, 2)
                mask[top : top + 6, left : left + 4] = True
                mask[20, 22] = True
                save(truth / f"{name}_mask.npy", mask)
            scores[name] = (generator.normal(size=mask.shape) + strength * mask).astype(dtype)
            masks[name] = mask
            save(maps / f"{name}.npy", scores[name])
        return Folders(maps, truth, scores, masks)

    return make


@pytest.fixture
def folders(make_folders: Callable[..., Folders]) -> Folders:
    return make_folders("crack/000", "crack/001", "good/000", "good/001", "stain/000")
