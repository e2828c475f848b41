"""Every test of wdam starts from the same random weights."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def repeatable_weights() -> None:
    torch.manual_seed(0)
