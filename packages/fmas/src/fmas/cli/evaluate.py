"""``fmas evaluate``: hands everything on to ``fmas-evaluate``, which can also be installed alone."""

from __future__ import annotations

import inspect

import typer

from fmas.cli.outcome import EXIT_FAILED

__all__ = ["register"]

_MISSING = 'expected fmas-evaluate, which measures, got no such package; install it: pip install "fmas[evaluate]"'


def register(app: typer.Typer) -> None:
    """Add the command; it parses nothing itself, not even ``--help``."""
    app.command(
        "evaluate",
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
    )(evaluate)


def evaluate(context: typer.Context) -> None:
    """Measure score maps against defect masks: AUROC, average precision, F1-max and PRO, exactly.

    This is fmas-evaluate --maps DIR --truth DIR; every argument goes there, and its exit code comes back. Its options
    are listed by fmas evaluate --help once pip install "fmas[evaluate]" has brought it.
    """
    try:
        from fmas_evaluate.cli import main
    except ModuleNotFoundError as error:
        if error.name != "fmas_evaluate":
            raise
        if {"-h", "--help"} & set(context.args):
            typer.echo(f"{inspect.cleandoc(evaluate.__doc__ or '')}\n\n{_MISSING}")
            return
        typer.echo(f"error: {_MISSING}", err=True)
        raise typer.Exit(EXIT_FAILED) from error
    raise typer.Exit(main(context.args, program="fmas evaluate"))
