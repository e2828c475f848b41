"""How a metadata row stands in ``metadata.jsonl`` and in an image: one line of JSON, keys sorted, UTF-8."""

from __future__ import annotations

import json
from collections.abc import Mapping

__all__ = ["row_line"]


def row_line(row: Mapping[str, object]) -> str:
    """Return a row as one line, without its end; text that cannot be UTF-8 stays as it is."""
    return json.dumps(row, ensure_ascii=False, sort_keys=True)
