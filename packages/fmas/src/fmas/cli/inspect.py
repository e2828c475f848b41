"""``fmas inspect``: photographs through a trained model."""

from __future__ import annotations

import shlex
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fmas.cli.options import JsonOption, given_path
from fmas.cli.outcome import print_json, reported_errors

if TYPE_CHECKING:
    from fmas.inspection import InspectRequest, InspectSummary

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("inspect")(inspect)


def inspect(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", parser=given_path, help="A model folder of fmas train or fmas export.")
    ],
    images: Annotated[
        Path, typer.Argument(metavar="IMAGES", parser=given_path, help="A folder of photographs, or one photograph.")
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", metavar="DIR", parser=given_path, help="The folder to write; a rerun finishes what is missing."
        ),
    ],
    explain: Annotated[
        bool, typer.Option("--explain", help="Write explain.csv: which wavelet sub-bands mattered, by photograph.")
    ] = False,
    no_overlays: Annotated[bool, typer.Option("--no-overlays", help="Draw no overlays; only scores and maps.")] = False,
    no_gate: Annotated[
        bool, typer.Option("--no-gate", help="Look at the background, too. (short for --set gate=false)")
    ] = False,
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", metavar="X", help="Scores above it are anomalous. (default: the model's own)"),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option("--device", metavar="NAME", help="auto, cpu, cuda, cuda:1, mps. (short for --set device=NAME)"),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="An option of the model's detector. Repeatable."),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", metavar="N", min=1, help="Only the first N photographs. (default: all)"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Give every photograph a score, a verdict, a map of where it looks wrong, and an overlay to look at.

    DIR/scores.csv has a row path,score,verdict for each, DIR/maps float32 TIFF files of the photographs' size. What
    cannot be read fails alone, is listed in DIR/failures.jsonl, and the exit code is 3.
    """
    with reported_errors(interrupted=f"interrupted; everything finished is in {out}; run the same command to go on"):
        from fmas.inspection import InspectRequest
        from fmas.settings import override_layer

        overrides = {
            **({"gate": False} if no_gate else {}),
            **({"device": device} if device is not None else {}),
            **override_layer(settings or ()).values,
        }
        request = InspectRequest(
            model=model,
            images=images,
            out=out,
            explain=explain,
            overlays=not no_overlays,
            threshold=threshold,
            overrides=overrides,
            limit=limit,
        )
        summary = _inspect(request)
        if as_json:
            print_json(summary.to_json())
        else:
            _print_summary(summary)
    raise typer.Exit(summary.exit_code)


def _inspect(request: InspectRequest) -> InspectSummary:
    from fmas.cli.progress import reported_progress
    from fmas.inspection import inspect_images

    # A terminated inspection writes its tables as an interrupted one does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with reported_progress() as progress:
        return inspect_images(request, progress=progress)


def _print_summary(summary: InspectSummary) -> None:
    for note in summary.notes:
        typer.echo(f"note: {note}", err=True)
    rate = (
        f", {summary.inspected / summary.seconds:.1f} per second" if summary.inspected and summary.seconds > 0 else ""
    )
    typer.echo(
        f"inspected {summary.inspected}, kept {summary.kept}, failed {summary.failed} in {summary.seconds:.1f} s{rate}"
    )
    counts = summary.counts
    typer.echo(f"anomalous {counts.anomalous}, good {counts.good} (threshold {summary.threshold:.6g})")
    if counts.failed:
        typer.echo(f"failed: {counts.failed}; listed in {summary.out / 'failures.jsonl'}")
    if summary.ignored_files:
        typer.echo(f"ignored: {summary.ignored_files} files that are no images")
    typer.echo(f"scores: {summary.out / 'scores.csv'}")
    maps = shlex.quote(str(summary.out / "maps"))
    typer.echo(f"next, where you have masks: fmas evaluate --maps {maps} --truth MASKS")
