"""Letting a plugin add commands to the application, or leaving the application as it was."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from fmas.errors import PluginError

if TYPE_CHECKING:
    import typer
    from typer.models import CommandInfo, TyperInfo

__all__ = ["add_commands"]


def add_commands(app: typer.Typer, hook: Callable[[typer.Typer], object]) -> None:
    """Call ``hook`` with ``app``; if it raises or adds what must not be added, ``app`` stays as it was.

    Raises:
        PluginError: If the hook took a command name that ``app`` already has, or replaced the callback of ``app``.
        BaseException: Whatever the hook raises, or Typer about the signatures of the commands.
    """
    commands, groups, callback = app.registered_commands[:], app.registered_groups[:], app.registered_callback
    try:
        with contextlib.redirect_stdout(sys.stderr):
            hook(app)
        _check_commands(app, len(commands), len(groups), replaced=app.registered_callback is not callback)
    except BaseException:
        app.registered_commands[:], app.registered_groups[:] = commands, groups
        app.registered_callback = callback
        raise


def _check_commands(app: typer.Typer, commands: int, groups: int, *, replaced: bool) -> None:
    """Refuse new commands (those after the first ``commands`` and ``groups``) that shadow older ones."""
    if replaced:
        raise PluginError("expected the application's callback to stay, got another one; add a command instead")
    old = _command_names(app.registered_commands[:commands], app.registered_groups[:groups])
    new = _command_names(app.registered_commands[commands:], app.registered_groups[groups:])
    if taken := sorted(old & new):
        raise PluginError(f"expected new command names, got {', '.join(taken)}, already taken; rename the command")


def _command_names(commands: list[CommandInfo], groups: list[TyperInfo]) -> frozenset[str]:
    """Return the names users type; building them also fails here, not later, on a signature that Typer refuses."""
    import typer

    app = typer.Typer()
    app.registered_commands, app.registered_groups = commands, groups
    return frozenset(typer.main.get_group(app).commands)
