"""The figure of ``--plot``: ROC, PR and PRO side by side, the area up to the limit shaded."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fmas_evaluate.errors import InvalidInput
from fmas_evaluate.extras import extra_module
from fmas_evaluate.files import printable, write_result
from fmas_evaluate.report.curves import Curve
from fmas_evaluate.report.findings import Findings, title_of
from fmas_evaluate.report.tables import number

__all__ = ["require_matplotlib", "write_plot"]

_COLOURS = ("#0b6e69", "#c0662a")
_STYLES = ("-", "--")


def require_matplotlib() -> None:
    """Do nothing if matplotlib is installed.

    Raises:
        MissingExtra: If it is not.
    """
    extra_module("matplotlib", purpose="to draw curves")


def write_plot(target: str, findings: Findings) -> None:
    """Draw the curves to a file; the same findings give the same bytes.

    Args:
        target: Path ending in ``.png``, ``.svg`` or ``.pdf``.
        findings: What to draw.

    Raises:
        InvalidInput: If there are no curves, for lack of a defect or a normal pixel.
        MissingExtra: If matplotlib is not installed.
        OSError: If the file cannot be written.
    """
    if findings.curves is None:
        raise InvalidInput("expected defect and normal pixels for curves, got only one kind; leave --plot away")
    require_matplotlib()
    import matplotlib as mpl
    from matplotlib.figure import Figure

    kind = Path(target).suffix.lower()[1:]
    # Fixed ids, no date: the figure can be kept under version control. Names are text, not formulas.
    with mpl.rc_context({"svg.hashsalt": "fmas-evaluate", "text.parse_math": False, "svg.fonttype": "none"}):
        figure = Figure(figsize=(12, 4.2), layout="constrained")
        _draw(figure, findings)
        buffer = io.BytesIO()
        stamp = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind]
        figure.savefig(buffer, format=kind, dpi=150, metadata=stamp)
    write_result(target, buffer.getvalue())


def _draw(figure: Any, findings: Findings) -> None:  # noqa: ANN401 (matplotlib is imported on demand)
    whole = findings.evaluation
    both = [one for one in (findings.curves, findings.other_curves) if one is not None]
    names = [_short(findings.maps), _short(findings.other or "")][: len(both)]
    roc, pr, pro = figure.subplots(1, 3)
    rate, limit = "false-positive rate", whole.aupro.limit or 1.0
    _panel(roc, f"ROC: AUROC {number(whole.pixel_auroc)}", [one.roc for one in both], rate, "true-positive rate")
    _panel(pr, f"PR: AP {number(whole.average_precision)}", [one.pr for one in both], "recall", "precision")
    title = f"{title_of('aupro', whole.aupro)}: {number(whole.aupro)}"
    _panel(pro, title, [one.pro for one in both], rate, "per-region overlap")
    first = both[0].pro
    inside = first.x <= limit
    pro.fill_between(first.x[inside], first.y[inside], color=_COLOURS[0], alpha=0.16, linewidth=0)
    pro.axvline(limit, color="0.5", linestyle=":", linewidth=1)
    pro.set_xlim(0, min(1.0, 1.25 * limit))
    if len(both) > 1:
        figure.legend(names, loc="outside lower center", ncols=2, frameon=False)


def _panel(axes: Any, title: str, curves: Sequence[Curve], across: str, up: str) -> None:  # noqa: ANN401 (see above)
    for number_, curve in enumerate(curves):
        axes.plot(curve.x, curve.y, color=_COLOURS[number_], linestyle=_STYLES[number_], linewidth=1.6)
    axes.set(title=title, xlabel=across, ylabel=up, xlim=(0, 1), ylim=(0, 1.005))
    axes.grid(color="0.9", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)


def _short(path: str) -> str:
    """Return the end of a path; a legend has no room for more."""
    text = printable(path)
    return text if len(text) <= 60 else "…" + text[-59:]
