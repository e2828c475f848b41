"""Lets torchvision and timm import beside a CPU build of torch, for the tests in this folder only.

torchvision's wheel is compiled against one particular torch. Beside another build its extension does not load, and then
importing it fails because the schema of ``torchvision::nms`` is unknown to torch; timm imports torchvision. No ResNet
runs such an operator, so declaring the schemas is enough here: no kernel is registered, and whatever would call one
fails loudly. On a machine with a matching build nothing is declared. None of this ships in a package.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from torch import Tensor

HERE = Path(__file__).parent


def _declare_missing_torchvision_operators() -> object | None:
    """Declare what torchvision's extension would have declared; the result must stay alive as long as torch does."""
    if importlib.util.find_spec("torchvision") is None:
        return None
    try:
        import torchvision  # noqa: F401
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    else:
        return None
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library


TORCHVISION_OPERATORS = _declare_missing_torchvision_operators()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything in this folder ``vision``, and let the foreign libraries warn: their warnings are not ours."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.vision)
            item.add_marker(pytest.mark.filterwarnings("ignore"))


@pytest.fixture
def images() -> Tensor:
    """Two images ``(2, 3, 64, 96)``."""
    return torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(11))
