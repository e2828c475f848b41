"""Masks as data sets have them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fmas.benchmark.truth import read_truth


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 255, 0], [False, True, False]),
        ([0, 1, 3], [False, True, True]),  # labels
        ([8, 255, 128], [False, True, True]),  # a soft edge
        ([127, 255, 0], [False, True, False]),
        ([0, 0, 0], [False, False, False]),
    ],
)
def test_which_values_are_a_defect(values: list[int], expected: list[bool], tmp_path: Path) -> None:
    Image.fromarray(np.array([values], np.uint8)).save(tmp_path / "mask.png")
    assert read_truth(tmp_path / "mask.png").tolist() == [expected]
