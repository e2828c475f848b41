"""anomalib reads a data set as it lies there: nothing dropped, every image with its own mask, labels right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("anomalib", reason="anomalib is not installed; run `nox -s interop`")

from anomalib.data import Folder, MVTecAD, MVTecADDataset
from anomalib.data.datasets.image.folder import FolderDataset, make_folder_dataset
from anomalib.data.datasets.image.mvtecad import make_mvtec_ad_dataset

NORMAL, ABNORMAL = 0, 1


def pixels(path: str | Path) -> np.ndarray:
    return np.array(Image.open(path))


def found(paths: Any, folder: Path) -> list[str]:
    """Return paths as `metadata.jsonl` writes them, sorted."""
    return sorted(Path(path).resolve().relative_to(folder.resolve()).as_posix() for path in paths)


def listed(rows: Any, key: str) -> list[str]:
    return sorted(row[key] for row in rows)


def normals(written: Any) -> list[str]:
    """Return the photographs that have pairs, each once."""
    return sorted({row["normal_file_name"] for row in written.pairs})


def check_abnormal(samples: Any, written: Any) -> None:
    """Check that every abnormal sample has the mask that `metadata.jsonl` gives it, and that none is missing."""
    masks = {row["file_name"]: row["mask_file_name"] for row in written.pairs}
    read = {
        found([sample.image_path], written.folder)[0]: found([sample.mask_path], written.folder)[0]
        for sample in samples.itertuples()
    }
    assert read == masks


def check_item(item: Any) -> None:
    """Check a loaded sample against the files it came from."""
    image = np.round(item.image.numpy() * 255).astype(np.uint8).transpose(1, 2, 0)
    np.testing.assert_array_equal(image, pixels(item.image_path))
    if not item.gt_label:
        assert item.gt_mask is None or not item.gt_mask.any()
        return
    mask = pixels(item.mask_path)
    assert set(np.unique(mask)) == {0, 255}
    assert Path(item.mask_path).stem == f"{Path(item.image_path).stem}_mask"
    np.testing.assert_array_equal(item.gt_mask.numpy(), mask == 255)


def test_mvtec_ad_samples(written: Any) -> None:
    samples = make_mvtec_ad_dataset(written.folder)

    train, test = samples[samples.split == "train"], samples[samples.split == "test"]
    assert len(train) + len(test) == len(samples)
    assert found(train.image_path, written.folder) == normals(written)
    assert set(train.label_index) == {NORMAL}
    check_abnormal(test[test.label_index == ABNORMAL], written)
    good = test[test.label_index == NORMAL]
    assert found(good.image_path, written.folder) == listed(written.held_out, "file_name")
    assert set(good.label) <= {"good"}


def test_mvtec_ad_items(written: Any) -> None:
    root, category = written.folder.parent, written.folder.name
    train = MVTecADDataset(root=root, category=category, split="train")
    test = MVTecADDataset(root=root, category=category, split="test")

    assert (len(train), len(test)) == (len(normals(written)), len(written.rows))
    for item in (*train, *test):
        check_item(item)
    labels = {found([item.image_path], written.folder)[0]: bool(item.gt_label) for item in test}
    assert labels == {row["file_name"]: row["defect"] != "good" for row in written.rows}


def folders(written: Any) -> dict[str, Any]:
    """Return what one tells anomalib about folders."""
    return {
        "root": written.folder,
        "normal_dir": "train/good",
        "abnormal_dir": [f"test/{defect}" for defect in written.defects],
        "mask_dir": [f"ground_truth/{defect}" for defect in written.defects],
        "normal_test_dir": "test/good" if written.held_out else None,
    }


def test_folder_samples(written: Any) -> None:
    samples = make_folder_dataset(**folders(written))

    check_abnormal(samples[samples.label_index == ABNORMAL], written)
    good = samples[samples.label_index == NORMAL]
    assert len(good) + len(written.pairs) == len(samples)
    assert found(good[good.split == "train"].image_path, written.folder) == normals(written)
    held_out = good[good.split == "test"]
    assert found(held_out.image_path, written.folder) == listed(written.held_out, "file_name")


def test_folder_items(written: Any) -> None:
    train = FolderDataset(name="tile", split="train", **folders(written))
    test = FolderDataset(name="tile", split="test", **folders(written))

    assert (len(train), len(test)) == (len(normals(written)), len(written.rows))
    for item in (*train, *test):
        check_item(item)


def test_a_part_of_the_defects(plain: Any) -> None:
    chosen = plain.defects[:2]
    samples = make_folder_dataset(
        root=plain.folder,
        normal_dir="train/good",
        # The order in which folders are named does not matter, anomalib sorts.
        abnormal_dir=[f"test/{defect}" for defect in chosen],
        mask_dir=[f"ground_truth/{defect}" for defect in reversed(chosen)],
    )
    abnormal = samples[samples.label_index == ABNORMAL]
    wanted = {row["file_name"]: row["mask_file_name"] for row in plain.pairs if row["defect"] in chosen}
    read = zip(abnormal.image_path, abnormal.mask_path, strict=True)
    assert {found([image], plain.folder)[0]: found([mask], plain.folder)[0] for image, mask in read} == wanted


@pytest.mark.parametrize("reader", ["mvtec", "folder"])
def test_data_modules_with_held_out_photographs(held_out: Any, reader: str) -> None:
    if reader == "mvtec":
        module: Any = MVTecAD(root=held_out.folder.parent, category=held_out.folder.name, num_workers=0)
    else:
        module = Folder(name="tile", num_workers=0, val_split_mode="same_as_test", **folders(held_out))
    module.prepare_data()
    module.setup()

    assert found(module.train_data.samples.image_path, held_out.folder) == normals(held_out)
    assert found(module.test_data.samples.image_path, held_out.folder) == listed(held_out.rows, "file_name")
    (batch,) = module.test_dataloader()
    assert batch.image.shape == (len(held_out.rows), 3, 256, 256)
    assert int(batch.gt_label.sum()) == len(held_out.pairs)
    assert [bool(mask.any()) for mask in batch.gt_mask] == batch.gt_label.bool().tolist()


def test_a_data_module_without_held_out_photographs_takes_some_of_train_good(plain: Any) -> None:
    """What docs/how-to/read-the-output.md warns of: anomalib then tests with photographs taken from training."""
    module = MVTecAD(root=plain.folder.parent, category=plain.folder.name, num_workers=0)
    module.setup()

    train, test = (found(part.samples.image_path, plain.folder) for part in (module.train_data, module.test_data))
    assert sorted(train + test) == sorted([*normals(plain), *listed(plain.pairs, "file_name")])
    moved = set(test) - set(listed(plain.pairs, "file_name"))
    assert len(moved) == int(0.2 * len(normals(plain)))
    assert all(name.startswith("train/good/") for name in moved)
