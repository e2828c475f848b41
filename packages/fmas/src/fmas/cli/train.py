"""``fmas train``: synthetic pairs in, a model folder out."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fmas.cli.options import JsonOption, given_path
from fmas.cli.outcome import print_json, reported_errors

if TYPE_CHECKING:
    from fmas.training import TrainRequest, TrainSummary

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("train")(train)


def train(
    data: Annotated[Path, typer.Argument(metavar="OUT", parser=given_path, help="The output folder of fmas run.")],
    out: Annotated[
        Path,
        typer.Option(
            "--out", metavar="MODEL", parser=given_path, help="The model folder; the same command goes on in it."
        ),
    ],
    detector: Annotated[
        str | None, typer.Option("--detector", metavar="NAME", help="Who learns. (default: unet)")
    ] = None,
    category: Annotated[
        str | None, typer.Option("--category", metavar="NAME", help="Which category, where OUT has several.")
    ] = None,
    false_alarms: Annotated[
        float | None,
        typer.Option(
            "--false-alarms",
            metavar="FRACTION",
            help="Share of good parts that may be called anomalous. (default: 0.05)",
        ),
    ] = None,
    validation: Annotated[
        float | None,
        typer.Option(
            "--validation",
            metavar="FRACTION",
            help="Share of the photographs to calibrate with. (default: 0.15 to 0.25, by what --false-alarms takes)",
        ),
    ] = None,
    holdout: Annotated[
        list[Path] | None,
        typer.Option(
            "--holdout",
            metavar="DIR",
            parser=given_path,
            help="Test pictures: a training picture that occurs there is refused. Repeatable.",
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", metavar="N", help="How often every pair is seen. (default: by detector)")
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", metavar="N", help="Training steps. (default: by detector)")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", metavar="N", help="Of training and split. (default: 0)")] = None,
    device: Annotated[
        str | None, typer.Option("--device", metavar="NAME", help="cpu, cuda, cuda:1, … (default: by detector)")
    ] = None,
    no_wdam: Annotated[bool, typer.Option("--no-wdam", help="Do not look through WDAM.")] = False,
    no_gate: Annotated[bool, typer.Option("--no-gate", help="Look beside the product, too.")] = False,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="YAML: detector, false_alarms, validation, holdout, category."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any option of the detector, e.g. batch_size=8. Repeatable."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Let a detector learn what defects look like from synthetic ones, and set the threshold from good photographs.

    Photographs are kept back, by photograph, to decide when to stop and where the threshold is. A killed training goes
    on with the same command and ends with the same model; a finished one is left as it is.
    """
    with reported_errors(interrupted=f"interrupted; run the same command to go on in {out}"):
        options: dict[str, object] = {"epochs": epochs, "steps": steps, "seed": seed, "device": device}
        options = {key: value for key, value in options.items() if value is not None}
        options |= {key: False for key, is_off in (("wdam", no_wdam), ("gate", no_gate)) if is_off}
        request = _request(
            {
                "data": data,
                "out": out,
                "category": category,
                "false_alarms": false_alarms,
                "validation": validation,
                "holdout": holdout or None,
            },
            detector=detector,
            options=options,
            settings=settings,
            config=config,
        )
        summary = _train(request)
        if as_json:
            print_json(summary.to_json())
        else:
            _print_summary(summary)
    raise typer.Exit(summary.exit_code)


def _request(
    given: Mapping[str, object],
    *,
    detector: str | None,
    options: Mapping[str, object],
    settings: list[str] | None,
    config: Path | None,
) -> TrainRequest:
    """Merge file and command line, the latter winning; another detector drops the file's options for its own."""
    from fmas.options import parse_options
    from fmas.settings import file_layer, override_layer
    from fmas.training import DEFAULT_DETECTOR, TrainRequest

    layer = file_layer(config, folder=Path.cwd()) if config is not None else None
    values = dict(layer.values) if layer is not None else {}
    chosen = values.get("detector", {})
    chosen = {"name": chosen} if isinstance(chosen, str) else chosen
    if isinstance(chosen, dict):
        if detector is not None and chosen.get("name", DEFAULT_DETECTOR) != detector:
            chosen = {"name": detector}
        chosen = {**chosen, **options, **override_layer(settings or ()).values}
    values |= {key: value for key, value in given.items() if value is not None}
    return parse_options(TrainRequest, values | {"detector": chosen}, section="")


def _train(request: TrainRequest) -> TrainSummary:
    from fmas.cli.progress import reported_steps
    from fmas.training import train_model

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the detector may then write a checkpoint
    with reported_steps() as progress:
        return train_model(request, progress=progress)


def _print_summary(summary: TrainSummary) -> None:
    for note in summary.notes:
        typer.echo(f"note: {note}", err=True)
    data, calibration = summary.about.data, summary.calibration
    what = "trained" if summary.is_new else "finished before, left as it is"
    typer.echo(f"{what}: {summary.folder} ({summary.about.detector}, {summary.about.category})")
    typer.echo(
        f"learnt from {data['pairs']} pairs of {data['photographs']} photographs, {data['controls']} negative "
        f"controls; validated with {data['validation_pairs']} pairs of {data['validation_photographs']} others"
    )
    steps, seconds = (summary.about.training.get(key) for key in ("steps", "seconds"))
    if steps is not None and isinstance(seconds, float):
        early = ", stopped early" if summary.about.training.get("stopped_early") else ""
        typer.echo(f"steps {steps} in {seconds:.1f} s{early}")
    typer.echo(
        f"threshold {calibration.threshold:.6g}: of {calibration.count} good photographs that nothing was learnt from, "
        f"for a false-alarm rate of {calibration.false_alarms:g}"
    )
    found = summary.about.training.get("found")
    if isinstance(found, Mapping) and found:
        listing = ", ".join(f"{name} {hit} of {total}" for name, (hit, total) in found.items())
        typer.echo(f"held-out synthetic defects above it: {listing}")
    model = shlex.quote(str(summary.folder))
    typer.echo(f"next: fmas inspect {model} PHOTOGRAPHS --out inspection")
