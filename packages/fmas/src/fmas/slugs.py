"""Folder names made from free text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

__all__ = ["defect_slugs", "slug"]

_LONGEST = 60
# A folder called `good` would be read as good parts by every MVTec-style loader; the rest are device names on Windows.
_RESERVED = re.compile(r"good|con|prn|aux|nul|com\d|lpt\d")


def slug(text: str, *, fallback: str) -> str:
    """Turn free text into a folder name that matches ``[a-z0-9_]+`` and is safe on every file system.

    Args:
        text: Anything.
        fallback: The result when nothing of ``text`` is left, e.g. for a name in Chinese characters.

    Returns:
        At most 60 characters; never ``good`` and never a device name of Windows.
    """
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9]+", "_", ascii_text)[:_LONGEST].strip("_") or fallback
    return f"{fallback}_{name}" if _RESERVED.fullmatch(name) else name


def defect_slugs(names: Iterable[str]) -> list[str]:
    """Turn the names of a plan into distinct folder names, numbering the ones that repeat: ``crack``, ``crack_2``."""
    slugs: list[str] = []
    for name in names:
        base = slug(name, fallback="defect")
        candidate, number = base, 1
        while candidate in slugs:
            number += 1
            candidate = f"{base}_{number}"
        slugs.append(candidate)
    return slugs
