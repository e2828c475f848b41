"""The same numbers in every file, and a page that asks for nothing."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fmas.benchmark.benchmark import run_benchmark
from fmas.benchmark.cells import BenchmarkRequest, Step
from fmas.benchmark.results import MEAN, finite
from fmas.benchmark.ruler import MEASURES
from fmas.benchmark.statistics import Figure
from fmas.benchmark.tables import COLUMNS, csv_table, figure_words, markdown, p_words, seconds_words
from fmas.benchmark.variants import VARIANTS


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, category_writer: Callable[..., Path], fakes: tuple[Any, Any]
) -> tuple[dict[str, Any], Path]:
    """Two categories, one of them the authors', one cell failed."""
    tmp_path = tmp_path_factory.mktemp("tables")
    for name in ("bottle", "tile_<b>|x"):
        category_writer(tmp_path / "data" / name)

    def fails(step: Step) -> str:
        failed = step.name == "train" and any("seed-1/unet-scars/" in a and "bottle" in a for a in step.arguments)
        return "it said | <script>alert(1)</script>" if failed else ""

    request = BenchmarkRequest(tmp_path / "data", tmp_path / "bench", VARIANTS, seeds=2)
    command = ["benchmark", "data", "--out", "bench"]
    return run_benchmark(request, ruler=fakes[1](), run_step=fakes[0](fails), command=command), request.out


def test_results_json_is_what_was_returned(finished: tuple[dict[str, Any], Path]) -> None:
    results, out = finished
    written = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert written == json.loads(json.dumps(results))
    assert written["command"] == "fmas benchmark data --out bench"
    assert {"machine", "versions", "identity", "seeds", "level"} <= written.keys()


def test_every_variant_has_a_row_per_category_and_a_mean(finished: tuple[dict[str, Any], Path]) -> None:
    rows = finished[0]["rows"]
    assert len(rows) == 8 * 3
    mean = {row["variant"]: row for row in rows if row["category"] == MEAN}
    for variant, row in mean.items():
        parts = [r["measures"]["aupro"] for r in rows if r["variant"] == variant and r["category"] in row["categories"]]
        assert row["measures"]["aupro"]["mean"] == pytest.approx(sum(part["mean"] for part in parts) / len(parts))
    assert mean["unet-fmas"]["categories"] == ["bottle", "tile_<b>|x"]
    assert mean["unet-scars"]["categories"] == ["tile_<b>|x"]  # bottle lacks a seed


def test_csv_holds_full_precision(finished: tuple[dict[str, Any], Path]) -> None:
    results, out = finished
    text = (out / "results.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert text == csv_table(results)
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == (24 + 8 * 2 * 2) * len(MEASURES)
    by_place = {(row["category"], row["variant"]): row["measures"] for row in results["rows"]}
    for row in rows:
        if row["images"] == "all":
            figure = by_place[row["category"], row["variant"]][row["measure"]]
            assert float(row["mean"]) == figure["mean"]
            assert float(row["lower"]) == figure["lower"]
    authors = {row["authors"] for row in rows if row["variant"] == "cutpaste+fmas" and row["category"] == "bottle"}
    assert authors == {"1.0", "0.8118", "0.6607", ""}
    assert {row["failed"] for row in rows if row["failed"]} == {"seed 1: train: it said | <script>alert(1)</script>"}


def test_markdown_shows_figures_failures_and_the_authors(finished: tuple[dict[str, Any], Path]) -> None:
    results, out = finished
    text = (out / "results.md").read_text(encoding="utf-8")
    assert text == markdown(results)
    (row,) = (r for r in results["rows"] if r["category"] == "bottle" and r["variant"] == "cutpaste+fmas")
    (line,) = (
        ln for ln in text.split("## bottle")[1].split("##")[0].splitlines() if ln.startswith("| cutpaste+fmas |")
    )
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[1] == "2"
    assert cells[2] == figure_words(row["measures"]["image_auroc"])
    assert cells[-3:] == ["1.000", "0.812", "0.661"]
    assert r"- **failed**: unet-scars, seed 1: train: it said \| <script>" in text
    assert "### What WDAM looks at" in text
    assert "0.125" in text


def test_tables_are_rectangular(finished: tuple[dict[str, Any], Path]) -> None:
    tables = re.findall(r"(?:^\|.*\n)+", markdown(finished[0]), flags=re.MULTILINE)
    assert len(tables) >= 10
    for table in tables:
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1


def test_the_page_asks_for_nothing_and_runs_nothing(finished: tuple[dict[str, Any], Path]) -> None:
    page = (finished[1] / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"(?:src|href)=[\"'](?!data:|#)", page)
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "default-src 'none'" in page
    assert "tile_&lt;b&gt;|x" in page
    assert page.count("data:image/webp;base64,") > 2 * 9


def test_the_page_shows_the_numbers(finished: tuple[dict[str, Any], Path]) -> None:
    results, out = finished
    page = (out / "index.html").read_text(encoding="utf-8")
    for row in results["rows"]:
        figure = row["measures"]["aupro"]
        assert f"[{figure['lower']:.3f}, {figure['upper']:.3f}]" in page
    for contrast in results["contrasts"]:
        assert f"{contrast['of_averaged']['aupro']['difference']:+.3f}" in page


def test_a_single_category_has_no_mean(dataset: Path, tmp_path: Path, steps: Any, ruler: Any) -> None:
    request = BenchmarkRequest(dataset, tmp_path / "bench", VARIANTS[4:6], seeds=1)
    results = run_benchmark(request, ruler=ruler, run_step=steps, command=[])
    text = (tmp_path / "bench/results.md").read_text()
    assert {row["category"] for row in results["rows"]} == {"tiles"}
    assert MEAN not in text
    assert "averaged maps" not in text  # of one seed they are the maps
    assert "±" not in text.split("## tiles")[1]


def test_when_everything_fails_there_is_still_a_page(dataset: Path, tmp_path: Path, steps: Any, ruler: Any) -> None:
    steps.fails = lambda step: "no torch (exit code 1)"
    request = BenchmarkRequest(dataset, tmp_path / "bench", VARIANTS, seeds=1)
    run_benchmark(request, ruler=ruler, run_step=steps, command=[])
    assert "no torch" in (tmp_path / "bench/index.html").read_text()
    assert "| unet-fmas | failed |" in (tmp_path / "bench/results.md").read_text()


def test_words() -> None:
    assert figure_words(None) == "\N{EN DASH}"
    assert figure_words({"mean": None, "spread": None, "lower": None, "upper": None}) == "\N{EN DASH}"
    figure = Figure(0.91234, 0.01, 0.8, 0.95, (0.9, 0.92))
    words = figure_words({name: getattr(figure, name) for name in ("mean", "spread", "lower", "upper")})
    assert words == "0.912 ± 0.010 [0.800, 0.950]"
    assert (p_words(None), p_words(0.0019)) == ("\N{EN DASH}", "0.002")
    assert (seconds_words(None), seconds_words({"train": 60.6})) == ("\N{EN DASH}", "train 61")
    assert finite({"a": [float("nan"), 1.0, ("b", float("inf"))]}) == {"a": [None, 1.0, ["b", None]]}
