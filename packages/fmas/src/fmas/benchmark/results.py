"""Everything a benchmark found, in one tree of JSON values: what tables and page are made from."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeAlias

from fmas.benchmark.cells import BenchmarkRequest
from fmas.benchmark.finished import load_sampled, save_sampled
from fmas.benchmark.folder import BenchmarkFolder
from fmas.benchmark.layouts import Category
from fmas.benchmark.measuring import averaged_images, draw_seed, read_inspected
from fmas.benchmark.published import published_figures
from fmas.benchmark.ruler import MEASURES, Ruler, Sampled
from fmas.benchmark.runner import CellState, averages_folder, by_variant
from fmas.benchmark.statistics import LEVEL, differences, figures, mean_of
from fmas.benchmark.variants import CONTRASTS
from fmas.versions import library_versions

__all__ = ["MEAN", "Json", "collect_results"]

Json: TypeAlias = dict[str, Any]
Anything: TypeAlias = Any  # JSON values are nested without end

MEAN = "mean over categories"
"""Stands for a category's name in rows about all of them."""


def collect_results(
    request: BenchmarkRequest,
    categories: Sequence[Category],
    states: Sequence[CellState],
    *,
    ruler: Ruler,
    command: Sequence[str],
    machine: Mapping[str, object],
) -> Json:
    """Put cells together.

    Args:
        request: What was asked for.
        categories: The products.
        states: Every cell.
        ruler: Who measures averaged maps.
        command: The arguments of ``fmas`` that this came from.
        machine: What times depend on.

    Returns:
        JSON values, NaN as ``None``: ``rows`` (category, variant), ``contrasts`` (category, question), ``kinds``
        (category, variant, kind of defect), ``subbands`` (category, variant, layer), ``cells``, and what they were made
        with.
    """
    book = _Book(BenchmarkFolder(request.out), ruler, states)
    rows: list[Json] = []
    contrasts: list[Json] = []
    for category in categories:
        rows += [_row(category, cells, book) for _, cells in by_variant(states, category)]
        contrasts += _contrasts(category.name, [category], states, book)
    if len(categories) > 1:
        rows += _mean_rows(categories, states)
        contrasts += _contrasts(MEAN, categories, states, book)
    results: Json = finite(
        {
            "format": "fmas-benchmark-results",
            "command": shlex.join(["fmas", *command]),
            "dataset": str(request.dataset),
            "identity": request.identity(),
            "seeds": request.seeds,
            "level": LEVEL,
            "measures": dict(MEASURES),
            "machine": dict(machine),
            "versions": library_versions(),
            "categories": [_about_category(category) for category in categories],
            "rows": rows,
            "contrasts": contrasts,
            "kinds": [row for category in categories for row in _kind_rows(category, states)],
            "subbands": [row for category in categories for row in _subband_rows(category, states)],
            "cells": [_cell(state, request) for state in states],
        }
    )
    return results


class _Book:
    """Looks up measures of averaged maps, and keeps them on disk: they take as long as a cell's own."""

    def __init__(self, folder: BenchmarkFolder, ruler: Ruler, states: Sequence[CellState]) -> None:
        self._folder = folder
        self._ruler = ruler
        self._states = states

    def seeds(self, category: Category, variant: str) -> dict[int, CellState]:
        """Return a variant's finished cells by seed."""
        found = (s for s in self._states if s.cell.category is category and s.cell.variant.name == variant)
        return {state.cell.seed: state for state in found if state.result is not None}

    def averaged(self, cells: Sequence[CellState]) -> Sampled:
        """Return the measures of scores and maps averaged over cells of one variant and category."""
        cell = cells[0].cell
        if len(cells) == 1 and cells[0].result is not None:
            return cells[0].result.sampled
        seeds = "-".join(str(state.cell.seed) for state in cells)
        path = averages_folder(self._folder.out, cell) / f"seeds-{seeds}.npz"
        if path.is_file():
            return load_sampled(path)["averaged"]
        out = self._folder.out
        inspected = [read_inspected(s.cell.folder(out) / "inspection", cell.category, explained=False) for s in cells]
        images = averaged_images(cell.category, inspected)
        sampled = self._ruler.sample(images, seed=draw_seed(cell.category.name))
        save_sampled(self._folder.writer, path, {"averaged": sampled})
        return sampled


def finite(value: Anything) -> Anything:
    """Return JSON values with ``None`` for every number that JSON cannot hold."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _sampled(cells: Sequence[CellState]) -> list[Sampled]:
    return [state.result.sampled for state in cells if state.result is not None]


def _about_category(category: Category) -> Json:
    kinds = {kind: sum(image.kind == kind for image in category.images) for kind in category.kinds}
    good = sum(not image.defective for image in category.images)
    return {"name": category.name, "photographs": category.photographs, "good": good, "defective": kinds}


def _row(category: Category, cells: Sequence[CellState], book: _Book) -> Json:
    variant = cells[0].cell.variant
    finished = [state for state in cells if state.result is not None]
    row: Json = {
        "category": category.name,
        "variant": variant.name,
        "seeds": [state.cell.seed for state in finished],
        "failed": [{"seed": state.cell.seed, "reason": state.reason} for state in cells if state.reason],
        "published": dict(published_figures(category.name, variant.published)),
        "measures": {},
        "averaged": {},
    }
    if finished:
        about = [state.result.about for state in finished if state.result is not None]
        row["measures"] = {name: asdict(figure) for name, figure in figures(_sampled(finished)).items()}
        row["averaged"] = {name: asdict(figure) for name, figure in figures([book.averaged(finished)]).items()}
        row["false_alarms"] = math.fsum(a["false_alarms"] for a in about) / len(about)
        row["found"] = math.fsum(a["found"] for a in about) / len(about)
        row["seconds"] = {
            name: math.fsum(a["seconds"].get(name, 0.0) for a in about) / len(about) for name in about[0]["seconds"]
        }
    return row


def _mean_rows(categories: Sequence[Category], states: Sequence[CellState]) -> list[Json]:
    """Return one row per variant: the mean over the categories in which every seed is finished."""
    rows: list[Json] = []
    for name in dict.fromkeys(state.cell.variant.name for state in states):
        of_variant = [state for state in states if state.cell.variant.name == name]
        unfinished = {state.cell.category.name for state in of_variant if state.result is None}
        whole = [category for category in categories if category.name not in unfinished]
        row: Json = {"category": MEAN, "variant": name, "seeds": [], "failed": [], "published": {}}
        row |= {"measures": {}, "averaged": {}, "categories": [category.name for category in whole]}
        if whole:
            seeds = sorted({state.cell.seed for state in of_variant})
            per_seed = [
                mean_of(_sampled([s for s in of_variant if s.cell.seed == seed and s.cell.category in whole]))
                for seed in seeds
            ]
            row["seeds"] = seeds
            row["measures"] = {measure: asdict(figure) for measure, figure in figures(per_seed).items()}
        rows.append(row)
    return rows


def _contrasts(name: str, categories: Sequence[Category], states: Sequence[CellState], book: _Book) -> list[Json]:
    """Answer every question whose two sides have a seed in common in each of these categories."""
    present = {state.cell.variant.name for state in states}
    rows: list[Json] = []
    for contrast in CONTRASTS:
        if not {contrast.variant, contrast.baseline} <= present:
            continue
        sides: list[tuple[Sampled, Sampled, Sampled, Sampled]] = []
        seeds: set[int] = set()
        for category in categories:
            ours, theirs = book.seeds(category, contrast.variant), book.seeds(category, contrast.baseline)
            common = sorted(ours.keys() & theirs.keys())
            if not common:
                break
            seeds.update(common)
            with_, without = [ours[seed] for seed in common], [theirs[seed] for seed in common]
            sides.append(
                (mean_of(_sampled(with_)), mean_of(_sampled(without)), book.averaged(with_), book.averaged(without))
            )
        if len(sides) < len(categories):
            continue
        means = [mean_of(side) for side in zip(*sides, strict=True)]
        rows.append(
            {
                "category": name,
                **asdict(contrast),
                "seeds": sorted(seeds),
                "of_means": {key: asdict(d) for key, d in differences(means[0], means[1]).items()},
                "of_averaged": {key: asdict(d) for key, d in differences(means[2], means[3]).items()},
            }
        )
    return rows


def _kind_rows(category: Category, states: Sequence[CellState]) -> list[Json]:
    rows: list[Json] = []
    for name, cells in by_variant(states, category):
        results = [state.result for state in cells if state.result is not None]
        for kind in category.kinds if results else ():
            found = figures([result.kinds[kind] for result in results])
            number = sum(image.kind == kind for image in category.images)
            measures = {measure: asdict(figure) for measure, figure in found.items()}
            rows.append(
                {"category": category.name, "variant": name, "kind": kind, "images": number, "measures": measures}
            )
    return rows


def _subband_rows(category: Category, states: Sequence[CellState]) -> list[Json]:
    """Return the mean weights of each layer, over images and then over seeds."""
    rows: list[Json] = []
    for name, cells in by_variant(states, category):
        given = [state.result.about["subbands"] for state in cells if state.result is not None]
        given = [subbands for subbands in given if subbands["good"] and subbands["defective"]]
        for layer in given[0]["good"] if given else ():
            mean = {
                side: [
                    math.fsum(subbands[side][layer][band] for subbands in given) / len(given)
                    for band in range(len(given[0][side][layer]))
                ]
                for side in ("good", "defective")
            }
            rows.append({"category": category.name, "variant": name, "layer": layer, **mean})
    return rows


def _cell(state: CellState, request: BenchmarkRequest) -> Json:
    cell = state.cell
    row: Json = {"category": cell.category.name, "variant": cell.variant.name, "seed": cell.seed}
    if state.result is None:
        return {**row, "reason": state.reason, "log": str(cell.folder(request.out) / "log.txt")}
    kept = ("commands", "seconds", "resumed", "machine", "versions", "training", "false_alarms", "found")
    about = {name: state.result.about[name] for name in kept}
    return {**row, "measures": dict(state.result.sampled.values), **about}
