"""``fmas benchmark`` on the command line."""

from __future__ import annotations

import builtins
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from fmas.benchmark import benchmark as library
from fmas.cli import benchmark as command


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch, steps: Any, ruler: Any) -> Any:
    """Call the command with our steps and our ruler."""
    app = typer.Typer()
    command.register(app)
    app.callback()(lambda: None)
    run = library.run_benchmark
    monkeypatch.setattr(command, "_ruler", lambda: ruler)
    monkeypatch.setattr(library, "run_benchmark", lambda request, **given: run(request, run_step=steps, **given))
    return lambda *arguments: CliRunner().invoke(app, ["benchmark", *map(str, arguments)])


def test_quick_runs_four_cells_and_prints_them(invoke: Any, dataset: Path, tmp_path: Path) -> None:
    result: Result = invoke(dataset, "--out", tmp_path / "bench", "--quick")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert [line.split(":")[0] for line in lines[:4]] == [
        "tiles, unet-scars",
        "tiles, unet-scars+wdam",
        "tiles, unet-fmas",
        "tiles, unet-fmas+wdam",
    ]
    assert any(line.startswith("tiles, FMAS instead of scars: image AUROC +") and "p = " in line for line in lines)
    assert "4 of 4 cells" in result.stderr
    assert {path.name for path in (tmp_path / "bench").iterdir()} >= {
        "results.json",
        "results.csv",
        "results.md",
        "index.html",
    }


def test_json_is_what_results_json_holds(invoke: Any, dataset: Path, tmp_path: Path) -> None:
    result = invoke(dataset, "--out", tmp_path / "bench", "--variants", "unet-fmas", "--seeds", 2, "--json")
    assert json.loads(result.stdout) == json.loads((tmp_path / "bench/results.json").read_text())
    assert json.loads(result.stdout)["seeds"] == 2


def test_without_options_everything_runs_three_times(invoke: Any, dataset: Path, tmp_path: Path, steps: Any) -> None:
    assert invoke(dataset, "--out", tmp_path / "bench").exit_code == 0
    assert steps.names().count("train") == 8 * 3


def test_a_failed_cell_gives_exit_code_3(invoke: Any, dataset: Path, tmp_path: Path, steps: Any) -> None:
    steps.fails = lambda step: "no timm (exit code 1)" if "cutpaste" in step.arguments else ""
    result = invoke(dataset, "--out", tmp_path / "bench", "--seeds", 1)
    assert result.exit_code == 3
    assert "tiles, cutpaste: failed" in result.stdout
    assert "failed: cutpaste, seed 0: train: no timm (exit code 1)" in result.stderr


def test_wrong_usage_gives_exit_code_2(invoke: Any, dataset: Path, tmp_path: Path) -> None:
    for arguments, said in (
        (["--variants", "unet"], "expected a variant"),
        (["--seeds", "0"], "--seeds of at least 1"),
        (["--category", "wood"], "known: tiles"),
    ):
        result = invoke(dataset, "--out", tmp_path / "bench", *arguments)
        assert (result.exit_code, said in result.stderr) == (2, True), result.stderr


def test_another_benchmarks_folder_gives_exit_code_1(invoke: Any, dataset: Path, tmp_path: Path) -> None:
    assert invoke(dataset, "--out", tmp_path / "bench", "--quick").exit_code == 0
    result = invoke(dataset, "--out", tmp_path / "bench", "--quick", "--steps", 3)
    assert result.exit_code == 1
    assert "steps was None, now 3" in result.stderr


def test_without_the_ruler_nothing_starts(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = typer.Typer()
    command.register(app)
    app.callback()(lambda: None)
    original = builtins.__import__

    def without(name: str, *given: Any, **further: Any) -> Any:
        if name == "fmas_evaluate":
            raise ModuleNotFoundError("No module named 'fmas_evaluate'", name="fmas_evaluate")
        return original(name, *given, **further)

    monkeypatch.delitem(sys.modules, "fmas_evaluate", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    result = CliRunner().invoke(app, ["benchmark", str(dataset), "--out", str(tmp_path / "bench")])
    assert result.exit_code == 1
    assert 'pip install "fmas[evaluate]"' in result.stderr
    assert not (tmp_path / "bench").exists()
