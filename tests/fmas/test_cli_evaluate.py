"""``fmas evaluate`` hands everything to ``fmas-evaluate``, and says how to get it where it is missing."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import pytest

INSTALLED = importlib.util.find_spec("fmas_evaluate") is not None
needs_it = pytest.mark.skipif(not INSTALLED, reason="needs fmas-evaluate: pip install 'fmas[evaluate]'")


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], str]]:
    """Put a command in place that writes down how it is called and ends with code 7."""
    calls: list[tuple[list[str], str]] = []

    def main(arguments: Sequence[str], *, program: str) -> int:
        calls.append((list(arguments), program))
        return 7

    package, cli = ModuleType("fmas_evaluate"), ModuleType("fmas_evaluate.cli")
    cli.main = main  # type: ignore[attr-defined]
    package.cli = cli  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "fmas_evaluate", package)
    monkeypatch.setitem(sys.modules, "fmas_evaluate.cli", cli)
    return calls


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--help"],
        ["-h"],
        ["--maps", "a b", "--truth", "ä", "--max-fpr", "0.3", "0.05", "--csv", "-", "-q"],
        ["--unknown=1", "--json", "-xyz", "stray", "--maps="],
        ["--version"],
    ],
)
def test_arguments_and_exit_code_pass_unchanged(
    fmas: Callable[..., Any], received: list[tuple[list[str], str]], arguments: list[str]
) -> None:
    assert fmas("evaluate", *arguments).exit_code == 7
    assert received == [(arguments, "fmas evaluate")]


class _Absent:
    """Finds nothing for the package, as an interpreter without it does."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.partition(".")[0] == "fmas_evaluate":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "fmas_evaluate"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [_Absent(), *sys.meta_path])


@pytest.mark.usefixtures("missing")
def test_where_it_is_missing_it_says_how_to_get_it(fmas: Callable[..., Any]) -> None:
    result = fmas("evaluate", "--maps", "a", "--truth", "b")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        'error: expected fmas-evaluate, which measures, got no such package; install it: pip install "fmas[evaluate]"\n'
    )


@pytest.mark.usefixtures("missing")
def test_help_is_given_without_it(fmas: Callable[..., Any]) -> None:
    result = fmas("evaluate", "--help")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "PRO" in result.stdout
    assert 'pip install "fmas[evaluate]"' in result.stdout


def test_a_fault_inside_it_is_not_called_missing(fmas: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "fmas_evaluate.cli", raising=False)
    monkeypatch.setitem(sys.modules, "fmas_evaluate", ModuleType("fmas_evaluate"))  # one without a command
    result = fmas("evaluate", "--help")
    assert isinstance(result.exception, ModuleNotFoundError)
    assert result.exception.name == "fmas_evaluate.cli"


@needs_it
def test_it_answers_under_its_own_name(fmas: Callable[..., Any]) -> None:
    result = fmas("evaluate", "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith("usage: fmas evaluate ")
    assert "fmas-evaluate" not in result.stdout
    result = fmas("evaluate", "--maps", ".")
    assert result.exit_code == 2
    assert "fmas evaluate: error: the following arguments are required: --truth" in result.stderr
