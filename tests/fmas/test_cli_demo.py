"""``fmas demo``: the whole job in one command, and what it does when its own result is wrong."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from fmas.demo_photographs import write_demo_photographs


@pytest.fixture
def demo(fmas, monkeypatch):
    """Run the demo on a single photograph."""
    monkeypatch.setattr("fmas.demo_photographs._COUNT", 1)
    return lambda *arguments: fmas("demo", *arguments)


def test_demo_is_careful_with_its_folder(fmas, tmp_path):
    result = fmas("demo", "--json")
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert content["made"] == 12
    assert (tmp_path / content["report"]).is_file()
    assert json.loads(fmas("demo", "--json").stdout)["kept"] == 12
    (tmp_path / "fmas-demo/photographs/mine.jpg").write_bytes(b"mine")
    result = fmas("demo")
    assert result.exit_code == 1
    assert "expected a folder of the demo's own" in result.stderr


def test_demo_runs_validates_and_reports(demo, tmp_path):
    result = demo()
    assert result.exit_code == 0, result.output
    assert f"look at it: {(tmp_path / 'fmas-demo/out/report.html').resolve().as_uri()}" in result.stdout
    assert [path.name for path in (tmp_path / "fmas-demo/photographs").iterdir()] == ["brick_00.png"]
    assert demo().stdout.startswith("made 0, kept 1, failed 0 in ")


def test_demo_photographs_are_the_same_everywhere_and_differ(tmp_path, monkeypatch):
    monkeypatch.setattr("fmas.demo_photographs._COUNT", 3)
    one, two = (write_demo_photographs(tmp_path / name) for name in "ab")
    contents = [path.read_bytes() for path in sorted(one.iterdir())]
    assert contents == [path.read_bytes() for path in sorted(two.iterdir())]
    assert len(set(contents)) == 3


def test_demo_that_breaks_its_own_rules_fails(demo, monkeypatch):
    monkeypatch.setattr("fmas.validate.validate_output", lambda out: SimpleNamespace(problems=("a lie",)))
    result = demo()
    assert result.exit_code == 1
    assert "error: the data set breaks its own rules: a lie" in result.stderr


def test_demo_ends_as_its_run_ends(demo, monkeypatch):
    monkeypatch.setattr("fmas.summary.RunSummary.exit_code", 3)
    assert demo().exit_code == 3
