"""The false-positive rates up to which PRO is integrated."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Real
from typing import Final

from fmas_evaluate.errors import InvalidInput, InvalidType

__all__ = ["DEFAULT_LIMITS", "checked_limit", "checked_limits"]

DEFAULT_LIMITS: Final = (0.3, 0.05)
"""0.3 is the usual limit, 0.05 the one of MVTec AD 2."""


def checked_limit(max_fpr: object) -> float:
    """Return one limit as a float, or say what is wrong with it."""
    if isinstance(max_fpr, bool) or not isinstance(max_fpr, Real):
        raise InvalidType(f"expected max_fpr as a number, got {max_fpr!r}; pass e.g. 0.3")
    limit = float(max_fpr)
    if not 0.0 < limit <= 1.0:
        raise InvalidInput(f"expected max_fpr in (0, 1], got {limit}; 0.3 is the usual limit, and 30 % is 0.3")
    return limit


def checked_limits(max_fpr: float | Iterable[float]) -> tuple[float, ...]:
    """Return one or several different limits, in the order given, or say what is wrong with them."""
    if isinstance(max_fpr, str | bytes) or not isinstance(max_fpr, Iterable):
        return (checked_limit(max_fpr),)
    limits = tuple(checked_limit(limit) for limit in max_fpr)
    if not limits or len(set(limits)) != len(limits):
        raise InvalidInput(f"expected one or several different limits in max_fpr, got {limits}; name each once")
    return limits
