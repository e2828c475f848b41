"""``fmas validate``: re-check every rule of an output folder from its files alone."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fmas.cli.options import JsonOption
from fmas.cli.outcome import EXIT_FAILED, print_json, reported_errors

if TYPE_CHECKING:
    from fmas.validate import ValidationReport

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("validate")(validate)


def validate(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The output folder of fmas run.")],
    most: Annotated[
        int, typer.Option("--most", metavar="N", min=0, help="Show at most N problems.", show_default=True)
    ] = 50,
    as_json: JsonOption = False,
) -> None:
    """Check every rule that a finished data set keeps: files, pixels, masks, seeds, rows, layout, no secrets.

    Nothing is trusted that can be computed from the files, and nothing is written. Exit code 0: every rule holds;
    1: at least one is broken; 2: OUT is no output folder.
    """
    with reported_errors():
        report = _validate(out)
        if as_json:
            print_json(report.to_json())
        else:
            _print_report(report, most=most)
    if not report.ok:
        raise typer.Exit(EXIT_FAILED)


def _validate(out: Path) -> ValidationReport:
    from fmas.cli.progress import reported_progress
    from fmas.validate import validate_output

    if not sys.stderr.isatty():
        return validate_output(out)
    with reported_progress() as progress:
        return validate_output(out, progress=_without_failures(progress))


def _without_failures(progress: Callable[[int, int, int], None]) -> Callable[[int, int], None]:
    def report(finished: int, total: int) -> None:
        progress(finished, total, 0)

    return report


def _print_report(report: ValidationReport, *, most: int) -> None:
    from fmas.validate.wording import counted

    for note in report.notes:
        typer.echo(f"note: {note}", err=True)
    if report.ok:
        typer.echo(f"ok: {counted(report.pairs, 'pair')}, {counted(report.files, 'file')}")
        return
    for problem in report.problems[:most]:
        typer.echo(_encodable(str(problem)))
    hidden = len(report.problems) - most
    if hidden > 0:
        typer.echo(f"and {hidden} more; show them with --most {len(report.problems)}")


def _encodable(line: str) -> str:
    """Return a line that any terminal can take: file names may hold characters that its encoding lacks."""
    encoding = sys.stdout.encoding or "utf-8"
    return line.encode(encoding, "backslashreplace").decode(encoding)
