"""The state of a histogram: what it consists of, and whether somebody's is one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fmas_evaluate.bin_counts import COUNTS, MOST_REGIONS
from fmas_evaluate.errors import InvalidInput
from fmas_evaluate.keys import scale_named

__all__ = ["NUMBERS", "VERSION", "checked_state"]

VERSION: Final = 1
"""Raised when the meaning of a state changes."""

NUMBERS: Final = ("n_images", "n_pixels", "n_defect_pixels", "n_regions")

_REMEDY: Final = "pass what state_dict() returned, unchanged"


def checked_state(state: Mapping[str, Any], bins: int) -> dict[str, Any]:
    """Return a state with its arrays as int64, or say what is wrong with it.

    Args:
        state: As ``HistogramCounts.state_dict`` returns it, but arrays may have become lists, in JSON for instance.
        bins: Number of bins that it must have.

    Returns:
        The same content.

    Raises:
        InvalidInput: If a part is missing, the version or the number of bins is another one, or the parts contradict
            each other.
    """
    expected = {"version", "bins", "scale", "rounded", "codes", *NUMBERS, *COUNTS}
    if set(state) != expected:
        wanted, got = (", ".join(sorted(map(str, names))) for names in (expected, state))
        raise InvalidInput(f"expected a histogram's state with {wanted}, got {got}; {_REMEDY}")
    if state["version"] != VERSION:
        raise InvalidInput(
            f"expected a state of version {VERSION}, got {state['version']!r}; read it with the release of "
            "fmas-evaluate that wrote it, or count the maps again"
        )
    if state["bins"] != bins:
        raise InvalidInput(
            f"expected a state with {bins} bins, got {state['bins']!r}; construct this histogram with the same number"
        )
    checked = dict(state)
    for name in NUMBERS:
        checked[name] = _count(state[name], name)
    for name in ("codes", *COUNTS):
        checked[name] = _counts(state[name], name)
    if not isinstance(state["rounded"], bool | np.bool_):
        raise InvalidInput(f"expected True or False as rounded, got {state['rounded']!r}; {_REMEDY}")
    checked["rounded"] = bool(state["rounded"])
    _check_consistent(checked, bins)
    return checked


def _count(value: object, name: str) -> int:
    """Return a number of things."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
        raise InvalidInput(f"expected a non-negative integer as {name}, got {value!r}; {_REMEDY}")
    return int(value)


def _counts(values: object, name: str) -> NDArray[np.int64]:
    """Return numbers of things, one per bin."""
    array = np.asarray(values)
    if array.size == 0 and array.ndim == 1:
        return np.zeros(0, dtype=np.int64)  # an empty list has no integer dtype
    if array.ndim != 1 or array.dtype.kind not in "iu" or int(array.min()) < 0:
        raise InvalidInput(
            f"expected non-negative integers (B,) as {name}, got {array.dtype} of shape {array.shape}; {_REMEDY}"
        )
    return array.astype(np.int64, copy=False)


def _check_consistent(state: Mapping[str, Any], bins: int) -> None:
    """Refuse a state whose parts contradict each other."""
    codes, sizes = state["codes"], {name: state[name].size for name in ("codes", *COUNTS)}
    if len(set(sizes.values())) > 1:
        raise InvalidInput(f"expected arrays of one length in a histogram's state, got {sizes}; {_REMEDY}")
    available = 0 if state["scale"] is None else scale_named(state["scale"], bins).bins
    if codes.size and (int(codes[-1]) >= available or not np.all(np.diff(codes) > 0)):
        raise InvalidInput(f"expected ascending codes below {available}, got {codes[0]} … {codes[-1]}; {_REMEDY}")
    counted = (int(state["pixels"].sum()), int(state["defects"].sum()))
    stated = (state["n_pixels"], state["n_defect_pixels"])
    if counted != stated or np.any(state["defects"] > state["pixels"]):
        raise InvalidInput(
            f"expected bins that add up to {stated[0]} pixels, {stated[1]} of them defects, got {counted[0]} and "
            f"{counted[1]}; {_REMEDY}"
        )
    if state["n_regions"] > min(MOST_REGIONS, stated[1]):
        raise InvalidInput(
            f"expected no more regions than defect pixels ({stated[1]}) and {MOST_REGIONS}, got {state['n_regions']}; "
            f"{_REMEDY}"
        )
