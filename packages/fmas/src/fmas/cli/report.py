"""``fmas report``: one self-contained page to look at what a run made."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from fmas.cli.options import JsonOption
from fmas.cli.outcome import print_json, reported_errors
from fmas.cli.progress import reported_progress

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("report")(report)


def report(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The output folder of fmas run.")],
    most: Annotated[
        int | None, typer.Option("--most", metavar="N", min=1, help="Show only the first N pairs.  (default: all)")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write OUT/report.html, one page to look at: normal, result, mask and difference of every pair, and what failed.

    The page holds everything it shows and asks the network for nothing; send it to whom you like.
    """
    with reported_errors():
        from fmas.report import read_overview, write_report

        with _shown_progress() as progress:
            path = write_report(out, most=most, progress=progress)
        counts = read_overview(out).counts
        if as_json:
            print_json({"report": str(path), "pairs": counts.pairs, "failures": counts.failed})
            return
        typer.echo(str(path))
        typer.echo(path.resolve().as_uri())


@contextmanager
def _shown_progress() -> Iterator[Callable[[int, int], None] | None]:
    """Show how far it is where somebody watches; a log file need not know."""
    if not sys.stderr.isatty():
        yield None
        return
    with reported_progress("pairs") as report:
        yield lambda written, total: report(written, total, 0)
