"""What `fmas inspect` writes of an MVTec test folder is what `fmas evaluate` reads: maps, masks and scores by place."""

from __future__ import annotations

import csv
import importlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fmas.inspection import InspectRequest, inspect_images

pytestmark = pytest.mark.integration

main = pytest.importorskip("fmas_evaluate.cli").main
evaluation = pytest.importorskip("fmas_evaluate")
pytest.importorskip("tifffile")


@pytest.fixture
def spots(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "fmas"))
    return importlib.import_module("numpy_detector")


@pytest.fixture
def category(spots, tmp_path):
    """Return an MVTec category of 12 pictures of two sizes; the spots of two ``faint`` ones can hardly be seen."""
    category = tmp_path / "tile"
    number = 0
    for defect, count in (("good", 6), ("spot", 4), ("faint", 2)):
        (category / "test" / defect).mkdir(parents=True)
        if defect != "good":
            (category / "ground_truth" / defect).mkdir(parents=True)
        for index in range(count):
            number += 1
            size = (48, 64) if number % 2 else (60, 50)
            image = spots.picture(number, spot=defect == "spot", size=size)
            mask = np.zeros(size, dtype=np.uint8)
            if defect != "good":
                mask[10:18, 20:30] = 255
            if defect == "faint":
                image[10:18, 20:30] += 2
            Image.fromarray(image).save(category / "test" / defect / f"{index:03d}.png")
            if defect != "good":
                Image.fromarray(mask).save(category / "ground_truth" / defect / f"{index:03d}_mask.png")
    return category


def inspect(spots, tmp_path, images: Path) -> Path:
    model, out = spots.write_spot_model(tmp_path / "model"), tmp_path / "inspection"
    summary = inspect_images(InspectRequest(model, images, out), registry=spots.registry_of())
    assert summary.exit_code == 0
    return out


def evaluated(capsys, *arguments: object) -> dict[str, object]:
    capsys.readouterr()
    code = main([*map(str, arguments), "--json"])
    result = capsys.readouterr()
    assert code == 0, result.err
    return json.loads(result.out)


def test_numbers_are_those_of_the_detector_itself(spots, category, tmp_path, capsys):
    out = inspect(spots, tmp_path, category / "test")
    result = evaluated(capsys, "--maps", out / "maps", "--truth", category / "ground_truth")

    detector, maps, masks, scores, labels = spots.SpotDetector(spots.SpotOptions()), [], [], [], []
    for path in sorted((category / "test").rglob("*.png")):
        values, score = detector.answer(np.asarray(Image.open(path)))
        mask = category / "ground_truth" / path.parent.name / f"{path.stem}_mask.png"
        maps.append(values)
        masks.append(np.asarray(Image.open(mask)) > 0 if mask.exists() else np.zeros(values.shape, dtype=bool))
        scores.append(score)
        labels.append(path.parent.name != "good")
    wanted = evaluation.evaluate(maps, masks, image_scores=scores, labels=labels)
    assert result["n_images"] == 12
    assert result["image_auroc"] == pytest.approx(float(wanted.image_auroc), abs=1e-12)
    assert result["pixel_auroc"] == pytest.approx(float(wanted.pixel_auroc), abs=1e-12)
    assert result["aupro"] == pytest.approx(float(wanted.aupro), abs=1e-12)
    assert 0.5 < result["image_auroc"] < 1.0, "a trivial set would hide mistakes"


def test_the_table_of_scores_is_found_and_counts(spots, category, tmp_path, capsys):
    out = inspect(spots, tmp_path, category / "test")
    arguments = ("--maps", out / "maps", "--truth", category / "ground_truth")
    before = evaluated(capsys, *arguments)["image_auroc"]
    with (out / "scores.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    with (out / "scores.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *([path, -float(score), verdict] for path, score, verdict in rows)])
    assert evaluated(capsys, *arguments)["image_auroc"] == pytest.approx(1 - before)


def test_whole_data_set_and_several_categories(spots, category, tmp_path, capsys):
    both = tmp_path / "both"
    for name in ("nut", "tile"):
        shutil.copytree(category / "test", both / name / "test")
        shutil.copytree(category / "ground_truth", tmp_path / "truth" / name / "ground_truth")
    out = inspect(spots, tmp_path, both)
    assert (out / "maps/nut/test/spot/000.tiff").is_file()
    result = evaluated(capsys, "--maps", out / "maps", "--truth", tmp_path / "truth")
    assert result["n_images"] == 24


def test_odd_names_are_paired(spots, category, tmp_path, capsys):
    for number, name in enumerate(["a, b", " lead", "x\ny", "=1+1", "Maß 5'", "-o"]):
        folder, truth = category / "test/spot", category / "ground_truth/spot"
        Image.fromarray(spots.picture(50 + number, spot=True)).save(folder / f"{name}.png")
        mask = np.zeros((48, 64), dtype=np.uint8)
        mask[10:18, 20:30] = 255
        Image.fromarray(mask).save(truth / f"{name}_mask.png")
    out = inspect(spots, tmp_path, category / "test")
    result = evaluated(capsys, "--maps", out / "maps", "--truth", category / "ground_truth")
    assert result["n_images"] == 18
