"""The numbers as tables: for a terminal, Markdown and LaTeX, rounded, and as CSV, in full."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from fmas_evaluate.classes import class_table
from fmas_evaluate.comparison import Comparison
from fmas_evaluate.files import printable
from fmas_evaluate.report.findings import Findings, bounds_of, title_of

__all__ = ["Table", "csv_text", "latex_text", "level_text", "markdown_text", "number", "plain_text", "tables_of"]


@dataclass(frozen=True, slots=True)
class Table:
    """One table of short texts.

    Attributes:
        heading: One or two words.
        title: One line that says what the table is about.
        header: Of the columns; the first holds names, the others numbers.
        rows: As long as the header.
    """

    heading: str
    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def tables_of(findings: Findings) -> list[Table]:
    """Return the tables to show, the most important first."""
    tables = [_measures(findings)]
    if findings.groups:
        tables.append(_groups(findings))
    if findings.comparison is not None:
        tables.append(_comparison(findings, findings.comparison))
    if findings.protocol is not None:
        tables.append(_protocol(findings))
    return tables


def _measures(findings: Findings) -> Table:
    whole = findings.evaluation
    about = whole.aupro
    title = (
        f"{printable(findings.maps)} against {printable(findings.truth)}: {_counted(about.n_images, 'image')}, "
        f"{_counted(about.n_regions, 'defect region')}, {_counted(about.n_pixels, 'pixel')}"
    )
    threshold = whole.f1_max.threshold
    if threshold is not None and not math.isnan(threshold):
        title += f"; F1-max at score {threshold:.6g}"
    bounds = {name: bounds_of(findings, name) for name in whole}
    header: tuple[str, ...] = ("measure", "value")
    if any(bounds.values()):
        kind = "certified" if findings.intervals is None else level_text(findings.intervals["pixel_auroc"].level)
        header = (*header, kind)
    rows = []
    for name, result in whole.items():
        row = [title_of(name, result), number(result)]
        if len(header) == 3:
            row.append(_interval(bounds[name], resampled=findings.intervals is not None))
        rows.append(tuple(row))
    return Table("Measures", title, header, tuple(rows))


def _groups(findings: Findings) -> Table:
    names = list(findings.evaluation)
    header = (findings.grouped_by, "images", *(title_of(name, findings.evaluation[name]) for name in names))
    rows = [
        (printable(group), f"{one.aupro.n_images:,}", *(number(one[name]) for name in names))
        for group, one in findings.groups.items()
    ]
    means = class_table(findings.groups).means
    counted = [f" (of {means[name].n_classes})" if means[name].left_out else "" for name in names]
    rows.append(("mean", "", *(number(means[name].value) + note for name, note in zip(names, counted, strict=True))))
    title = f"by {findings.grouped_by}" + ("; n/a is not defined and left out of the mean" if any(counted) else "")
    if findings.grouped_by == "defect":
        title += "; good images belong to every row"
    return Table(f"By {findings.grouped_by}", title, header, tuple(rows))


def _comparison(findings: Findings, comparison: Comparison) -> Table:
    rows = tuple(
        (
            title_of(name, findings.evaluation[name]),
            number(row.first),
            number(row.second),
            f"{row.difference:+.4f}" if math.isfinite(row.difference) else "n/a",
            f"[{row.lower:+.4f}, {row.upper:+.4f}]" if math.isfinite(row.lower) else "n/a",
            f"{row.p_value:.3g}" if math.isfinite(row.p_value) else "n/a",
        )
        for name, row in comparison.items()
    )
    title = (
        f"first: {printable(findings.maps)}; second: {printable(findings.other or '')}; the same draws of images for "
        f"both, {comparison.n_replicates:,} times"
    )
    interval = level_text(next(iter(comparison.values())).level)
    return Table("Comparison", title, ("measure", "first", "second", "difference", interval, "p"), rows)


def _protocol(findings: Findings) -> Table:
    rows = tuple(
        (name, number(one.value), number(one.exact), "n/a" if math.isnan(one.gap) else f"{one.gap:+.1e}")
        for name, one in findings.published.items()
    )
    title = f"as {findings.protocol} computes it"
    return Table("Published protocol", title, ("measure", "published code", "exact", "gap"), rows)


def number(value: float) -> str:
    """Return a fraction with four digits; ``n/a`` where it is not defined."""
    return "n/a" if math.isnan(value) else f"{value:.4f}"


def level_text(level: float) -> str:
    """Return what an interval of that level is called."""
    return f"{100 * level:.4g} % interval"


def _interval(bounds: tuple[float, float] | None, *, resampled: bool) -> str:
    if bounds is None:
        return "" if resampled else "exact"
    lower, upper = bounds
    if math.isnan(lower) or math.isnan(upper):
        return "n/a"
    digits = 4 if upper - lower > 1e-4 or resampled else 8  # certified bounds may be that close
    return f"[{lower:.{digits}f}, {upper:.{digits}f}]"


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def plain_text(tables: Sequence[Table]) -> str:
    """Return tables for a terminal: names to the left, numbers to the right."""
    return "\n".join(_plain(table) for table in tables)


def _plain(table: Table) -> str:
    lines = (table.header, *table.rows)
    widths = [max(len(line[column]) for line in lines) for column in range(len(table.header))]
    text = [table.title]
    for line in lines:
        cells = [
            line[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)),
        ]
        text.append("  " + "  ".join(cells).rstrip())
    return "\n".join(text) + "\n"


def markdown_text(tables: Sequence[Table]) -> str:
    """Return Markdown tables, each below its title."""
    return "\n".join(
        f"{_markdown(table.title)}\n\n"
        + "".join(
            f"| {' | '.join(_markdown(cell) for cell in line)} |\n"
            for line in (table.header, ("---", *("---:" for _ in table.header[1:])), *table.rows)
        )
        for table in tables
    )


def _markdown(text: str) -> str:
    if text in ("---", "---:"):
        return text
    special = r"\`*_{}<>[]|#~"
    return "".join(f"\\{one}" if one in special else one for one in text)


_LATEX = {
    **{one: f"\\{one}" for one in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
}


def latex_text(tables: Sequence[Table]) -> str:
    """Return LaTeX tables for ``booktabs``, without a float around them."""
    parts = ["% \\usepackage{booktabs}\n"]
    for table in tables:
        head, *rows = (
            " & ".join(_latex(cell) for cell in line) + r" \\" + "\n" for line in (table.header, *table.rows)
        )
        parts += [
            f"% {table.title}\n\\begin{{tabular}}{{l{'r' * (len(table.header) - 1)}}}\n\\toprule\n",
            *(head, "\\midrule\n", *rows, "\\bottomrule\n\\end{tabular}\n"),
        ]
    return "".join(parts)


def _latex(cell: str) -> str:
    text = "".join(_LATEX.get(one, one) for one in cell)
    return re.sub(r"(?<![\w-])-(?=\d)", "$-$", text)  # a minus, not a hyphen


_COLUMNS = (
    *("group", "measure", "value", "lower", "upper", "threshold", "n_images", "n_regions", "n_pixels"),
    *("other", "difference", "difference_lower", "difference_upper", "p_value"),
)


def csv_text(findings: Findings) -> str:
    """Return one line per group and measure, every digit kept; what does not apply is empty.

    The group of all images together is empty.
    """
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, _COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for group, evaluation in (("", findings.evaluation), *findings.groups.items()):
        for name, result in evaluation.items():
            bounds = bounds_of(findings, name) if not group else None
            lower, upper = bounds or (result.lower, result.upper)
            row: dict[str, object] = {"group": printable(group), "measure": name, "value": result.value}
            row |= {"lower": lower, "upper": upper, "n_images": result.n_images, "n_regions": result.n_regions}
            row |= {"n_pixels": result.n_pixels}
            row |= {} if result.threshold is None else {"threshold": result.threshold}
            if not group and findings.comparison is not None and name in findings.comparison:
                difference = findings.comparison[name]
                row |= {"other": difference.second, "difference": difference.difference, "p_value": difference.p_value}
                row |= {"difference_lower": difference.lower, "difference_upper": difference.upper}
            writer.writerow({key: "" if value != value else value for key, value in row.items()})  # noqa: PLR0124 (NaN)
    return buffer.getvalue()
