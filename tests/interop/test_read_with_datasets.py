"""Hugging Face `datasets` reads a data set as it lies there, columns, types and pictures, without a network."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

datasets = pytest.importorskip("datasets", reason="datasets is not installed; run `nox -s interop`")

PICTURES = {"image": "file_name", "mask": "mask_file_name", "normal": "normal_file_name"}


@pytest.fixture(autouse=True)
def offline_and_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network, and a cache of its own for each test."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()


def load(folder: Path, **options: Any) -> Any:
    return datasets.load_dataset(str(folder), split="test", **options)


def plain_values(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in {*PICTURES, *PICTURES.values()}}


def check_pictures(read: dict[str, Any], row: dict[str, Any], folder: Path) -> None:
    for column, key in PICTURES.items():
        if row[key] is None:
            assert read[column] is None
        else:
            file = Image.open(folder / row[key])
            assert read[column].mode == file.mode
            np.testing.assert_array_equal(np.array(read[column]), np.array(file))


@pytest.mark.parametrize("streaming", [False, True])
def test_every_row_comes_out_as_it_was_written(written: Any, streaming: bool) -> None:
    rows = list(load(written.folder, streaming=streaming))

    assert len(rows) == len(written.rows)
    for read, row in zip(rows, written.rows, strict=True):
        check_pictures(read, row, written.folder)
        # A held-out photograph has no prompt, seed or score: such columns are null.
        absent = dict.fromkeys(plain_values(read).keys() - row.keys())
        assert plain_values(read) == plain_values(row) | absent
        assert row["defect"] == "good" or not absent


def test_the_folder_has_one_split_of_three_image_columns(written: Any) -> None:
    loaded = datasets.load_dataset(str(written.folder))

    assert list(loaded) == ["test"]
    images = [name for name, feature in loaded["test"].features.items() if isinstance(feature, datasets.Image)]
    assert images == list(PICTURES)


def test_the_card_names_every_key_of_a_row_and_no_other(plain: Any) -> None:
    keys = {next((column for column, key in PICTURES.items() if key == name), name) for name in plain.rows[0]}
    assert set(load(plain.folder).features) == keys


def test_another_run_of_a_category_does_not_come_out_of_the_cache(plain: Any, held_out: Any) -> None:
    """The cache knows a folder by its last name and the front matter of its card."""
    for one in (plain, held_out, plain):
        rows = load(one.folder)
        assert rows["image_sha256"][:] == [row["image_sha256"] for row in one.rows]
        check_pictures(rows[0], one.rows[0], one.folder)


def test_columns_do_not_depend_on_what_a_run_happened_to_write(plain: Any, held_out: Any) -> None:
    """Without rejections or held-out photographs a column could be inferred as null, and the two would not join."""
    both = [load(one.folder) for one in (plain, held_out)]

    assert both[0].features == both[1].features
    joined = datasets.concatenate_datasets(both)
    assert len(joined) == len(plain.rows) + len(held_out.rows)


def test_a_first_rejection_far_down_the_file_does_no_harm(plain: Any, tmp_path: Path) -> None:
    """`datasets` infers columns from the first 10 MB alone; a run of 5000 photographs writes more."""
    folder = tmp_path / plain.folder.name
    shutil.copytree(plain.folder, folder)
    long = [row | {"prompt": "long " * 400_000, "rejections": []} for row in plain.rows]
    rejection = {"candidate": 0, "attempt": 0, "seed": 1, "reason": "unchanged"}
    long[-1]["rejections"] = [rejection]
    lines = [json.dumps(row, sort_keys=True) + "\n" for row in long]
    assert sum(map(len, lines[:-2])) > 10 << 20
    (folder / "metadata.jsonl").write_text("".join(lines), encoding="utf-8")

    assert [row["rejections"] for row in load(folder)] == [[]] * (len(long) - 1) + [[rejection]]


def test_images_alone_with_their_folder_as_label(written: Any) -> None:
    loaded = datasets.load_dataset("imagefolder", data_dir=str(written.folder), drop_labels=False)

    names = loaded["test"].features["label"].names
    assert names == sorted({*written.defects, "good"})
    assert {names[label] for label in loaded["train"]["label"]} == {"good"}
    assert sorted(names[label] for label in loaded["test"]["label"]) == sorted(row["defect"] for row in written.rows)
