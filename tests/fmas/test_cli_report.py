"""``fmas report`` on the command line: what it prints, and how it ends when there is nothing to show."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from fmas import synthesize
from fmas.cli import report


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    app.callback()(lambda: None)  # a single command would otherwise lose its name
    report.register(app)
    return app


@pytest.fixture
def out(
    fakes: dict[str, object],
    make_registry: Callable[..., Any],
    make_config: Callable[..., Any],
    photographs: Path,
) -> Path:
    (photographs / "part_5.png").write_bytes(b"no image")
    config = make_config()
    synthesize(config, registry=make_registry(fakes))
    return Path(config.out)


def test_prints_the_path_and_an_address_to_open(app: typer.Typer, out: Path) -> None:
    result = CliRunner().invoke(app, ["report", str(out)])
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [str(out / "report.html"), (out / "report.html").resolve().as_uri()]
    assert (out / "report.html").read_text("utf-8").startswith("<!DOCTYPE html>")


def test_json_counts_pairs_and_failures(app: typer.Typer, out: Path) -> None:
    result = CliRunner().invoke(app, ["report", str(out), "--json", "--most", "2"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {"report": str(out / "report.html"), "pairs": 5, "failures": 1}
    assert (out / "report.html").read_text("utf-8").count('class="pair"') == 2


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_shown_to_who_watches_and_to_nobody_else(
    app: typer.Typer, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert CliRunner().invoke(app, ["report", str(out)]).stderr == ""
    screen = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", screen)
    report.report(out, most=3)
    assert "pairs" in screen.getvalue()
    assert "3/3" in screen.getvalue()


def test_no_output_folder_is_one_line_and_exit_code_2(app: typer.Typer, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: expected the output folder of fmas run")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("arguments", [[], ["--most", "0"], ["--most", "few"]])
def test_wrong_usage_is_exit_code_2(app: typer.Typer, out: Path, arguments: list[str]) -> None:
    result = CliRunner().invoke(app, ["report", *([str(out), *arguments] if arguments else [])])
    assert result.exit_code == 2
