"""``fmas select`` and ``--intensity``: what they print where, and how they end."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fmas.intensity import INTENSITIES, band_text
from fmas.validate import validate_output

STRONG = band_text(INTENSITIES["strong"])


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    """Return the folder where finished outputs are kept for the whole module."""
    return tmp_path_factory.mktemp("workshop")


@pytest.fixture
def made(workshop, fmas, tiles):
    """Return a function: the output of the built-in components with an intensity; not to be changed."""

    def make(intensity):
        out = workshop / intensity
        if not out.exists():
            result = fmas("run", tiles, "--out", out, "--intensity", intensity, "--per-image", 2)
            assert result.exit_code == 0, result.output
        return out

    return make


@pytest.fixture
def out(made, tmp_path):
    """Return a finished output of six pairs of middle intensity."""
    return Path(shutil.copytree(made("medium"), tmp_path / "out"))


def test_the_data_set_is_that_of_a_run_with_that_intensity(fmas, made, out, tree):
    result = fmas("select", out, "--intensity", "strong")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert re.fullmatch(r"\d pairs? of 6 got another candidate, \d keep theirs, failed 0 in \d+\.\d s", lines[0])
    assert lines[1].startswith(f"in the band {STRONG}: ")
    assert [line[: len("scores candidates:")].strip() for line in lines[2:]] == [
        "scores chosen befo",
        "scores chosen:",
        "scores candidates:",
    ]
    assert tree(out) == tree(made("strong"))
    assert validate_output(out).problems == ()
    assert fmas("select", out, "--intensity", "medium").exit_code == 0
    assert tree(out) == tree(made("medium"))


def test_dry_run_writes_nothing(fmas, made):
    out = made("medium")
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    result = fmas("select", out, "--intensity", "0.3:0.9", "--dry-run")
    assert result.exit_code == 0
    assert " of 6 would get another candidate, " in result.stdout
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_json_is_the_whole_result(fmas, out):
    said = json.loads(fmas("select", out, "--intensity", "subtle", "--dry-run", "--json").stdout)
    done = json.loads(fmas("select", out, "--intensity", "subtle", "--json").stdout)
    assert set(done) == {
        "out", "dry_run", "band_before", "band", "pairs", "changed", "rewritten", "failed", "scores", "notes",
        "seconds", "counts",
    }  # fmt: skip
    assert (said["dry_run"], done["dry_run"], said["counts"], done["counts"]["pairs"]) == (True, False, None, 6)
    assert done["band"] == list(INTENSITIES["subtle"])
    assert done["band_before"] == list(INTENSITIES["medium"])
    assert said["scores"] == done["scores"]
    assert set(done["scores"]["chosen"]) == {
        "number", "inside", "mean", "lowest", "p05", "p25", "median", "p75", "p95", "highest",
    }  # fmt: skip


def test_missing_candidates_end_with_code_3_and_fmas_run_paints_them(fmas, out, tiles, made, tree):
    for path in (out / "candidates").rglob("*.png"):
        if path.parent.name != "000000":
            path.unlink()
    result = fmas("select", out, "--intensity", "strong")
    assert result.exit_code == 3
    assert "failed: pair " in result.stderr
    assert "run the same fmas run with this --intensity to paint the pair again" in result.stderr
    assert not validate_output(out).ok
    assert fmas("run", tiles, "--out", out, "--per-image", 2, "--intensity", "strong").exit_code == 0
    assert tree(out) == tree(made("strong"))
    assert validate_output(out).problems == ()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ("nowhere", "--intensity", "strong"),
            2,
            "expected the output folder of fmas run, got 'nowhere' without a run.json",
        ),
        (("OUT", "--intensity", "very"), 2, "--intensity: expected subtle, medium, strong or LO:HI such as 0.1:0.25"),
        (("OUT", "--intensity", "0.5:0.1"), 2, "expected the band as LOW, HIGH with LOW <= HIGH"),
        (("", "--intensity", "strong"), 2, "expected a path, got ''"),
        (("OUT",), 2, "Missing option '--intensity'"),
    ],
)
def test_wrong_usage(fmas, made, arguments, code, message):
    result = fmas("select", *(made("medium") if argument == "OUT" else argument for argument in arguments))
    assert result.exit_code == code
    assert message in " ".join(result.stderr.split())


def test_no_candidates_kept_is_one_line(fmas, out):
    shutil.rmtree(out / "candidates")
    result = fmas("select", out, "--intensity", "strong")
    assert result.exit_code == 1
    assert result.stderr.startswith(
        f"error: expected {out / 'candidates'}, where a run keeps its candidates, got no such"
    )
    assert result.stderr.count("\n") == 1


def test_a_run_with_another_intensity_names_the_command(fmas, out, tiles):
    result = fmas("run", tiles, "--out", out, "--per-image", 2, "--intensity", "strong")
    assert result.exit_code == 1
    assert f"fmas select {out} --intensity {STRONG}; or choose another --out" in result.stderr


def test_config_show_names_the_band(fmas):
    result = fmas("config", "show", "--intensity", "subtle", "--json")
    rows = {row["key"]: row for row in json.loads(result.stdout)}
    assert rows["select.band"] == {"key": "select.band", "value": list(INTENSITIES["subtle"]), "origin": "command line"}
    result = fmas("config", "show", "--intensity", "very")
    assert result.exit_code == 2
    assert "select.band: expected subtle, medium, strong or LO:HI" in result.stderr


def test_a_project_file_may_name_the_word(fmas, tmp_path):
    (tmp_path / "fmas.yaml").write_text("select: {band: strong}\n")
    rows = {row["key"]: row["value"] for row in json.loads(fmas("config", "show", "--json").stdout)}
    assert rows["select.band"] == list(INTENSITIES["strong"])


def test_killed_by_the_system_it_is_finished_by_the_next(fmas, out, made, tree):
    """A real death, wherever it happens to come: the deaths at every single write are in test_reselect.py."""
    command = [sys.executable, "-m", "fmas", "select", str(out), "--intensity", "strong"]
    manifest = out / "manifest/shard-1-of-1.jsonl"
    size = manifest.stat().st_size
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while manifest.stat().st_size == size and process.poll() is None:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not validate_output(out).ok
    assert fmas("select", out, "--intensity", "strong").exit_code == 0
    assert tree(out) == tree(made("strong"))
    assert validate_output(out).problems == ()
