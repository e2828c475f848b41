"""Every code block about fmas_evaluate runs and prints what the page says it prints; the commands work on files."""

from __future__ import annotations

import contextlib
import io
import itertools
import re
import shlex
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
README = ROOT / "packages/evaluate/README.md"  # its blocks carry no mark, which a reader of the raw file would see
PAGES = [
    README,
    ROOT / "docs/explanation/measuring-detectors.md",
    *sorted((ROOT / "docs/how-to").glob("evaluate-*.md")),
]
NEEDS = {"runnable_evaluate": (), "torch_evaluate": ("torch",), "torchmetrics_evaluate": ("torch", "torchmetrics")}
WRITES = {"--html", "--csv", "--markdown", "--latex"}
NEEDED_BY_THE_COMMAND = ("PIL", "tifffile", "matplotlib", "rich")
BLOCK = re.compile(
    r"^(?:<!-- (?P<marker>\w+) -->\n)?```python\n(?P<code>.*?)^```\n(?:\n```text\n(?P<output>.*?)^```\n)?", re.M | re.S
)
BLOCKS = [
    pytest.param(match["marker"] or "runnable_evaluate", match["code"], match["output"], id=f"{page.stem}-{number}")
    for page in PAGES
    for number, match in enumerate(BLOCK.finditer(page.read_text(encoding="utf-8")))
]


def commands() -> Iterator[list[str]]:
    for page in PAGES:
        for block in re.findall(r"^```sh\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S):
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith("fmas-evaluate "):
                    yield shlex.split(line, comments=True)[1:]


COMMANDS = sorted({shlex.join(one) for one in commands()})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_is_marked(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    markers = [match["marker"] for match in BLOCK.finditer(text)]
    assert text.count("```python\n") == len(markers) > 0
    assert set(markers) <= ({None} if page == README else set(NEEDS))


@pytest.mark.parametrize(("marker", "code", "output"), BLOCKS)
def test_a_block_runs(
    marker: str, code: str, output: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = [name for name in NEEDS[marker] if find_spec(name) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    monkeypatch.chdir(tmp_path)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), warnings.catch_warnings():
        warnings.simplefilter("error")
        exec(compile(code, f"{marker} block", "exec"), {"__name__": "__main__"})  # noqa: S102 (our own documents)
    assert output is not None, "a block prints something, and the page shows it"
    assert printed.getvalue() == output


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write what the pages' commands name: maps of two models, masks, image scores."""
    missing = [name for name in NEEDED_BY_THE_COMMAND if find_spec(name) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}: pip install 'fmas-evaluate[cli]'")
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    rows = ["path,score,verdict"]
    for number in range(6):
        defect = "good" if number % 2 else "crack"
        mask = np.zeros((40, 60), dtype=np.uint8)
        if defect == "crack":
            mask[10:15, 5:40] = 255
            (tmp_path / "ground_truth/crack").mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask).save(tmp_path / f"ground_truth/crack/{number:03}_mask.png")
        for folder in ("maps", "old/maps", "new/maps"):
            place = tmp_path / folder / defect
            place.mkdir(parents=True, exist_ok=True)
            scores = random.normal(size=mask.shape).astype(np.float32) + mask / np.float32(100)
            Image.fromarray(scores).save(place / f"{number:03}.tiff")
        rows.append(f"{defect}/{number:03}.png,{random.random():.3f},")
    (tmp_path / "scores.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_runs(command: str, folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from fmas_evaluate.cli import main

    arguments = shlex.split(command)
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = stop.code
    assert code in (0, None), capsys.readouterr().err
    assert capsys.readouterr().out
    written = [name for option, name in itertools.pairwise(arguments) if option in WRITES]
    assert [name for name in written if not (folders / name).stat().st_size] == []


def test_there_are_commands() -> None:
    assert len(COMMANDS) >= 4
