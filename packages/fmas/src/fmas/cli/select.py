"""``fmas select``: another intensity for a finished data set, without painting anything again."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fmas.cli.options import JsonOption, given_path
from fmas.cli.outcome import print_json, reported_errors

if TYPE_CHECKING:
    from fmas.selection import Scores, SelectionSummary

__all__ = ["register"]

_MOST_FAILURES = 10


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("select")(select)


def select(
    out: Annotated[Path, typer.Argument(metavar="OUT", parser=given_path, help="The output folder of fmas run.")],
    intensity: Annotated[
        str,
        typer.Option("--intensity", metavar="WORD", help="subtle, medium, strong, or LO:HI in scores."),
    ],
    workers: Annotated[int, typer.Option("--workers", metavar="N", min=1, help="Processes. (default: 1)")] = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would change and how the scores are distributed; write nothing.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Choose again from the candidates that fmas run kept: subtler or stronger defects, nothing painted anew.

    The data set is afterwards, byte for byte, what fmas run with that --intensity would have made. Exit code 3: some
    pairs could not be chosen anew because their candidates are not there any more; fmas run paints those.
    """
    with reported_errors(interrupted=f"interrupted; run the same command again to finish the choice in {out}"):
        summary = _dry_run(out, intensity) if dry_run else _select(out, intensity, workers)
        if as_json:
            print_json(summary.to_json())
        else:
            _print_summary(summary)
    raise typer.Exit(summary.exit_code)


def _dry_run(out: Path, intensity: str) -> SelectionSummary:
    from fmas.reselect import preview_selection

    return preview_selection(out, intensity)


def _select(out: Path, intensity: str, workers: int) -> SelectionSummary:
    from fmas.cli.progress import reported_progress
    from fmas.reselect import reselect

    # A terminated choice finishes its summary files as an interrupted one does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with reported_progress() as progress:
        return reselect(out, intensity, workers=workers, progress=progress)


def _print_summary(summary: SelectionSummary) -> None:
    from fmas.intensity import band_text
    from fmas.validate.wording import counted

    for note in summary.notes:
        typer.echo(f"note: {note}", err=True)
    verb, seconds = ("would get", "") if summary.dry_run else ("got", f" in {summary.seconds:.1f} s")
    typer.echo(
        f"{counted(summary.changed, 'pair')} of {summary.pairs} {verb} another candidate, {summary.rewritten} keep "
        f"theirs, failed {len(summary.failed)}{seconds}"
    )
    was = f"before: {summary.before.inside} in {band_text(summary.band_before)}"
    typer.echo(f"in the band {band_text(summary.band)}: {summary.after.inside} of {summary.pairs} ({was})")
    rows: Mapping[str, Scores] = {
        "chosen before": summary.before,
        "chosen": summary.after,
        "candidates": summary.offered,
    }
    for name, scores in rows.items():
        quantiles = "  ".join(f"{key} {value:.3f}" for key, value in scores.quantiles().items())
        typer.echo(f"scores {name + ':':<15} {quantiles}")
    for stem, message in summary.failed[:_MOST_FAILURES]:
        typer.echo(f"failed: pair {stem}: {message}", err=True)
    hidden = len(summary.failed) - _MOST_FAILURES
    if hidden > 0:
        typer.echo(f"and {hidden} more; --json lists them all", err=True)
