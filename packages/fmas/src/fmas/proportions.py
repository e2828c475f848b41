"""Proportions as users write them: ``even``, ``even-kinds``, or ``scratch=3,dent=1``."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, DecimalException
from types import MappingProxyType

__all__ = ["EVEN", "EVEN_KINDS", "KIND_PREFIX", "canonical_proportions", "read_proportions"]

EVEN = "even"
EVEN_KINDS = "even-kinds"
KIND_PREFIX = "kind:"

_DIGITS = 3  # decimals of a weight; all weights become whole numbers, so that counting in them is exact
_MOST = 1_000_000
_EXAMPLE = "write even, even-kinds or NAME=WEIGHT,…, for example scratch=3,dent=1"


def read_proportions(text: str) -> Mapping[str, int]:
    """Return name -> weight in thousandths, of what :func:`canonical_proportions` gave; empty for ``even…``."""
    if text in (EVEN, EVEN_KINDS):
        return MappingProxyType({})
    pairs = (item.rpartition("=") for item in text.split(","))
    return MappingProxyType({name: _thousandths(name, weight) for name, _, weight in pairs})


def canonical_proportions(value: object) -> str:
    """Check proportions and write them in the one way that equal ones share.

    Args:
        value: Text as on the command line, or a mapping of name -> weight as in ``fmas.yaml``.

    Returns:
        ``even``, ``even-kinds`` or ``NAME=WEIGHT,…`` sorted by name.

    Raises:
        ValueError: If it is neither, a name repeats, or a weight is no number from 0 to 1,000,000 with at most three
            decimals, or all weights are 0.
    """
    if isinstance(value, Mapping):
        items = [(str(name), str(weight)) for name, weight in value.items()]
    elif isinstance(value, str):
        text = value.strip()
        if text.lower() in (EVEN, EVEN_KINDS):
            return text.lower()
        items = []
        for item in text.split(","):
            name, equals, weight = item.rpartition("=")
            if not equals:
                raise ValueError(f"expected proportions, got {item.strip()!r}; {_EXAMPLE}")
            items.append((name, weight))
    else:
        raise ValueError(f"expected proportions, got {value!r}; {_EXAMPLE}")
    weights: dict[str, int] = {}
    for name, weight in ((name.strip(), weight.strip()) for name, weight in items):
        if not name or "," in name or "=" in name:
            raise ValueError(f"expected a defect or a kind before '=', got {name!r}; {_EXAMPLE}")
        if name in weights:
            raise ValueError(f"expected each name once, got {name!r} twice; remove one")
        weights[name] = _thousandths(name, weight)
    if not any(weights.values()):
        raise ValueError(f"expected a weight above 0, got {value!r}; {_EXAMPLE}")
    return ",".join(f"{name}={_shown(weight)}" for name, weight in sorted(weights.items()))


def _thousandths(name: str, text: str) -> int:
    try:
        scaled = Decimal(text).scaleb(_DIGITS)
        if scaled.is_finite() and 0 <= scaled <= _MOST * 10**_DIGITS and scaled == int(scaled):
            return int(scaled)
    except DecimalException:
        pass
    raise ValueError(
        f"expected a weight from 0 to {_MOST} with at most {_DIGITS} decimals for {name!r}, got {text!r}; {_EXAMPLE}"
    )


def _shown(thousandths: int) -> str:
    whole, rest = divmod(thousandths, 10**_DIGITS)
    return str(whole) + (f".{rest:0{_DIGITS}d}".rstrip("0") if rest else "")
