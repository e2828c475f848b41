"""The figure: drawn in every format, the same bytes for the same numbers, refused where there is nothing to draw."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fmas_evaluate import extras
from fmas_evaluate.cli import main

matplotlib = pytest.importorskip("matplotlib", reason="needs matplotlib (extra cli)")

STARTS = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF", "PNG": b"\x89PNG"}


@pytest.fixture
def plot(tmp_path: Path) -> Callable[..., bytes]:
    """Return a function that runs the command and returns the figure it wrote."""

    def draw(folders: Any, ending: str, *arguments: object) -> bytes:
        target = tmp_path / f"figure.{ending}"
        given = ["--maps", folders.maps, "--truth", folders.truth, "--plot", target, *arguments]
        assert main([str(one) for one in given]) == 0
        return target.read_bytes()

    return draw


@pytest.mark.parametrize("ending", STARTS)
def test_every_format(plot: Callable[..., bytes], folders: Any, ending: str) -> None:
    assert plot(folders, ending).startswith(STARTS[ending])


@pytest.mark.parametrize("ending", ["svg", "png", "pdf"])
def test_the_same_numbers_give_the_same_bytes(plot: Callable[..., bytes], folders: Any, ending: str) -> None:
    assert plot(folders, ending) == plot(folders, ending)


def test_it_says_what_it_shows(plot: Callable[..., bytes], folders: Any, make_folders: Any) -> None:
    other = make_folders(*folders.scores, seed=1, where="$other_{name}")
    text = plot(folders, "svg", "--max-fpr", "0.05", "--compare", other.maps, "--bootstrap", "5").decode()
    for words in ("ROC: AUROC 0.", "PR: AP 0.", "PRO@0.05: 0.", "false-positive rate", "$other_{name}"):
        assert words in text


def test_a_figure_leaves_no_trace_in_matplotlib(plot: Callable[..., bytes], folders: Any) -> None:
    before = dict(matplotlib.rcParams)
    plot(folders, "svg")
    assert dict(matplotlib.rcParams) == before


def test_without_defects_there_is_nothing_to_draw(
    make_folders: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = make_folders("good/0")
    target = tmp_path / "figure.png"
    assert main(["--maps", str(folders.maps), "--truth", str(folders.truth), "--plot", str(target)]) == 1
    assert "error: expected defect and normal pixels for curves" in capsys.readouterr().err
    assert not target.exists()


def test_without_matplotlib_it_fails_before_anything_is_read(
    folders: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(extras.importlib, "import_module", missing)
    (folders.maps / "crack/000.npy").write_bytes(b"broken")
    target = tmp_path / "figure.png"
    assert main(["--maps", str(folders.maps), "--truth", str(folders.truth), "--plot", str(target)]) == 1
    expected = "expected matplotlib to draw curves, got no such package; install it: pip install 'fmas-evaluate[cli]'"
    assert capsys.readouterr().err == f"error: {expected}\n"
