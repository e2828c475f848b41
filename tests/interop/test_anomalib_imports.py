from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def test_anomalib_reads_a_hand_made_data_set_here(tmp_path: Path) -> None:
    """A failure here is one of the environment (torchvision, anomalib), not of a data set that fmas wrote."""
    pytest.importorskip("anomalib", reason="anomalib is not installed; run `nox -s interop`")
    from anomalib.data import MVTecADDataset

    mask = np.zeros((33, 47), dtype=np.uint8)
    mask[3:8, 4:9] = 255
    photograph = np.repeat(mask[..., None], 3, axis=2)
    for name, pixels in {
        "train/good/000000.png": photograph,
        "test/crack/000000.png": photograph,
        "ground_truth/crack/000000_mask.png": mask,
    }.items():
        path = tmp_path / "tile" / name
        path.parent.mkdir(parents=True)
        Image.fromarray(pixels).save(path)

    (item,) = MVTecADDataset(root=tmp_path, category="tile", split="test")
    assert item.image.shape == (3, 33, 47)
    np.testing.assert_array_equal(item.gt_mask.numpy(), mask > 0)
