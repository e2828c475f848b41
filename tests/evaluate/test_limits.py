from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest

from fmas_evaluate.errors import InvalidInput, InvalidType
from fmas_evaluate.limits import checked_limits


@pytest.mark.parametrize(
    ("given", "expected"),
    [(0.3, (0.3,)), (1, (1.0,)), (np.float32(0.5), (0.5,)), ([0.3, 0.05], (0.3, 0.05)), (np.array([0.1]), (0.1,))],
)
def test_one_limit_or_several(given: Any, expected: tuple[float, ...]) -> None:
    assert checked_limits(given) == expected


@pytest.mark.parametrize("limit", [0.0, -0.1, 1.0001, 30, math.nan, math.inf])
def test_a_limit_is_a_rate_above_zero(limit: float) -> None:
    with pytest.raises(InvalidInput, match=r"expected max_fpr in \(0, 1\], got .*; 0.3 is the usual limit"):
        checked_limits(limit)


@pytest.mark.parametrize("limit", ["0.3", b"0.3", ["0.3"], None, True, [None]])
def test_a_limit_is_a_number(limit: Any) -> None:
    shown = re.escape(repr(limit if not isinstance(limit, list) else limit[0]))
    with pytest.raises(InvalidType, match=rf"expected max_fpr as a number, got {shown}; pass e.g. 0.3"):
        checked_limits(limit)


@pytest.mark.parametrize("limits", [[], [0.3, 0.05, 0.3]])
def test_limits_differ(limits: list[float]) -> None:
    with pytest.raises(InvalidInput, match=r"expected one or several different limits in max_fpr, got"):
        checked_limits(limits)
