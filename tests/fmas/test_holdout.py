"""The guard against training on test pictures."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from fmas.errors import UsageError
from fmas.holdout import refuse_held_out
from fmas.pairs import PairDataset


@pytest.fixture
def dataset(run):
    return PairDataset(run()[0])


def others(folder, count=2):
    folder.mkdir(parents=True)
    generator = np.random.default_rng(11)
    for number in range(count):
        Image.fromarray(generator.integers(0, 255, (20, 30, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return folder


def test_other_pictures_pass(dataset, tmp_path):
    report = refuse_held_out(dataset.rows, [others(tmp_path / "a"), others(tmp_path / "b" / "c", 3)])
    assert report.compared == 5 and report.notes() == ()
    assert refuse_held_out(dataset.rows, []).compared == 0


def test_a_photograph_saved_again_is_found(dataset, tmp_path, photographs):
    folder = others(tmp_path / "test")
    (folder / "deep").mkdir()
    with Image.open(photographs / "part_3.png") as image:
        image.save(folder / "deep" / "renamed.bmp")
    with pytest.raises(
        UsageError, match=r"got 1 that would be trained on: .*renamed.bmp is train/good/000003.png; take"
    ):
        refuse_held_out(dataset.rows, [folder])


def test_a_photograph_turned_by_its_exif_data_is_found(dataset, tmp_path, photographs):
    folder = tmp_path / "test"
    folder.mkdir()
    with Image.open(photographs / "part_1.png") as image:
        turned = image.transpose(Image.Transpose.ROTATE_90)  # anticlockwise; orientation 6 turns it back
        exif = Image.Exif()
        exif[0x0112] = 6
        turned.save(folder / "turned.png", exif=exif)
    with pytest.raises(UsageError, match=r"turned.png is train/good/000001.png"):
        refuse_held_out(dataset.rows, [folder])


def test_a_synthetic_picture_and_a_control_are_found(run, tmp_path):
    out, _ = run(controls=1.0)
    dataset = PairDataset(out)
    for kind in ("test", "train"):
        with pytest.raises(UsageError, match="would be trained on"):
            refuse_held_out(dataset.with_controls().rows, [out / "dataset" / "test_part" / kind])
    control = dataset.controls.rows[0]["file_name"]
    folder = others(tmp_path / "test")
    (folder / "control.png").write_bytes((dataset.folder / control).read_bytes())
    with pytest.raises(UsageError, match=f"control.png is {control}"):
        refuse_held_out(dataset.with_controls().rows, [folder])
    assert refuse_held_out(dataset.rows, [folder]).compared == 3


def test_the_bytes_of_a_photograph_count_even_if_it_were_decoded_otherwise(dataset, photographs):
    rows = [{key: row[key] for key in ("source", "source_sha256")} for row in dataset.rows]
    with pytest.raises(UsageError, match=r"got 6 .*part_0.png is the photograph part_0.png; .* and 3 more; take"):
        refuse_held_out(rows, [photographs])


def test_files_that_cannot_be_read_are_told(dataset, tmp_path):
    folder = others(tmp_path / "test")
    (folder / "broken.png").write_bytes(b"no picture")
    report = refuse_held_out(dataset.rows, [folder])
    assert report.compared == 2
    (note,) = report.notes()
    assert note.startswith("1 file of the held-out folders could not be read") and "broken.png" in note
    (folder / "broken2.png").write_bytes(b"no picture")
    assert refuse_held_out(dataset.rows, [folder]).notes()[0].startswith("2 files of")


def test_an_empty_or_missing_folder_is_a_mistake(dataset, tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        refuse_held_out(dataset.rows, [tmp_path / "nowhere"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="expected at least one image"):
        refuse_held_out(dataset.rows, [tmp_path / "empty"])
