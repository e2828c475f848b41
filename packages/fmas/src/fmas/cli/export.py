"""``fmas export``: a trained model as one that runs without torch."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fmas.cli.options import JsonOption, given_path
from fmas.cli.outcome import print_json, reported_errors

if TYPE_CHECKING:
    from fmas.exporting import ExportSummary

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("export")(export)


def export(
    model: Annotated[Path, typer.Argument(metavar="MODEL", parser=given_path, help="The model folder of fmas train.")],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", parser=given_path, help="The new model folder, for fmas inspect.")
    ],
    onnx: Annotated[bool, typer.Option("--onnx", help="As ONNX, for onnxruntime; the only format there is.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a model that inspects without torch, once it has been seen to give the same maps and scores."""
    with reported_errors(interrupted=f"interrupted; run the same command to write {out}"):
        summary = _export(model, out, onnx=onnx)
        if as_json:
            print_json(summary.to_json())
        else:
            _print_summary(summary)


def _export(model: Path, out: Path, *, onnx: bool) -> ExportSummary:
    from fmas.errors import UsageError
    from fmas.exporting import export_model

    if not onnx:
        raise UsageError("expected a format to export to, got none; add --onnx")
    return export_model(model, out)


def _print_summary(summary: ExportSummary) -> None:
    for note in summary.notes:
        typer.echo(f"note: {note}", err=True)
    difference = summary.about.source.get("largest_difference")
    compared = f"largest difference {difference:.2g}" if isinstance(difference, float) else "maps not compared"
    what = "exported" if summary.is_new else "exported before, left as it is"
    typer.echo(f"{what}: {summary.folder} ({summary.about.detector}; {compared})")
    typer.echo(f"next: fmas inspect {shlex.quote(str(summary.folder))} PHOTOGRAPHS --out inspection")
