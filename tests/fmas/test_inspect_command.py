"""``fmas inspect``: what is printed, what is returned, and that it can be interrupted."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import fmas.inspection
from fmas.cli import inspect


@pytest.fixture
def spots(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    return importlib.import_module("numpy_detector")


@pytest.fixture
def invoke(spots, tmp_path, monkeypatch):
    """Return a function that runs the command with the explaining detector."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    spots.write_spot_model(tmp_path / "model")
    spots.write_pictures(tmp_path / "photographs", 6)
    plain = fmas.inspection.inspect_images

    def inspect_images(request, *, progress):
        return plain(request, registry=spots.registry_of(create[0]), progress=progress)

    create = [spots.ExplainingSpotDetector]
    monkeypatch.setattr(fmas.inspection, "inspect_images", inspect_images)
    app = typer.Typer()
    inspect.register(app)
    app.command("other")(lambda: None)  # with one command alone Typer leaves its name out

    def go(*arguments, detector=None):
        create[0] = detector or spots.ExplainingSpotDetector
        return CliRunner().invoke(app, ["inspect", *map(str, arguments)])

    return go


def test_summary(invoke):
    result = invoke("model", "photographs", "--out", "out dir")
    assert result.exit_code == 0, result.output
    assert re.search(r"^inspected 6, kept 0, failed 0 in [\d.]+ s, [\d.]+ per second$", result.stdout, re.MULTILINE)
    assert "anomalous 2, good 4 (threshold 0.058)" in result.stdout
    assert "scores: out dir/scores.csv" in result.stdout
    assert "fmas evaluate --maps 'out dir/maps' --truth MASKS" in result.stdout
    assert "6 of 6 photographs" in result.stderr
    again = invoke("model", "photographs", "--out", "out dir")
    assert "inspected 0, kept 6, failed 0" in again.stdout and again.exit_code == 0


def test_json(invoke):
    result = invoke("model", "photographs", "--out", "out", "--json", "--limit", 2, "--threshold", 0.5)
    summary = json.loads(result.stdout)
    assert summary["inspected"] == 2 and summary["threshold"] == 0.5
    assert summary["counts"] == {"good": 2, "anomalous": 0, "failed": 0}


def test_options_reach_the_request(invoke, tmp_path):
    result = invoke(
        "model", "photographs", "--out", "out", "--explain", "--no-overlays", "--no-gate", "--device", "cpu",
        "--set", "seconds=0.001",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    identity = json.loads((tmp_path / "out/inspection.json").read_bytes())["identity"]
    assert identity["detector"]["config"] == {"gate": False}
    assert identity["explain"] is True and identity["overlays"] is False
    assert (tmp_path / "out/explain.csv").is_file() and not (tmp_path / "out/overlays").exists()


def test_one_bad_file_is_told_and_ends_with_3(invoke, tmp_path):
    (tmp_path / "photographs/001.png").write_bytes(b"none")
    (tmp_path / "photographs/readme.txt").touch()
    result = invoke("model", "photographs", "--out", "out")
    assert result.exit_code == 3
    assert "failed: 1; listed in out/failures.jsonl" in result.stdout
    assert "ignored: 1 files that are no images" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("nowhere", "photographs", "--out", "out"), 1, "error: expected a model folder"),
        (("model", "nowhere", "--out", "out"), 2, "error: expected a folder of photographs or one image file"),
        (("model", "photographs", "--out", "out", "--set", "gaet=1"), 2, "did you mean 'gate'"),
        (("model", "photographs", "--out", "out", "--set", "gate"), 2, "expected KEY=VALUE for --set"),
        (("model", "photographs", "--out", "out", "--limit", "0"), 2, "limit"),
        (("model", "photographs", "--out", "out", "--threshold", "high"), 2, "threshold"),
        (("model", "photographs", "--out", "out", "--threshold", "inf"), 2, "finite number"),
        (("model", "photographs", "--out", ""), 2, "expected a path"),
        (("model", "photographs"), 2, "--out"),
        (("model", "photographs", "--out", "model"), 1, "expected an empty folder or one of an earlier fmas inspect"),
    ],
)
def test_errors_are_one_line_and_have_their_code(invoke, arguments, code, message):
    result = invoke(*arguments)
    assert result.exit_code == code, result.output
    assert message in result.stderr


def test_explain_needs_a_detector_that_can(invoke, spots):
    result = invoke("model", "photographs", "--out", "out", "--explain", detector=spots.SpotDetector)
    assert result.exit_code == 2
    assert "leave --explain out" in result.stderr


def test_interruption(invoke, spots):
    class Interrupted(spots.SpotDetector):
        def answer(self, image):
            raise KeyboardInterrupt

    result = invoke("model", "photographs", "--out", "out", detector=Interrupted)
    assert result.exit_code == 130
    assert "interrupted; everything finished is in out; run the same command to go on" in result.stderr


def test_notes_go_to_stderr(invoke, spots, tmp_path):
    spots.write_spot_model(tmp_path / "few", scores=[0.01])
    result = invoke("few", "photographs", "--out", "out")
    assert "note: 1 good picture to calibrate with are too few" in result.stderr
    assert "note" not in result.stdout
