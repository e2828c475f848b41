"""How far a run is: a bar on a terminal, plain lines anywhere else, always on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

__all__ = ["reported_progress", "reported_steps"]

_SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def reported_progress(what: str = "photographs") -> Iterator[Callable[[int, int, int], None]]:
    """Yield a function to call with (finished, of how many, failed); ``what`` is counted."""
    with _shown(what) as show:
        yield lambda finished, total, failed: show(finished, total, f"{failed} failed" if failed else "")


@contextmanager
def reported_steps() -> Iterator[Callable[[int, int, Mapping[str, float]], None]]:
    """Yield a function to call with (finished steps, planned steps, latest values by name)."""
    with _shown("steps") as show:
        yield lambda finished, total, values: show(finished, total, _values(values))


def _values(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in values.items())


@contextmanager
def _shown(what: str) -> Iterator[Callable[[int, int, str], None]]:
    """Yield a function to call with (finished, of how many, what else to say)."""
    if sys.stderr.isatty():
        with _bar(what) as show:
            yield show
    else:
        yield _Lines(what)


@contextmanager
def _bar(what: str) -> Iterator[Callable[[int, int, str], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=None, note="")

        def show(finished: int, total: int, note: str) -> None:
            bar.update(task, completed=finished, total=total, note=note)

        yield show


class _Lines:
    """A line every ten seconds and one at the end: readable in a log file."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._last = time.monotonic()

    def __call__(self, finished: int, total: int, note: str) -> None:
        now = time.monotonic()
        if finished == total or now - self._last >= _SECONDS_BETWEEN_LINES:
            self._last = now
            sys.stderr.write(f"{finished} of {total} {self._what}{f', {note}' if note else ''}\n")
            sys.stderr.flush()
