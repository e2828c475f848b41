"""The page on writing a plugin, followed to the letter in an empty folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from fmas.demo_photographs import write_demo_photographs

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "write-a-plugin.md"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Write every file that the page shows."""
    text = PAGE.read_text(encoding="utf-8")
    shown = re.findall(r'^```\w+ title="([^"]+)"\n(.*?)^```', text, flags=re.MULTILINE | re.DOTALL)
    folder = tmp_path / "fmas-provider-darken"
    for name, content in [*shown, ("src/fmas_provider_darken/__init__.py", "")]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    tree = re.findall(
        r"^    ([\w./]+)", text[text.index("```text\nfmas-provider-darken/") :].partition("\n```\n")[0], re.M
    )
    assert sorted(tree) == sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return folder


@pytest.fixture
def installed(project: Path) -> dict[str, str]:
    """Do what ``pip install -e .`` does, without a build: the sources on the path, and the package's metadata."""
    declared = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    about = declared["project"]
    ((packages,),) = (declared["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"],)
    assert (project / packages).is_dir()
    metadata = project / "src" / f"{about['name'].replace('-', '_')}-{about['version']}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {about['name']}\nVersion: {about['version']}\n")
    ((group, points),) = about["entry-points"].items()
    lines = [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]
    (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return dict(os.environ) | {"PYTHONPATH": str(project / "src")}


def run(arguments: list[str], environment: dict[str, str], folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_page_followed_to_the_letter(project: Path, installed: dict[str, str]) -> None:
    commands = [line[2:].split() for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("$ ")]
    assert [words[0] for words in commands] == ["pip", "python", "fmas", "fmas"]
    assert "2 passed" in run(["pytest", "-q", "-p", "no:cacheprovider"], installed, project)
    assert "darken" in run(commands[2], installed, project)
    write_demo_photographs(project / "PHOTOGRAPHS")
    run([*commands[3], "--candidates", "1", "--limit", "2"], installed, project)
    (metadata,) = (project / "out" / "dataset").glob("*/metadata.jsonl")
    rows = [json.loads(line) for line in metadata.read_text(encoding="utf-8").splitlines()]
    assert {row["components"]["inpainter"]["name"] for row in rows} == {"darken"}
    assert len(rows) >= 1
    assert "problems" not in run(["fmas", "doctor"], installed, project)
