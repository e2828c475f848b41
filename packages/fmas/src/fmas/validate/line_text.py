"""How a metadata row stands in ``metadata.jsonl`` and in an image: one line of JSON, keys sorted, UTF-8."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from fmas.validate.reading import parse_json
from fmas.validate.wording import differing_values

__all__ = ["disagreement", "row_line"]


def row_line(row: Mapping[str, object]) -> str:
    """Return a row as one line, without its end; text that cannot be UTF-8 stays as it is."""
    return json.dumps(row, ensure_ascii=False, sort_keys=True)


def disagreement(wanted: Mapping[str, object], line: bytes | str, *, show: Callable[[object], str]) -> tuple[str, str]:
    """Say what a line that is not as wanted says instead.

    Args:
        wanted: The object that it should hold.
        line: The line.
        show: How a value is written, without secrets.

    Returns:
        What was wanted and what was found.
    """
    try:
        found = parse_json(line)
    except ValueError:
        return "an object in JSON", "something else"
    if not isinstance(found, dict):
        return "an object in JSON", "another value"
    differing = differing_values(wanted, found, show=show)
    return differing or ("one line with sorted keys", "the same values in another spelling")
