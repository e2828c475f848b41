"""docs/tutorial/inspect-a-batch.md, block by block, with a shorter training; and the snippet of the how-to page."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("safetensors")
pytest.importorskip("wdam")

DOCS = Path(__file__).parents[2] / "docs"
TUTORIAL = DOCS / "tutorial" / "inspect-a-batch.md"
HOW_TO = DOCS / "how-to" / "train-a-detector.md"
BUDGET = {
    "run": ["--candidates", "1"],
    "train": ["--steps", "12", "--set", "width=4", "--set", "crop=64", "--set", "threads=1"],
}
"""What a block's command gets besides, so that it takes seconds."""


def commands() -> list[list[str]]:
    """Return the commands after the installation, in order."""
    blocks = re.findall(r"^```sh\n(.*?)^```", TUTORIAL.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    install, *others = blocks
    assert "packages/fmas-providers[detector]" in install
    return [shlex.split(line) for block in others for line in block.splitlines()]


def called(words: list[str], folder: Path) -> str:
    program, *arguments = words
    module = ["-m", "fmas"] if program == "fmas" else []
    assert program in ("fmas", "python")
    extra = BUDGET.get(arguments[0], []) if module else []
    done = subprocess.run(
        [sys.executable, *module, *arguments, *extra],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_the_tutorial_leads_from_good_parts_to_a_measured_batch(tmp_path: Path) -> None:
    ((script,),) = [
        re.findall(r'^```python title="photographs.py"\n(.*?)^```', TUTORIAL.read_text("utf-8"), re.M | re.S)
    ]
    (tmp_path / "photographs.py").write_text(script, encoding="utf-8")
    done = commands()
    spoken = [" ".join(words[:2]) for words in done]
    assert spoken == [
        *("fmas doctor", "python photographs.py", "fmas run", "fmas validate", "fmas report", "fmas train"),
        *("fmas inspect", "fmas evaluate"),
    ]
    if not _evaluate_is_installed():
        done = done[:-1]
    said = {" ".join(words[:2]): called(words, tmp_path) for words in done}

    assert (tmp_path / "out" / "report.html").is_file()
    assert "threshold" in said["fmas train"]
    assert "learnt from" in (tmp_path / "model" / "README.md").read_text(encoding="utf-8").lower()
    with (tmp_path / "inspection" / "scores.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["path"] for row in rows) == sorted(
        path.relative_to(tmp_path / "batch").as_posix() for path in (tmp_path / "batch").rglob("*.png")
    )
    assert len(rows) == 12
    assert {row["verdict"] for row in rows} <= {"good", "anomalous"}
    tree = re.findall(r"^    (\S+)  ", TUTORIAL.read_text(encoding="utf-8").partition("```text\ninspection/")[2], re.M)
    assert len(tree) == 4
    assert all((tmp_path / "inspection" / name).exists() for name in tree)
    if "fmas evaluate" in said:
        assert "AUROC" in said["fmas evaluate"] or "auroc" in said["fmas evaluate"]


def test_a_picture_of_the_batch_among_the_good_parts_is_refused(tmp_path: Path) -> None:
    """What the page says of ``--holdout``."""
    (script,) = re.findall(r'^```python title="photographs.py"\n(.*?)^```', TUTORIAL.read_text("utf-8"), re.M | re.S)
    (tmp_path / "photographs.py").write_text(script, encoding="utf-8")
    words = {" ".join(words[:2]): words for words in commands()}
    called(words["python photographs.py"], tmp_path)
    (tmp_path / "good" / "000.png").write_bytes((tmp_path / "batch" / "good" / "000.png").read_bytes())
    called([*words["fmas run"], "--limit", "5"], tmp_path)
    with pytest.raises(AssertionError, match="held"):
        called(words["fmas train"], tmp_path)


def test_the_snippet_of_the_how_to_page_trains(tmp_path: Path) -> None:
    ((snippet,),) = [re.findall(r"^<!-- detector -->\n```python\n(.*?)^```", HOW_TO.read_text("utf-8"), re.M | re.S)]
    (tmp_path / "snippet.py").write_text(snippet.replace('"steps": 40', '"steps": 6'), encoding="utf-8")
    called(["fmas", "demo", "--out", "."], tmp_path)
    threshold, steps = called(["python", "snippet.py"], tmp_path).split()
    assert float(threshold) > 0
    assert int(steps) == 6
    about = json.loads((tmp_path / "model" / "model.json").read_text(encoding="utf-8"))
    assert about["detector"] == "unet" or about["detector"]["name"] == "unet"


def _evaluate_is_installed() -> bool:
    from importlib.util import find_spec

    return find_spec("fmas_evaluate") is not None
