"""Data sets as MVTec AD and VisA have them, and what is said about all others."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fmas.benchmark.layouts import read_dataset
from fmas.errors import UsageError


def grey(path: Path, value: int, marked: int | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((16, 16), value, dtype=np.uint8)
    if marked is not None:
        pixels[4:8, 4:8] = marked
    Image.fromarray(pixels).save(path)


def test_one_category_is_found(dataset: Path, tmp_path: Path) -> None:
    (category,) = read_dataset(dataset, staging=tmp_path / "staged")

    assert (category.name, category.photographs, category.kinds) == ("tiles", 4, ("crack", "dent"))
    assert [image.relative for image in category.images[:2]] == ["crack/000.png", "crack/001.png"]
    assert sum(image.defective for image in category.images) == 6
    assert category.images[0].truth == dataset / "ground_truth/crack/000_mask.png"


def test_categories_are_sorted_and_chosen(category_writer: Callable[..., Path], tmp_path: Path) -> None:
    for name in ("wood", "bottle", "cable"):
        category_writer(tmp_path / "mvtec" / name)

    everything = read_dataset(tmp_path / "mvtec", staging=tmp_path)
    chosen = read_dataset(tmp_path / "mvtec", only=("wood", "bottle"), staging=tmp_path)

    assert [category.name for category in everything] == ["bottle", "cable", "wood"]
    assert [category.name for category in chosen] == ["bottle", "wood"]


def test_an_unknown_category_is_suggested_about(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'tiles'"):
        read_dataset(dataset, only=("tile",), staging=tmp_path)


def test_what_is_no_data_set_is_explained(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no folder"):
        read_dataset(tmp_path / "nowhere", staging=tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"MVTec AD.*VisA.*nothing in it"):
        read_dataset(tmp_path / "empty", staging=tmp_path)
    (tmp_path / "train" / "good").mkdir(parents=True)
    with pytest.raises(UsageError, match="name the folder above"):
        read_dataset(tmp_path / "train", staging=tmp_path)
    (tmp_path / "visa" / "candle" / "Data" / "Images").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"looks like VisA without split_csv/1cls\.csv"):
        read_dataset(tmp_path / "visa", staging=tmp_path)


def test_a_missing_mask_is_named(dataset: Path, tmp_path: Path) -> None:
    (dataset / "ground_truth/dent/001_mask.png").unlink()
    with pytest.raises(UsageError, match=r"none for 1 of them, e\.g\. .*dent/001_mask\.png"):
        read_dataset(dataset, staging=tmp_path)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"kinds": ()}, "4 good and 0 defective"),
        ({"good": 0}, "0 good and 6 defective"),
        ({"train": 0}, "nothing to learn"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    category_writer: Callable[..., Path], tmp_path: Path, given: dict[str, object], said: str
) -> None:
    folder = category_writer(tmp_path / "part", **given)
    (folder / "train" / "good").mkdir(parents=True, exist_ok=True)
    with pytest.raises(UsageError, match=said):
        read_dataset(folder, staging=tmp_path)


def test_the_digest_tells_data_sets_apart(dataset: Path, tmp_path: Path) -> None:
    before = read_dataset(dataset, staging=tmp_path)[0].digest()
    assert read_dataset(dataset, staging=tmp_path)[0].digest() == before
    (dataset / "test/good/003.png").rename(dataset / "test/good/004.png")
    assert read_dataset(dataset, staging=tmp_path)[0].digest() != before


VISA_ROWS = [
    ("candle", "train", "normal", "candle/Data/Images/Normal/0000.JPG", ""),
    ("candle", "train", "normal", "candle/Data/Images/Normal/0001.JPG", ""),
    ("candle", "test", "normal", "candle/Data/Images/Normal/0002.JPG", ""),
    ("candle", "test", "anomaly", "candle/Data/Images/Anomaly/000.JPG", "candle/Data/Masks/Anomaly/000.png"),
    ("pcb1", "train", "normal", "pcb1/Data/Images/Normal/0000.JPG", ""),
]


def write_visa(
    root: Path, rows: list[tuple[str, ...]] = VISA_ROWS, columns: str = "object,split,label,image,mask"
) -> Path:
    for *_, image, mask in VISA_ROWS:
        grey(root / image, 120)
        if mask:
            grey(root / mask, 0, marked=3)  # VisA numbers the kinds of defects
    (root / "split_csv").mkdir(parents=True)
    with (root / "split_csv/1cls.csv").open("w", newline="") as file:
        csv.writer(file).writerows([columns.split(","), *rows])
    return root


def test_visa_is_put_in_order(tmp_path: Path) -> None:
    root = write_visa(tmp_path / "VisA")

    (category,) = read_dataset(root, only=("candle",), staging=tmp_path / "staged")

    assert (category.photographs, category.kinds) == (2, ("anomaly",))
    assert [image.relative for image in category.images] == ["anomaly/000.JPG", "good/0002.JPG"]
    truth = category.images[0].truth
    assert truth is not None
    mask = np.asarray(Image.open(truth))
    assert set(np.unique(mask)) == {0, 255}
    assert np.count_nonzero(mask) == 16
    assert (category.test / "good/0002.JPG").read_bytes() == (root / "candle/Data/Images/Normal/0002.JPG").read_bytes()


def test_visa_is_put_in_order_once_and_again_after_a_kill(tmp_path: Path) -> None:
    root, staged = write_visa(tmp_path / "VisA"), tmp_path / "staged"
    (category,) = read_dataset(root, only=("candle",), staging=staged)
    mask = staged / "candle/ground_truth/anomaly/000_mask.png"
    written = mask.stat().st_mtime_ns

    read_dataset(root, only=("candle",), staging=staged)
    assert mask.stat().st_mtime_ns == written

    (staged / "candle/staged.txt").unlink()  # as a killed call leaves it
    mask.unlink()
    assert read_dataset(root, only=("candle",), staging=staged)[0].digest() == category.digest()
    assert mask.is_file()


def test_visa_without_links_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    (category,) = read_dataset(write_visa(tmp_path / "VisA"), only=("candle",), staging=tmp_path / "staged")
    assert not (category.test / "good/0002.JPG").is_symlink()


def test_another_csv_is_not_visas(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"VisA's columns .* got a,b,c,d,e"):
        read_dataset(write_visa(tmp_path / "one", columns="a,b,c,d,e"), staging=tmp_path)
    rows = [("candle", "valid", "normal", "x.JPG", "")]
    with pytest.raises(UsageError, match=r"in line 2 .*got 'valid' and 'normal'"):
        read_dataset(write_visa(tmp_path / "two", rows), staging=tmp_path)
    rows = [("candle", "test", "anomaly", "candle/Data/Images/Anomaly/777.JPG", "")]
    with pytest.raises(UsageError, match=r"777\.JPG.*unpack all of it"):
        read_dataset(write_visa(tmp_path / "three", rows), staging=tmp_path / "staged")
