"""``fmas validate``: what it prints where, and how it ends."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from fmas.cli.validate import register
from fmas.pipeline import synthesize


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    """Return the folder where the finished output is kept for the whole module."""
    return tmp_path_factory.mktemp("workshop") / "out"


@pytest.fixture
def out(workshop, tmp_path, fakes, make_registry, make_config):
    """Return a finished output of six pairs that may be damaged."""
    if not workshop.exists():
        synthesize(make_config(out=workshop), registry=make_registry(fakes))
    return Path(shutil.copytree(workshop, tmp_path / "copy"))


@pytest.fixture
def run():
    app = typer.Typer()
    app.callback()(lambda: None)  # else Typer drops the name of an only command
    register(app)

    def invoke(*arguments: object):
        return CliRunner().invoke(app, ["validate", *map(str, arguments)])

    return invoke


@pytest.fixture
def damaged(out):
    """Return the output with one extra file per defect folder and the card gone."""
    for folder in (out / "dataset" / "test_part" / "test").iterdir():
        (folder / "notes.txt").write_text("x")
    (out / "dataset" / "test_part" / "README.md").unlink()
    return out


def test_a_flawless_output_is_one_line_and_code_0(run, out):
    result = run(out)
    assert result.exit_code == 0
    assert result.stdout == "ok: 6 pairs, 20 files\n"  # 6 x (twin, image, mask), README.md, metadata.jsonl
    assert result.stderr == ""


def test_problems_one_per_line(run, damaged):
    result = run(damaged)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert [line.rsplit(" ", 1)[1] for line in lines] == ["[card]", "[only-png]", "[only-png]"]
    assert lines[0].startswith("dataset/test_part/README.md: expected a data set card")
    assert all(line.startswith("dataset/test_part/test/") for line in lines[1:])


@pytest.mark.parametrize(("most", "shown"), [(0, 0), (1, 1), (2, 2), (3, 3), (50, 3)])
def test_most_bounds_what_is_shown_and_says_how_to_see_the_rest(run, damaged, most, shown):
    result = run(damaged, "--most", most)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert len([line for line in lines if line.endswith("]")]) == shown
    rest = [line for line in lines if not line.endswith("]")]
    assert rest == ([f"and {3 - shown} more; show them with --most 3"] if shown < 3 else [])


def test_json_of_an_output_that_is_ok(run, out):
    result = run(out, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "ok": True,
        "pairs": 6,
        "held_out": 0,
        "files": 20,
        "problems": [],
        "notes": [],
    }


def test_json_holds_every_problem(run, damaged):
    result = run(damaged, "--json", "--most", 1)
    assert result.exit_code == 1
    content = json.loads(result.stdout)
    assert content["ok"] is False
    assert [problem["rule"] for problem in content["problems"]] == ["card", "only-png", "only-png"]
    assert {frozenset(problem) for problem in content["problems"]} == {frozenset({"rule", "path", "message"})}


def test_notes_go_to_stderr(run, out):
    (out / ".tmp" / "left.part").write_bytes(b"x")
    result = run(out)
    assert result.exit_code == 0
    assert result.stdout == "ok: 6 pairs, 20 files\n"
    assert result.stderr.startswith("note: 1 file in .tmp")


def test_missing_folder_is_a_usage_error(run, tmp_path):
    result = run(tmp_path / "nowhere")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "expected the output folder of a run, got nothing" in result.stderr


def test_file_instead_of_a_folder_is_a_usage_error(run, out):
    result = run(out / "run.json")
    assert result.exit_code == 2
    assert "got a file" in result.stderr


def test_empty_folder_is_a_usage_error(run, tmp_path):
    (tmp_path / "empty").mkdir()
    result = run(tmp_path / "empty")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "name the folder that was given to fmas run --out" in result.stderr


def test_one_pair_is_no_pairs(run, tmp_path, fakes, make_registry, make_config):
    config = make_config(out=tmp_path / "one", limit=1)
    synthesize(config, registry=make_registry(fakes))
    result = run(config.out)
    assert result.stdout == "ok: 1 pair, 5 files\n"


def test_nothing_finished_is_explained(run, tmp_path, fakes, make_registry, make_config):
    fakes["inpainter"].paint = lambda job: job.image
    config = make_config(out=tmp_path / "none")
    synthesize(config, registry=make_registry(fakes))
    result = run(config.out)
    assert result.exit_code == 1
    (line,) = result.stdout.splitlines()
    assert line.startswith("dataset: expected a finished pair, got none: all 6 pairs failed (6 x rejected); read ")


@pytest.mark.parametrize("arguments", [(), ("OUT", "--most", "-1"), ("OUT", "--strict")])
def test_wrong_usage(run, arguments):
    assert run(*arguments).exit_code == 2


@pytest.mark.integration
def test_names_that_the_terminal_cannot_show(out):
    (out / "dataset" / "test_part" / "bücher.txt").write_text("x")
    program = "import typer; from fmas.cli.validate import validate; typer.run(validate)"
    result = subprocess.run(
        [sys.executable, "-c", program, str(out)],
        capture_output=True,
        check=False,
        env={"PYTHONIOENCODING": "ascii:strict"},
    )
    assert result.returncode == 1, result.stderr
    assert b"b\\xfccher.txt" in result.stdout
