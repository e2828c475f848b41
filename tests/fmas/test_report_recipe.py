"""The report's recipe: the command it shows makes the same picture again and does not tell whose machine it was."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from fmas.cli.app import build_app
from fmas.layout import OutputLayout
from fmas.plugins import load_plugins
from fmas.report.recipe import LIMIT, remake_commands


@pytest.mark.parametrize("settings", [None, "no: [yaml", "- a list", "{}", "images: 7\nout: ''\n"])
def test_settings_that_are_not_there_leave_placeholders(tmp_path: Path, settings: str | None) -> None:
    if settings is not None:
        (tmp_path / "config.resolved.yaml").write_text(settings, "utf-8")
    assert remake_commands(OutputLayout(tmp_path, "part"))["first"] == (
        "mkdir OUT-again && cp OUT/plan.json OUT-again/ && "
        "fmas run IMAGES --config OUT/config.resolved.yaml --out OUT-again --limit {limit}"
    )


def test_absolute_paths_are_shortened_and_odd_names_quoted(tmp_path: Path) -> None:
    content = {"images": "/home/somebody/my parts", "out": "it's", "shard": [2, 3]}
    (tmp_path / "config.resolved.yaml").write_text(yaml.safe_dump(content), "utf-8")
    commands = remake_commands(OutputLayout(tmp_path, "part"))
    assert "somebody" not in "".join(commands.values())
    run = shlex.split(commands["first"].rpartition("&& ")[2])
    assert run == [
        *("fmas", "run", "/path/to/my parts", "--config", "it's/config.resolved.yaml"),
        *("--out", "it's-again", "--shard", "1/1", "--limit", LIMIT),
    ]
    assert shlex.split(commands["refilled"])[3:7] == ["cp", "it's/plan.json", "it's/decisions.jsonl", "it's-again/"]


def test_the_command_makes_the_same_picture_again(
    fmas: Callable[..., object], tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ["run", tiles.name, "--out", "out", "--seed", "3", "--per-image", "2", "--set", "llm.name=builtin"]
    assert fmas(*given).exit_code == 0  # type: ignore[attr-defined]
    (image,) = (tmp_path / "out").glob("dataset/*/test/*/000003.png")
    expected = image.read_bytes()
    command = remake_commands(OutputLayout(tmp_path / "out", "blue_tiles"))["first"]
    made, copied, run = command.replace(LIMIT, str(3 // 2 + 1)).split(" && ")
    assert shlex.split(made) == ["mkdir", "out-again"]
    (tmp_path / "out-again").mkdir()
    _, source, target = shlex.split(copied)
    shutil.copy(tmp_path / source, tmp_path / target)
    result = CliRunner().invoke(build_app(load_plugins()), shlex.split(run)[1:])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out-again" / image.relative_to(tmp_path / "out")).read_bytes() == expected
    assert not list((tmp_path / "out-again").glob("dataset/*/test/*/000004.png")), "no more than needed"
