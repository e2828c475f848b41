"""The ``fmas`` application: every command registers itself, then the plugins add theirs."""

from __future__ import annotations

from typing import Annotated

import typer

import fmas
from fmas.cli import (
    benchmark,
    config,
    demo,
    doctor,
    evaluate,
    export,
    inspect,
    plan,
    plugins,
    report,
    review,
    run,
    select,
    train,
    validate,
)
from fmas.cli.outcome import EXIT_INTERRUPTED
from fmas.plugins import PluginRegistry, load_plugins

__all__ = ["build_app", "main"]


def build_app(registry: PluginRegistry) -> typer.Typer:
    """Return the application with our commands and the plugins'."""
    app = typer.Typer(
        name="fmas",
        no_args_is_help=True,
        pretty_exceptions_show_locals=False,  # locals may hold keys
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback()
    def fmas_command(
        version: Annotated[
            bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
        ] = False,
    ) -> None:
        """Give it photographs of good parts; get back synthetic defects, and an inspector that learnt from them.

        Exit codes: 0 done, 1 failed, 2 wrong usage, 3 finished with some images failed, 130 interrupted.
        """

    making = (run, select, validate, report, review, plan)
    learning = (train, inspect, evaluate, benchmark, export)
    for command in (*making, *learning, demo, config, plugins, doctor):
        command.register(app)
    for row in plugins.failure_rows(registry.register_commands(app)):
        typer.echo(f"warning: plugin {row['entry_point']}: {row['error']}", err=True)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(fmas.__version__)
        raise typer.Exit


def main() -> None:
    """Run the command line."""
    try:
        app = build_app(load_plugins())
    except KeyboardInterrupt:  # commands answer it themselves; plugins may take a moment to load
        typer.echo("interrupted", err=True)
        raise SystemExit(EXIT_INTERRUPTED) from None
    app()
