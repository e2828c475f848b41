"""Loaders as people write them: two sorted lists of files, paired by position, a label from the folder's name."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image


def test_images_and_masks_agree_by_position(written: Any) -> None:
    images = sorted(path for path in written.folder.glob("test/*/*.png") if path.parent.name != "good")
    masks = sorted(written.folder.glob("ground_truth/*/*.png"))

    assert len(images) == len(masks) == len(written.pairs)
    for image, mask in zip(images, masks, strict=True):
        assert (mask.parent.name, mask.stem) == (image.parent.name, f"{image.stem}_mask")
        assert Image.open(mask).size == Image.open(image).size
    by_name = {row["file_name"]: row["mask_file_name"] for row in written.pairs}
    paired = zip(images, masks, strict=True)
    assert by_name == {
        image.relative_to(written.folder).as_posix(): mask.relative_to(written.folder).as_posix()
        for image, mask in paired
    }


def test_every_file_is_what_a_careless_loader_takes_it_for(written: Any) -> None:
    """Loaders that glob everything decode everything: only 8-bit RGB and masks of 0 and 255 may lie there."""
    for folder in ("train", "test", "ground_truth"):
        files = [path for path in (written.folder / folder).rglob("*") if path.is_file()]
        assert files
        for path in files:
            image = Image.open(path)
            assert (image.format, image.mode) == ("PNG", "L" if folder == "ground_truth" else "RGB")
            if folder == "ground_truth":
                assert set(np.unique(np.array(image))) == {0, 255}


def test_stems_alone_tell_pairs_apart(written: Any) -> None:
    stems = [path.stem for path in written.folder.glob("test/*/*.png")]
    assert len(set(stems)) == len(stems) == len(written.rows)


def test_one_pair_per_photograph_shares_its_stem(plain: Any) -> None:
    """Loaders of pairs take `train/good/NNNNNN.png` for the twin of `test/*/NNNNNN.png`."""
    for path in plain.folder.glob("test/*/*.png"):
        twin, synthetic = (np.array(Image.open(file)) for file in (plain.folder / "train/good" / path.name, path))
        mask = np.array(Image.open(plain.folder / "ground_truth" / path.parent.name / f"{path.stem}_mask.png"))
        np.testing.assert_array_equal(twin[mask == 0], synthetic[mask == 0])
        assert (twin != synthetic).any()
