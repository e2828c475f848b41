"""Running the commands of cells, each in a process of its own: a crash or a lack of memory costs one cell."""

from __future__ import annotations

import os
import re
import signal
import subprocess  # our own program, arguments as a list
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from fmas.benchmark.cells import Step, shown_command

__all__ = ["ChildProcesses", "RunStep", "StepResult", "thread_variables"]

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")
_SECONDS_TO_END = 15.0
_LOG_TAIL = 20_000  # bytes
_LONGEST_REASON = 500
_RAISED = re.compile(r"[A-Za-z_][\w.]*(?:Error|Exception|Exit): ")


@dataclass(frozen=True, slots=True)
class StepResult:
    """How a command ended.

    Attributes:
        seconds: How long it took.
        error: Why it failed, one line; empty if it did not.
    """

    seconds: float
    error: str = ""


RunStep: TypeAlias = Callable[[Step, Path], StepResult]
"""Runs a command and appends what it says to a log file."""


def thread_variables(threads: int | None) -> dict[str, str]:
    """Return the environment variables that keep a child to so many threads; empty for ``None``."""
    return dict.fromkeys(_THREAD_VARIABLES, str(threads)) if threads is not None else {}


class ChildProcesses:
    """A :data:`RunStep` that starts ``fmas`` in a child process; may be called from several threads.

    Args:
        threads: Threads of each child; ``None`` leaves it to the libraries.
    """

    __slots__ = ("_environment", "_lock", "_running", "_stopped")

    def __init__(self, *, threads: int | None = None) -> None:
        self._environment = {**os.environ, **thread_variables(threads), "PYTHONUNBUFFERED": "1", "COLUMNS": "240"}
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    def __call__(self, step: Step, log: Path) -> StepResult:
        """Run one command to its end."""
        started = time.monotonic()
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as file:
            file.write(f"$ {shown_command(step.arguments)}\n".encode(errors="backslashreplace"))
            file.flush()
            said = file.tell()
            with self._lock:
                if self._stopped:
                    return StepResult(0.0, "interrupted")
                child = subprocess.Popen(  # noqa: S603
                    [sys.executable, "-m", "fmas.benchmark.leash", *step.arguments],
                    stdin=subprocess.PIPE,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    env=self._environment,
                )
                self._running.add(child)
            try:
                code = child.wait()
            finally:
                with self._lock:
                    self._running.discard(child)
                if child.stdin is not None:
                    child.stdin.close()
        seconds = time.monotonic() - started
        return StepResult(seconds, "" if code in step.accepted else _reason(code, log, said))

    def stop(self) -> None:
        """End what is running and start nothing more."""
        with self._lock:
            self._stopped = True
            running = list(self._running)
        for child in running:
            child.terminate()
        deadline = time.monotonic() + _SECONDS_TO_END
        for child in running:
            try:
                child.wait(timeout=max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()


def _reason(code: int, log: Path, said: int) -> str:
    """Return why a command failed, from its exit code and the end of its log."""
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        return f"ended by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
    with log.open("rb") as file:
        file.seek(max(said, log.stat().st_size - _LOG_TAIL))
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    raised = [number for number, line in enumerate(lines) if _RAISED.match(line)]
    if errors:
        last = errors[-1]
    elif raised:  # a message may be wrapped
        last = " ".join(lines[raised[-1] :])[:_LONGEST_REASON]
    else:
        last = lines[-1] if lines else "it said nothing"
    return f"{last} (exit code {code})"
