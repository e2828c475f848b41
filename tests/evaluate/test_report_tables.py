"""Tables: the same numbers for a terminal, Markdown, LaTeX and CSV, and no name that breaks any of them."""

from __future__ import annotations

import csv
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmas_evaluate.report.findings import Findings
from fmas_evaluate.report.tables import Table, csv_text, latex_text, markdown_text, number, plain_text, tables_of
from fmas_evaluate.results import Evaluation, Result

CELLS = st.text(min_size=1, max_size=12)


def evaluation(**values: float) -> Evaluation:
    numbers = {"image_auroc": 0.9, "pixel_auroc": 0.8, "average_precision": 0.7, "f1_max": 0.6, "aupro": 0.5} | values
    extra = {"aupro": {"limit": 0.3}, "f1_max": {"threshold": 1.5}}
    return Evaluation({name: Result(value, n_images=3, **extra.get(name, {})) for name, value in numbers.items()})  # type: ignore[arg-type]


def findings(whole: Evaluation, **groups: Evaluation) -> Findings:
    return Findings("maps", "truth", "exact", "maximum of each map", whole, groups, "defect", None)


@given(CELLS, CELLS)
def test_any_text_stays_in_its_cell(first: str, second: str) -> None:
    table = Table("Heading", "title", ("name", "value"), ((first, second),))
    if first.isprintable() and second.isprintable():
        row = markdown_text([table]).split("\n")[4]
        assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) == 3
        body = latex_text([table]).partition("\\midrule\n")[2].partition("\\bottomrule")[0]
        assert len(re.findall(r"(?<!\\)&", body)) == 1
        assert not re.search(r"(?<!\\)[%#_]", body)
        assert body.endswith(" \\\\\n")


def test_a_terminal_gets_columns() -> None:
    table = Table("Heading", "a title", ("name", "value"), (("long name", "1.0"), ("x", "10.0")))
    assert plain_text([table]) == "a title\n  name       value\n  long name    1.0\n  x           10.0\n"


def test_markdown_and_latex() -> None:
    table = Table("Heading", "a_title", ("name", "95 %"), (("a|b", "-0.5"), ("c-1", "[-1, +1]")))
    assert (
        markdown_text([table])
        == "a\\_title\n\n| name | 95 % |\n| --- | ---: |\n| a\\|b | -0.5 |\n| c-1 | \\[-1, +1\\] |\n"
    )
    assert latex_text([table]) == (
        "% \\usepackage{booktabs}\n% a_title\n\\begin{tabular}{lr}\n\\toprule\nname & 95 \\% \\\\\n\\midrule\n"
        "a\\textbar{}b & $-$0.5 \\\\\nc-1 & [$-$1, +1] \\\\\n\\bottomrule\n\\end{tabular}\n"
    )


def test_groups_show_what_is_missing_and_what_the_mean_is_over() -> None:
    shown = tables_of(findings(evaluation(), crack=evaluation(aupro=0.4), dent=evaluation(aupro=float("nan"))))
    assert [row[0] for row in shown[1].rows] == ["crack", "dent", "mean"]
    assert [row[-1] for row in shown[1].rows] == ["0.4000", "n/a", "0.4000 (of 1)"]
    assert shown[1].header[-1] == "PRO@0.3"
    assert number(float("nan")) == "n/a"


def test_csv_is_complete() -> None:
    whole = evaluation(pixel_auroc=1 / 3, aupro=float("nan"))
    rows = list(csv.DictReader(io.StringIO(csv_text(findings(whole, **{'a,\n"b': evaluation()})))))
    assert len(rows) == 10
    assert float(rows[1]["value"]) == 1 / 3
    assert rows[4]["value"] == ""
    assert rows[3]["threshold"] == "1.5"
    assert rows[5]["group"] == 'a,\\n"b'


@pytest.mark.parametrize(
    ("lower", "upper", "shown"), [(0.5, 0.75, "[0.5000, 0.7500]"), (0.8, 0.80001, "[0.80000000, 0.80001000]")]
)
def test_certified_bounds_get_the_digits_they_need(lower: float, upper: float, shown: str) -> None:
    whole = dict(evaluation())
    whole["pixel_auroc"] = Result(0.6, lower=lower, upper=upper)
    table = tables_of(findings(Evaluation(whole)))[0]
    assert table.header[2] == "certified"
    assert [row[2] for row in table.rows] == ["exact", shown, "exact", "exact", "exact"]
