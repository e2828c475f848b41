"""Maps and scores as inspections leave them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fmas.benchmark import measuring
from fmas.benchmark.layouts import Category, read_dataset
from fmas.benchmark.measuring import averaged_images, cell_images, draw_seed, read_inspected, read_map
from fmas.errors import OutputError

SIDE = 24


@pytest.fixture
def category(dataset: Path, tmp_path: Path) -> Category:
    return read_dataset(dataset, staging=tmp_path)[0]


@pytest.fixture
def inspection(category: Category, tmp_path: Path) -> Callable[..., Path]:
    def write(name: str, values: Callable[[int], np.ndarray], *, verdict: str = "anomalous") -> Path:
        folder = tmp_path / name
        rows = ["path,score,verdict"]
        for number, image in enumerate(category.images):
            target = (folder / "maps" / image.relative).with_suffix(".tiff")
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(values(number).astype(np.float32)).save(target)
            rows.append(f"{image.relative},{float(values(number).max())!r},{verdict if image.defective else 'good'}")
        (folder / "scores.csv").write_text("\n".join(rows) + "\n")
        return folder

    return write


def constant(value: float) -> Callable[[int], np.ndarray]:
    return lambda number: np.full((SIDE, SIDE), value + number)


def test_a_cells_images_are_what_was_inspected(category: Category, inspection: Callable[..., Path]) -> None:
    images = cell_images(category, read_inspected(inspection("one", constant(0.5)), category, explained=False))

    assert [image.score for image in images] == [0.5 + number for number in range(10)]
    assert [image.mask is not None for image in images] == [image.defective for image in category.images]
    assert images[0].mask is not None
    assert np.count_nonzero(images[0].mask) == 64
    assert images[3].map.dtype == np.float32
    assert np.array_equal(images[3].map, np.full((SIDE, SIDE), 3.5))


def test_seeds_are_averaged_as_values(category: Category, inspection: Callable[..., Path]) -> None:
    folders = [inspection("one", constant(0.0)), inspection("two", constant(3.0)), inspection("three", constant(6.0))]
    images = averaged_images(category, [read_inspected(folder, category, explained=False) for folder in folders])

    assert [image.score for image in images] == pytest.approx([3.0 + number for number in range(10)])
    assert all(np.allclose(image.map, 3.0 + number) for number, image in enumerate(images))


def test_rates_are_of_the_calibrated_threshold(category: Category, inspection: Callable[..., Path]) -> None:
    inspected = read_inspected(inspection("one", constant(0.0)), category, explained=False)
    assert inspected.rates(category) == (0.0, 1.0)
    inspected = read_inspected(inspection("two", constant(0.0), verdict="good"), category, explained=False)
    assert inspected.rates(category) == (0.0, 0.0)


def test_too_many_pixels_are_measured_smaller(
    category: Category, inspection: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    ramp = np.arange(SIDE * SIDE).reshape(SIDE, SIDE)
    inspected = read_inspected(inspection("one", lambda number: ramp), category, explained=False)
    monkeypatch.setattr(measuring, "_MOST_PIXELS", 10 * SIDE * SIDE // 16)
    image = cell_images(category, inspected)[0]

    assert image.map.shape == (6, 6)
    assert image.map[0, 0] == ramp[:4, :4].mean()
    assert image.mask is not None
    assert np.array_equal(np.argwhere(image.mask)[[0, -1]], [[1, 2], [3, 3]])  # rows 6..13, columns 8..15


def test_a_rest_at_the_border_is_kept() -> None:
    values = np.arange(10, dtype=np.float32).reshape(2, 5)
    assert measuring._smaller_map(values, 2).tolist() == [[3.0, 5.0, 6.5]]


def test_draws_depend_on_the_images_alone() -> None:
    assert draw_seed("tiles") == draw_seed("tiles")
    assert len({draw_seed("tiles"), draw_seed("bottle"), draw_seed("tiles", "crack"), draw_seed("tilescrack")}) == 4


def test_broken_inspections_are_refused(category: Category, inspection: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"scores\.csv as fmas inspect writes it"):
        read_inspected(tmp_path / "nowhere", category, explained=False)
    folder = inspection("one", constant(0.0))
    (folder / "scores.csv").write_text("path,score,verdict\ncrack/000.png,much,good\n")
    with pytest.raises(OutputError, match="delete the folder to redo it"):
        read_inspected(folder, category, explained=False)
    (folder / "scores.csv").write_text("path,score,verdict\ncrack/000.png,1.0,good\n")
    with pytest.raises(OutputError, match="none for 9 of them"):
        read_inspected(folder, category, explained=False)


def test_broken_maps_are_refused(category: Category, inspection: Callable[..., Path]) -> None:
    folder = inspection("one", constant(0.0))
    target = folder / "maps" / "crack" / "000.tiff"
    target.write_bytes(b"no map")
    with pytest.raises(OutputError, match=r"expected the map .*000\.tiff"):
        read_map(folder, "crack/000.png")
    Image.fromarray(np.zeros((4, 4, 3), dtype=np.uint8)).save(target)
    with pytest.raises(OutputError, match="one value per pixel"):
        read_map(folder, "crack/000.png")


def test_a_mask_of_another_size_is_refused(category: Category, inspection: Callable[..., Path]) -> None:
    folder = inspection("one", lambda number: np.zeros((SIDE, SIDE + 1)))
    with pytest.raises(OutputError, match="expected a mask of 25 x 24 pixels, as its image, got 24 x 24"):
        cell_images(category, read_inspected(folder, category, explained=False))
