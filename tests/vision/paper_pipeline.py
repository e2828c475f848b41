"""``fmas`` with torchvision importable beside CPU torch and a tiny SAM to choose: a test runs this as a script."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

HERE = Path(__file__).parent


def prepare() -> object:
    """Do for this process what conftest.py and test_sam_segmenter.py do for theirs."""
    sys.path[:0] = [str(HERE)]
    declared = importlib.import_module("conftest").TORCHVISION_OPERATORS
    segment_anything = importlib.import_module("segment_anything")
    segment_anything.sam_model_registry["vit_tiny"] = importlib.import_module("test_sam_segmenter").tiny_sam
    return declared


if __name__ == "__main__":
    operators = prepare()
    from fmas.cli import main

    main()
