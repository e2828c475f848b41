"""The results as Markdown and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fmas.benchmark.results import MEAN, Json
from fmas.benchmark.ruler import LEADING, MEASURES
from fmas.detectors import SUBBANDS

__all__ = ["COLUMNS", "csv_table", "figure_words", "markdown", "p_words", "seconds_words"]

COLUMNS = (
    *("category", "variant", "images", "measure", "seeds", "mean", "spread", "lower", "upper"),
    *("averaged", "averaged_lower", "averaged_upper", "authors", "seconds", "failed"),
)
"""Of ``results.csv``; ``images`` is ``all`` or a kind of defect (beside all good images), ``seconds`` of a run."""

_NOTHING = "\N{EN DASH}"


def csv_table(results: Json) -> str:
    """Return one line per category, variant, kind of defect and measure; full precision, empty where undefined."""
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for row in results["rows"]:
        failed = "; ".join(f"seed {failure['seed']}: {failure['reason']}" for failure in row["failed"])
        for measure in MEASURES:
            figure, averaged = row["measures"].get(measure, {}), row["averaged"].get(measure, {})
            writer.writerow(
                {
                    **_csv_cells(row, measure, figure),
                    "images": "all",
                    "seeds": len(row["seeds"]),
                    "averaged": _exact(averaged.get("mean")),
                    "averaged_lower": _exact(averaged.get("lower")),
                    "averaged_upper": _exact(averaged.get("upper")),
                    "authors": _exact(row["published"].get(measure)),
                    "seconds": _exact(sum(row["seconds"].values()) if row.get("seconds") else None),
                    "failed": failed,
                }
            )
    for row in results["kinds"]:
        for measure, figure in row["measures"].items():
            cells = _csv_cells(row, measure, figure)
            writer.writerow({**cells, "images": row["kind"], "seeds": len(figure["per_seed"])})
    return buffer.getvalue()


def markdown(results: Json) -> str:
    """Return the whole report as Markdown."""
    lines = [f"# Benchmark of {_escaped(results['dataset'])}", "", *_how_to_read(results), ""]
    names = [category["name"] for category in results["categories"]]
    for name in [*names, *([MEAN] if len(names) > 1 else [])]:
        lines += [f"## {_escaped(name)}", "", *_main_table(results, name), *_failures(results, name)]
        lines += [*_contrast_table(results, name), *_kind_table(results, name), *_subband_table(results, name)]
    return "\n".join([*lines, *_provenance(results)]) + "\n"


def figure_words(figure: Mapping[str, Any] | None) -> str:
    """Return a figure as ``0.912 ± 0.008 [0.861, 0.951]``: mean, spread over seeds, interval over images."""
    if not figure or figure["mean"] is None:
        return _NOTHING
    spread = f" ± {figure['spread']:.3f}" if figure["spread"] is not None else ""
    interval = f" [{figure['lower']:.3f}, {figure['upper']:.3f}]" if figure["lower"] is not None else ""
    return f"{figure['mean']:.3f}{spread}{interval}"


def p_words(p_value: float | None) -> str:
    """Return a p-value with as many digits as 1000 draws can tell."""
    if p_value is None:
        return _NOTHING
    return f"{p_value:.3f}"


def seconds_words(seconds: Mapping[str, float] | None) -> str:
    """Return ``train 61, inspect 9``."""
    return ", ".join(f"{name} {value:.0f}" for name, value in (seconds or {}).items()) or _NOTHING


def _how_to_read(results: Json) -> list[str]:
    seeds = results["seeds"]
    return [
        f"Mean of {seeds} seed{'s' if seeds > 1 else ''}{' ± standard deviation over seeds' if seeds > 1 else ''}, "
        f"[{results['level']:.0%} interval over draws of the test images]. "
        "*Good flagged* and *defects found* are at the threshold that each model calibrated on held-out photographs of "
        "good parts. "
        "Authors' figures are theirs for their own training and images, quoted for scale, no baseline of this run.",
    ]


def _main_table(results: Json, category: str) -> list[str]:
    rows = [row for row in results["rows"] if row["category"] == category]
    published = [name for name in MEASURES if any(name in row["published"] for row in rows)]
    flagged = any("found" in row for row in rows)
    heading = [
        "variant",
        "seeds",
        *MEASURES.values(),
        *(["good flagged", "defects found", "seconds"] if flagged else []),
    ]
    heading += [f"authors: {MEASURES[name]}" for name in published]
    if category == MEAN:
        heading.append("categories")
    lines = []
    for row in rows:
        cells = [row["variant"], str(len(row["seeds"]))]
        cells += [figure_words(row["measures"].get(name)) for name in MEASURES]
        if flagged:
            cells += [_share(row.get("false_alarms")), _share(row.get("found")), seconds_words(row.get("seconds"))]
        cells += [f"{row['published'][name]:.3f}" if name in row["published"] else _NOTHING for name in published]
        if category == MEAN:
            cells.append(f"{len(row['categories'])} of {len(results['categories'])}")
        if not row["seeds"]:
            cells[1] = "failed"
        lines.append(cells)
    return _table(heading, lines)


def _failures(results: Json, category: str) -> list[str]:
    lines = [
        f"- **failed**: {row['variant']}, seed {failure['seed']}: {_escaped(failure['reason'])}"
        for row in results["rows"]
        if row["category"] == category
        for failure in row["failed"]
    ]
    return [*lines, ""] if lines else []


def _contrast_table(results: Json, category: str) -> list[str]:
    rows = [row for row in results["contrasts"] if row["category"] == category]
    if not rows:
        return []
    several = any(len(row["seeds"]) > 1 for row in rows)
    heading = ["does it help?", "variant minus baseline", "measure", "difference of the means", "p"]
    if several:
        heading += ["difference of the averaged maps and scores", "p"]
    lines = []
    for row in rows:
        for name in LEADING:
            words = MEASURES[name]
            cells = [
                row["asks"],
                f"{row['variant']} minus {row['baseline']}",
                words,
                *_difference(row["of_means"][name]),
            ]
            lines.append([*cells, *(_difference(row["of_averaged"][name]) if several else [])])
    return ["### Paired comparisons", "", *_table(heading, lines)]


def _kind_table(results: Json, category: str) -> list[str]:
    rows = [row for row in results["kinds"] if row["category"] == category]
    if not rows:
        return []
    heading = ["kind of defect", "images", "variant", *(MEASURES[name] for name in LEADING)]
    rows = sorted(rows, key=lambda row: str(row["kind"]))  # stable: the variants keep their order
    lines = [
        [row["kind"], str(row["images"]), row["variant"], *(figure_words(row["measures"][name]) for name in LEADING)]
        for row in rows
    ]
    return ["### By kind of defect, each beside all good images", "", *_table(heading, lines)]


def _subband_table(results: Json, category: str) -> list[str]:
    rows = [row for row in results["subbands"] if row["category"] == category]
    if not rows:
        return []
    heading = ["variant", "layer", "test images", *SUBBANDS]
    lines = [
        [row["variant"], row["layer"], side, *(f"{weight:.3f}" for weight in row[side])]
        for row in rows
        for side in ("good", "defective")
    ]
    return ["### What WDAM looks at: mean weights of the sub-bands", "", *_table(heading, lines)]


def _provenance(results: Json) -> list[str]:
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    machine = ", ".join(f"{name} {value}" for name, value in results["machine"].items() if value is not None)
    lines = ["## How it was made", "", f"- command: `{results['command']}`", f"- machine: {machine}"]
    lines += [f"- versions: {versions}", ""]
    lines += _table(
        ["category", "variant", "seed", "seconds"],
        [
            [cell["category"], cell["variant"], str(cell["seed"]), seconds_words(cell.get("seconds"))]
            for cell in results["cells"]
        ],
    )
    commands = [cell["commands"] for cell in results["cells"] if "commands" in cell]
    if commands:
        lines += ["The first cell by hand; the others are in `results.json`:", "", "```sh", *commands[0], "```"]
    return lines


def _difference(difference: Mapping[str, Any]) -> list[str]:
    if difference["difference"] is None:
        return [_NOTHING, _NOTHING]
    interval = f" [{difference['lower']:+.3f}, {difference['upper']:+.3f}]" if difference["lower"] is not None else ""
    return [f"{difference['difference']:+.3f}{interval}", p_words(difference["p_value"])]


def _csv_cells(row: Json, measure: str, figure: Mapping[str, Any]) -> dict[str, object]:
    cells = {name: row[name] for name in ("category", "variant")}
    return {**cells, "measure": measure, **{k: _exact(figure.get(k)) for k in ("mean", "spread", "lower", "upper")}}


def _exact(value: float | None) -> str:
    return "" if value is None else repr(value)


def _share(value: float | None) -> str:
    return _NOTHING if value is None else f"{value:.1%}"


def _table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [heading, ["---"] * len(heading), *rows]
    return [*("| " + " | ".join(_escaped(cell) for cell in cells) + " |" for cells in lines), ""]


def _escaped(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
