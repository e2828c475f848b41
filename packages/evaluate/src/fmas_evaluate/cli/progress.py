"""How far an evaluation is: a bar on standard error if that is a terminal, else nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Step", "progress_bar"]

Step = Callable[[], None]
"""Called once per image that was read."""


@contextmanager
def progress_bar(what: str, total: int, *, quiet: bool = False) -> Iterator[Step]:
    """Yield a function to call after every image.

    Args:
        what: What is being done, a word or two.
        total: How many images there are to read; those read twice count twice.
        quiet: Show nothing, even on a terminal.
    """
    if quiet or not sys.stderr.isatty():
        yield _nothing
        return
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    except ModuleNotFoundError:
        yield _nothing  # without the extra the numbers are the same
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)


def _nothing() -> None:
    """Report to nobody."""
