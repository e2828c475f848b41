"""``fmas demo``: the whole job on photographs that scikit-image carries, in one command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fmas.cli.options import JsonOption
from fmas.cli.outcome import EXIT_FAILED, print_json, reported_errors

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo)


def demo(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where to work.")] = Path("fmas-demo"),
    as_json: JsonOption = False,
) -> None:
    """Run, validate and report on photographs of a brick wall that come with scikit-image; needs no network."""
    with reported_errors():
        from fmas.cli.progress import reported_progress
        from fmas.cli.run import print_summary
        from fmas.config import RunConfig
        from fmas.demo_photographs import write_demo_photographs
        from fmas.pipeline import synthesize
        from fmas.report import write_report
        from fmas.validate import validate_output

        photographs = write_demo_photographs(out / "photographs")
        typer.echo(f"photographs of good parts: {photographs}", err=True)
        with reported_progress() as progress:
            summary = synthesize(RunConfig(images=photographs, out=out / "out", object="brick wall"), progress=progress)
        if not as_json:
            print_summary(summary)
        result = validate_output(out / "out")
        if result.problems:
            typer.echo(f"error: the data set breaks its own rules: {result.problems[0]}; please report this", err=True)
            raise typer.Exit(EXIT_FAILED)
        report = write_report(out / "out")
        if as_json:
            print_json({**summary.to_json(), "report": str(report)})
        else:
            typer.echo(f"look at it: {report.resolve().as_uri()}")
    raise typer.Exit(summary.exit_code)
