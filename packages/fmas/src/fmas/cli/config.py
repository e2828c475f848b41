"""``fmas config show``: every setting, its value and where it came from."""

from __future__ import annotations

from pathlib import Path

import typer

from fmas.cli.options import ConfigOption, IntensityOption, JsonOption, SetOption, given_section, resolve_settings
from fmas.cli.outcome import print_json, reported_errors

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    config_app = typer.Typer(no_args_is_help=True, help="Show the settings.")
    config_app.command("show")(show)
    app.add_typer(config_app, name="config")


def show(
    intensity: IntensityOption = None,
    config: ConfigOption = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show every setting that fmas run would use here, and where each value comes from.

    Command line wins over environment (FMAS_SEED=3, FMAS_LLM__MODEL=…), which wins over the project file (fmas.yaml).
    IMAGES and OUT belong to a single run and are not shown.
    """
    with reported_errors():
        from fmas.settings import flattened

        # fmas run is given both on its command line; there is nothing to show of them here.
        per_run = {"images": Path("IMAGES"), "out": Path("OUT")}
        given: dict[str, object] = {**per_run, "select": given_section(band=intensity)}
        resolved = resolve_settings(given, settings=settings, config=config)
        rows = [
            (key, value, resolved.origins.get(key, "default"))
            for key, value in flattened(resolved.config)
            if key not in per_run
        ]
        if as_json:
            print_json([{"key": key, "value": value, "origin": origin} for key, value, origin in rows])
            return
        width = max(len(key) for key, _, _ in rows)
        for key, value, origin in rows:
            typer.echo(f"{key:<{width}}  {value!s:<28}  {origin}")
