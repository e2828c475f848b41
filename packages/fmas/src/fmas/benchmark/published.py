"""What the authors report for MVTec AD, read off their figure.

Rows only: the averages printed in the figure are not the means of its rows.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType

__all__ = ["published_figures"]

_MEASURES = {"image_auroc": "image_auroc", "pixel_auroc": "pixel_auroc", "pro": "aupro"}
_NO_CATEGORY = "average"


def published_figures(category: str, column: str | None) -> Mapping[str, float]:
    """Return the authors' figures for one category and column of their ablation.

    Args:
        category: A category's name; ``Metal Nut`` and ``metal_nut`` are the same.
        column: ``cutpaste``, ``fmas``, ``fm`` or ``wdam``; ``None`` for a variant that is not theirs.

    Returns:
        Measure -> fraction in ``[0, 1]``: ``image_auroc``, ``pixel_auroc``, ``aupro``; empty without such a row.
    """
    return _table().get((re.sub(r"[\W_]+", "_", category.lower()), column or ""), {})


@cache
def _table() -> Mapping[tuple[str, str], Mapping[str, float]]:
    text = (files("fmas.benchmark") / "authors_mvtec_ad.csv").read_text(encoding="utf-8")
    table: dict[tuple[str, str], dict[str, float]] = {}
    for row in csv.DictReader(io.StringIO(text)):
        category = row.pop("category")
        if category == _NO_CATEGORY:
            continue
        for heading, percent in row.items():
            column, _, measure = heading.partition("_")
            table.setdefault((category, column), {})[_MEASURES[measure]] = round(float(percent) / 100, 6)
    return MappingProxyType(table)
