"""The results as one page that needs no other file and asks for none."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from fmas.benchmark.cells import BenchmarkRequest
from fmas.benchmark.gallery import gallery
from fmas.benchmark.layouts import Category
from fmas.benchmark.measuring import Inspected, read_inspected
from fmas.benchmark.results import MEAN, Json
from fmas.benchmark.ruler import LEADING, MEASURES
from fmas.benchmark.runner import CellState, by_variant
from fmas.benchmark.tables import figure_words, p_words, seconds_words
from fmas.detectors import SUBBANDS
from fmas.files import AtomicWriter

__all__ = ["write_page"]

_MOST_PICTURES = 60
_MOST_PER_CATEGORY = 12


def write_page(
    path: Path, results: Json, categories: Sequence[Category], states: Sequence[CellState], request: BenchmarkRequest
) -> None:
    """Write the page.

    Args:
        path: Where to.
        results: What ``results.json`` holds.
        categories: The products, for their pictures.
        states: Every cell, for its maps.
        request: What was asked for.

    Raises:
        OutputError: If it cannot be written, or a map cannot be read.
    """
    environment = Environment(
        loader=PackageLoader("fmas.benchmark"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    source = environment.loader
    styles = source.get_source(environment, "benchmark.css")[0] if source is not None else ""
    most = max(3, min(_MOST_PER_CATEGORY, _MOST_PICTURES // len(categories)))
    names = [category.name for category in categories]
    sections = [_section(results, name) for name in [*([MEAN] if len(names) > 1 else []), *names]]
    by_name = {category.name: category for category in categories}
    stream = environment.get_template("benchmark.html.j2").generate(
        results=results,
        sections=sections,
        # Drawn when their turn comes: the pictures of one category are in memory at a time.
        gallery=lambda name: _gallery(by_name[name], states, request, most) if name in by_name else [],
        measures=MEASURES,
        leading=LEADING,
        subbands=SUBBANDS,
        words=figure_words,
        p_words=p_words,
        seconds_words=seconds_words,
        bar=_bar,
        styles=styles,
        styles_hash=_csp_hash(styles),
    )
    with AtomicWriter(request.out / ".tmp" / "parts").stream(path) as file:
        for chunk in stream:
            file.write(chunk.encode(errors="backslashreplace"))


def _section(results: Json, name: str) -> Json:
    """Return everything about one category."""

    def of(table: str) -> list[Any]:
        return [row for row in results[table] if row["category"] == name]

    rows = of("rows")
    kinds: dict[str, list[Json]] = {}
    for row in of("kinds"):
        kinds.setdefault(row["kind"], []).append(row)
    return {
        "name": name,
        "rows": rows,
        "published": [measure for measure in MEASURES if any(measure in row["published"] for row in rows)],
        "contrasts": of("contrasts"),
        "kinds": kinds,
        "subbands": of("subbands"),
        "about": next((category for category in results["categories"] if category["name"] == name), None),
    }


def _gallery(category: Category, states: Sequence[CellState], request: BenchmarkRequest, most: int) -> list[Any]:
    variants: dict[str, list[Inspected]] = {}
    for name, cells in by_variant(states, category):
        seeds = [
            read_inspected(state.cell.folder(request.out) / "inspection", category, explained=False)
            for state in cells
            if state.result is not None
        ]
        if seeds:
            variants[name] = seeds
    return list(gallery(category, variants, most=most)) if variants else []


def _bar(figure: Json | None) -> Json | None:
    """Return where interval and mean lie in a bar from 0 to 100."""
    if not figure or figure["mean"] is None:
        return None
    lower = figure["lower"] if figure["lower"] is not None else figure["mean"]
    upper = figure["upper"] if figure["upper"] is not None else figure["mean"]
    return {"mean": 100 * figure["mean"], "lower": 100 * lower, "width": max(100 * (upper - lower), 0.5)}


def _csp_hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
