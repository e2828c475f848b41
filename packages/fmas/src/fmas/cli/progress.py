"""How far a run is: a bar on a terminal, plain lines anywhere else, always on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["reported_progress"]

_SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def reported_progress(what: str = "photographs") -> Iterator[Callable[[int, int, int], None]]:
    """Yield a function to call with (finished, of how many, failed); ``what`` is counted."""
    if sys.stderr.isatty():
        with _bar(what) as report:
            yield report
    else:
        yield _Lines(what)


@contextmanager
def _bar(what: str) -> Iterator[Callable[[int, int, int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[failed]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=None, failed="")

        def report(finished: int, total: int, failed: int) -> None:
            bar.update(task, completed=finished, total=total, failed=f"{failed} failed" if failed else "")

        yield report


class _Lines:
    """A line every ten seconds and one at the end: readable in a log file."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._last = time.monotonic()

    def __call__(self, finished: int, total: int, failed: int) -> None:
        now = time.monotonic()
        if finished == total or now - self._last >= _SECONDS_BETWEEN_LINES:
            self._last = now
            note = f", {failed} failed" if failed else ""
            sys.stderr.write(f"{finished} of {total} {self._what}{note}\n")
            sys.stderr.flush()
