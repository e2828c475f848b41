"""Commands in child processes: what they say, how they fail, and that they end with their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from fmas.benchmark import steps as steps_module
from fmas.benchmark.cells import Step
from fmas.benchmark.steps import ChildProcesses, thread_variables

pytestmark = pytest.mark.integration


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands for ``python -m fmas.benchmark.leash``: runs its first argument as Python code."""
    runner = tmp_path / "runner"
    runner.write_text(f'#!/bin/sh\nshift 2\nexec {sys.executable} -c "$@"\n')
    runner.chmod(0o755)
    monkeypatch.setattr(steps_module.sys, "executable", str(runner))
    return runner


def step(code: str, accepted: frozenset[int] = frozenset({0})) -> Step:
    return Step("train", (code,), accepted)


@pytest.mark.skipif(os.name == "nt", reason="a shell script stands for the command")
def test_what_a_command_says_is_kept(script: Path, tmp_path: Path) -> None:
    log = tmp_path / "cell" / "log.txt"
    children = ChildProcesses()
    assert children(step("print('one')"), log).error == ""
    assert children(step("import sys; print('two', file=sys.stderr)"), log).error == ""
    assert log.read_text().splitlines() == [
        """$ fmas 'print('"'"'one'"'"')'""",
        "one",
        """$ fmas 'import sys; print('"'"'two'"'"', file=sys.stderr)'""",
        "two",
    ]


@pytest.mark.skipif(os.name == "nt", reason="a shell script stands for the command")
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise SystemExit(3)", "it said nothing (exit code 3)"),
        (
            "print('error: expected a, got b; do c'); print('at last'); raise SystemExit(2)",
            "expected a, got b; do c (exit code 2)",
        ),
        (
            "print('Traceback'); print('OSError: expected a,'); print('  got b'); raise SystemExit(1)",
            "OSError: expected a, got b (exit code 1)",
        ),
        ("1 / 0", "ZeroDivisionError: division by zero (exit code 1)"),
        ("import os; os.kill(os.getpid(), 9)", "ended by SIGKILL (out of memory?)"),
        ("import os; os.kill(os.getpid(), 11)", "ended by SIGSEGV"),
    ],
)
def test_a_failure_has_a_reason_of_one_line(script: Path, tmp_path: Path, code: str, reason: str) -> None:
    log = tmp_path / "log.txt"
    log.write_text("error: of an earlier command\n")
    assert ChildProcesses()(step(code), log).error == reason


@pytest.mark.skipif(os.name == "nt", reason="a shell script stands for the command")
def test_an_exit_code_can_be_accepted(script: Path, tmp_path: Path) -> None:
    assert ChildProcesses()(step("raise SystemExit(3)", frozenset({0, 3})), tmp_path / "log.txt").error == ""


@pytest.mark.skipif(os.name == "nt", reason="a shell script stands for the command")
def test_children_keep_to_their_threads(script: Path, tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    ChildProcesses(threads=1)(step("import os; print(os.environ['OMP_NUM_THREADS'])"), log)
    assert log.read_text().splitlines()[-1] == "1"
    assert thread_variables(None) == {}
    assert set(thread_variables(2).values()) == {"2"}


@pytest.mark.skipif(os.name == "nt", reason="a shell script stands for the command")
def test_stopping_ends_what_runs_and_starts_nothing_more(script: Path, tmp_path: Path) -> None:
    children, log, found = ChildProcesses(), tmp_path / "log.txt", []
    waiting = threading.Thread(
        target=lambda: found.append(children(step("import time; print('up', flush=True); time.sleep(60)"), log))
    )
    waiting.start()
    _until(lambda: log.exists() and "\nup" in log.read_text())
    children.stop()
    waiting.join(timeout=20)
    assert not waiting.is_alive()
    assert found[0].error == "ended by SIGTERM"
    assert children(step("print(1)"), log).error == "interrupted"


def test_the_leash_is_fmas(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    assert ChildProcesses()(Step("train", ("--version",)), log).error == ""
    refused = ChildProcesses()(Step("train", ("validate", str(tmp_path / "nowhere"))), log)
    assert "nowhere" in refused.error
    assert refused.error.endswith(("(exit code 1)", "(exit code 2)"))


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_child_does_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    """The child waits for ever (a lock that we hold would do the same); its parent is killed without a word."""
    waits = "import sys, time; sys.stdout.write('up'); sys.stdout.flush(); time.sleep(600)"
    child = (
        "from fmas.benchmark import leash; import runpy;"
        f"runpy.run_module = lambda *a, **k: exec({waits!r}); leash.main()"
    )
    parent = (
        "import subprocess, sys, time;"
        f"p = subprocess.Popen([sys.executable, '-c', {child!r}], stdin=subprocess.PIPE, stdout=subprocess.PIPE);"
        "p.stdout.read(2); print(p.pid, flush=True); time.sleep(600)"
    )
    running = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None
    with running.stdout:
        pid = int(running.stdout.readline())
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    _until(lambda: not _alive(pid))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _until(true: object, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        assert time.monotonic() < deadline, "not within 20 s"
        time.sleep(0.05)
