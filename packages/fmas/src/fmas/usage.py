"""What a run's services were asked and what that cost: line by line in ``usage.jsonl``, added up in ``run.json``.

An LLM or an inpainter may have a method ``usage()`` that returns totals since it was created, as numbers by name, e.g.
``calls``, ``input_tokens``, ``output_tokens``, ``cost_usd``; ``None`` stands for what it does not know. Only numbers
are kept, so that nothing secret can get into a file by this way.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

from fmas.errors import OutputError
from fmas.files import unwritable

if TYPE_CHECKING:
    from pathlib import Path

    from fmas.layout import OutputLayout

__all__ = ["Usage", "UsageMeterReading", "add_usage", "append_usage", "read_usage", "usage_words"]

Usage: TypeAlias = Mapping[str, float | None]
"""Name -> number, not negative; ``None`` where it is not known."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_DIGITS = 9  # decimal places of a sum: dollars to a billionth, without the noise of binary fractions


class UsageMeterReading:
    """Reads a component's meter, and tells what is new since the reading before."""

    __slots__ = ("_before",)

    def __init__(self) -> None:
        self._before: Usage = {}

    def new(self, component: object) -> Usage:
        """Return what was used since the last call; empty if the component counts nothing, or nothing is new."""
        now = _read(component)
        new = {name: _difference(value, self._before.get(name, 0)) for name, value in now.items()}
        self._before = now
        return new if any(new.values()) else {}


def _read(component: object) -> Usage:
    """Return a component's totals; a meter that is broken is none, because a finished picture is worth more."""
    meter = getattr(component, "usage", None)
    if not callable(meter):
        return {}
    try:
        totals: object = meter()
    except Exception:  # noqa: BLE001 (anything may go wrong in a plugin)
        return {}
    return _numbers(totals) if isinstance(totals, Mapping) else {}


def _numbers(content: Mapping[object, object]) -> dict[str, float | None]:
    """Return what is a number or unknown, by a plain name."""
    numbers: dict[str, float | None] = {}
    for name, value in content.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name) or isinstance(value, bool):
            continue
        if value is None or (isinstance(value, (int, float)) and math.isfinite(value) and value >= 0):
            numbers[name] = value
    return numbers


def _difference(now: float | None, before: float | None) -> float | None:
    """Return what was added; a meter that fell was begun anew."""
    if now is None or before is None:
        return None
    return round(now - before, _DIGITS) if now >= before else now


def add_usage(one: Usage, other: Usage) -> dict[str, float | None]:
    """Return the sum, name by name; what is unknown in either is unknown in the sum."""
    total: dict[str, float | None] = dict(one)
    for name, value in other.items():
        known = total.get(name, 0)
        total[name] = None if value is None or known is None else round(known + value, _DIGITS)
    return total


def append_usage(layout: OutputLayout, kind: str, new: Usage) -> None:
    """Write down what a component used; the caller holds the lock of the files that all shards share.

    Raises:
        OutputError: If it cannot be written.
    """
    if not new:
        return
    line = json.dumps({"kind": kind, "usage": dict(new), "written": time.time_ns()}).encode() + b"\n"
    try:
        with layout.usage.open("a+b") as file:
            if file.tell() and not _ends_line(layout.usage):
                line = b"\n" + line  # a killed process left a piece of a line, which stays one that counts for nothing
            file.write(line)
    except OSError as error:
        raise unwritable(layout.usage, error) from error


def _ends_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) == b"\n"


def read_usage(layout: OutputLayout) -> dict[str, dict[str, float | None]]:
    """Return kind -> totals over all invocations; empty if nothing was counted. What is no such line does not count.

    Raises:
        OutputError: If the file is there and cannot be read.
    """
    totals: dict[str, dict[str, float | None]] = {}
    try:
        with layout.usage.open("rb") as file:
            for line in file:
                kind, usage = _parsed(line)
                if usage:
                    totals[kind] = add_usage(totals.get(kind, {}), usage)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise OutputError(
            f"expected to read {layout.usage}, got {error.strerror or error}; check its permissions"
        ) from error
    return {kind: totals[kind] for kind in sorted(totals)}


def _parsed(line: bytes) -> tuple[str, Usage]:
    try:
        content = json.loads(line)
        kind, usage = content["kind"], content["usage"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return "", {}
    if kind not in ("llm", "inpainter") or not isinstance(usage, dict):
        return "", {}
    return kind, _numbers(usage)


def usage_words(usage: Mapping[str, Usage]) -> str:
    """Return totals in words, e.g. ``llm 1 call, 812 input tokens, cost $0.0034``; empty if there are none."""
    return "; ".join(f"{kind} {', '.join(_words(totals))}" for kind, totals in usage.items())


def _words(totals: Usage) -> list[str]:
    words = []
    for name, value in totals.items():
        if name == "cost_usd":
            words.append("cost unknown" if value is None else f"cost ${value:.4g}")
        elif value is None:
            words.append(f"{name.replace('_', ' ')} unknown")
        elif value or name == "calls":
            unit = name.replace("_", " ")
            number = int(value) if value == int(value) else value
            words.append(f"{number:,} {unit.removesuffix('s') if value == 1 else unit}")
    return words
