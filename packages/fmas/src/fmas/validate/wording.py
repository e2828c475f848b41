"""Numbers with their nouns, and which values two records disagree about."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

__all__ = ["counted", "differing_values"]

_MOST_KEYS = 3
_LONGEST_VALUE = 60
_BEFORE_THE_DIFFERENCE = 15


def counted(number: int, noun: str) -> str:
    """Return ``1 pair``, ``2 pairs``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def differing_values(
    wanted: Mapping[str, object], found: Mapping[str, object], *, show: Callable[[object], str] = repr
) -> tuple[str, str] | None:
    """Name the keys whose values differ, with both values.

    Args:
        wanted: What should be there.
        found: What is there.
        show: How a value is written; must take out secrets, because a piece of one could not be told later.

    Returns:
        Two phrases such as ``prompt 'a crack', seed 5`` and ``prompt 'a dent', no seed``, for the first keys that
        differ; ``None`` if none does. Numbers of different type or spelling, such as 1 and 1.0, differ.
    """
    keys = [key for key in sorted({*wanted, *found}) if _canonical(wanted, key) != _canonical(found, key)]
    if not keys:
        return None
    phrases = [_both(key, wanted, found, show) for key in keys[:_MOST_KEYS]]
    more = f" and {counted(len(keys) - _MOST_KEYS, 'more key')}" if len(keys) > _MOST_KEYS else ""
    return ", ".join(one for one, _ in phrases) + more, ", ".join(other for _, other in phrases) + more


def _canonical(record: Mapping[str, object], key: str) -> str | None:
    return json.dumps(record[key], sort_keys=True) if key in record else None


def _both(
    key: str, wanted: Mapping[str, object], found: Mapping[str, object], show: Callable[[object], str]
) -> tuple[str, str]:
    if key not in wanted:
        return f"no {key}", f"{key} {_excerpt(show(found[key]))}"
    if key not in found:
        return f"{key} {_excerpt(show(wanted[key]))}", f"no {key}"
    one, other = show(wanted[key]), show(found[key])
    start = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return f"{key} {_excerpt(one, start)}", f"{key} {_excerpt(other, start)}"


def _excerpt(text: str, start: int = 0) -> str:
    """Return a piece of a long text that shows what stands at ``start``."""
    if len(text) <= _LONGEST_VALUE:
        return text
    begin = max(min(start - _BEFORE_THE_DIFFERENCE, len(text) - _LONGEST_VALUE), 0)
    end = begin + _LONGEST_VALUE
    return f"{'…' if begin else ''}{text[begin:end]}{'…' if end < len(text) else ''}"
