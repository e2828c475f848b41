"""The README's two commands, what CI runs, and the sessions behind them are the same thing."""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
NOXFILE = ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8"))
NOT_IN_CI = {"bench", "demo"}


def commands_in_readme() -> list[str]:
    blocks = re.findall(r"^```(?:sh|bash|console)\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def command_in_ci() -> str:
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    (command,) = [line for line in lines if "venv" in line and not line.startswith("#")]
    return command


def sessions_in_noxfile() -> set[str]:
    functions = [node for node in NOXFILE.body if isinstance(node, ast.FunctionDef)]
    return {
        node.name for node in functions if any("nox.session" in ast.unparse(entry) for entry in node.decorator_list)
    }


def sessions_that_run_by_default() -> set[str]:
    for node in NOXFILE.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "nox.options.sessions":
            return set(ast.literal_eval(node.value))
    raise AssertionError("noxfile.py sets no nox.options.sessions")


def test_ci_runs_the_readme_test_command() -> None:
    assert command_in_ci() in commands_in_readme()
    assert command_in_ci().endswith("nox"), "CI runs every default session"


def test_ci_script_can_be_started_and_fails_with_nox() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    lines = script.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert "set -euo pipefail" in lines
    assert lines[-1] == command_in_ci(), "the last command's status is the script's"


def test_both_commands_start_from_nothing() -> None:
    from_nothing = [line for line in commands_in_readme() if line.startswith("python3 -m venv .venv && ")]
    assert [line.rsplit("/", 1)[-1] for line in from_nothing] == ["fmas demo", "nox"]
    for line in from_nothing:
        # Debian's own Python refuses to be installed into, so every step after the first uses the environment's.
        assert all(step.startswith(".venv/bin/") for step in line.split(" && ")[1:])


def test_every_session_but_demo_and_bench_runs_by_default() -> None:
    assert sessions_in_noxfile() - sessions_that_run_by_default() == NOT_IN_CI
    assert sessions_that_run_by_default() <= sessions_in_noxfile()


def test_contributing_names_every_session() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert {name for name in sessions_in_noxfile() if f"`{name}" not in text} == set()
