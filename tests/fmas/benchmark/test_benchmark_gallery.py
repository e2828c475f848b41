"""Which test images the page shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fmas.benchmark import gallery
from fmas.benchmark.gallery import chosen_images
from fmas.benchmark.layouts import Category, read_dataset


@pytest.fixture
def category(dataset: Path, tmp_path: Path) -> Category:
    return read_dataset(dataset, staging=tmp_path)[0]


def scores(category: Category, **of: float) -> dict[str, float]:
    """Defects score 5, good parts 1, but for those given as kind_number."""
    named = {f"{name.replace('_', '/')}.png": score for name, score in of.items()}
    return {i.relative: named.get(i.relative, 5.0 if i.defective else 1.0) for i in category.images}


def test_each_variants_best_and_worst_are_shown(category: Category) -> None:
    one = scores(category, crack_001=0.1, good_002=9.0, dent_000=99.0)
    two = scores(category, crack_001=0.2, good_003=8.0, dent_001=98.0)
    chosen = {image.relative: why for image, why in chosen_images(category, {"one": one, "two": two}, most=12)}

    assert chosen == {
        "crack/001.png": ("lowest score of a defect: one", "lowest score of a defect: two"),
        "dent/000.png": ("highest score of a defect: one",),
        "dent/001.png": ("highest score of a defect: two",),
        "good/002.png": ("highest score of a good part: one",),
        "good/003.png": ("highest score of a good part: two",),
    }
    assert [image.startswith("good") for image in chosen] == [False, False, False, True, True]


def test_failures_go_first_where_there_is_little_room(category: Category) -> None:
    of = scores(category, crack_001=0.1, good_002=9.0, dent_000=99.0)
    assert [image.relative for image, _ in chosen_images(category, {"one": of}, most=2)] == [
        "crack/001.png",
        "good/002.png",
    ]


def test_heat_leaves_what_is_cold_as_it_is() -> None:
    picture = np.full((8, 8, 3), 100, dtype=np.uint8)
    values = np.zeros((16, 16), dtype=np.float32)
    values[:8, :8] = 2.0
    drawn = gallery._heated(picture, values, (0.0, 1.0))
    assert np.array_equal(drawn[4:, 4:], picture[4:, 4:])
    assert (np.abs(drawn[:4, :4].astype(int) - 100).max(axis=2) > 30).all()


def test_the_outline_goes_around_the_defect(category: Category) -> None:
    picture = np.zeros((24, 24, 3), dtype=np.uint8)
    drawn = gallery._outlined(picture, category.images[0])
    assert tuple(drawn[6, 8]) == gallery._TRUTH_COLOUR
    assert not drawn[9, 11].any()  # inside
    assert np.array_equal(gallery._outlined(picture, category.images[-1]), picture)  # good
