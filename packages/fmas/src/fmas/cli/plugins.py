"""``fmas plugins list``: what is installed, what is ready, what is broken."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from fmas.specs import ComponentKind

if TYPE_CHECKING:
    from fmas.plugins import PluginFailure, PluginOrigin, PluginRegistry

__all__ = [
    "KEY_VARIABLES",
    "ComponentRow",
    "PluginRow",
    "command_failures",
    "component_rows",
    "failure_rows",
    "print_table",
    "register",
]

KEY_VARIABLES = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "HF_TOKEN")
"""Environment variables whose values are secret; only whether they are set is ever shown."""

PluginRow: TypeAlias = dict[str, str]


@dataclass(frozen=True, slots=True)
class ComponentRow:
    """One registered component and whether it can be used.

    Attributes:
        state: ``missing`` if something it requires cannot be found, ``ambiguous`` if another plugin has that name, too.
        missing: The import names that cannot be found.
        status: The state in words, with what to do.
    """

    kind: ComponentKind
    name: str
    summary: str
    entry_point: str
    distribution: str
    version: str
    requires: tuple[str, ...]
    missing: tuple[str, ...]
    install: str
    state: Literal["ready", "missing", "ambiguous"]
    status: str

    def as_json(self) -> dict[str, object]:
        """Return the attributes as JSON values."""
        return {field: getattr(self, field) for field in self.__slots__}


def register(app: typer.Typer) -> None:
    """Add ``plugins list`` to ``app``."""
    plugins = typer.Typer(help="Look at the installed plugins.", no_args_is_help=True)
    app.add_typer(plugins, name="plugins")

    @plugins.command("list")
    def list_plugins(
        kind: Annotated[ComponentKind | None, typer.Option(help="Show components of this kind only.")] = None,
        as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    ) -> None:
        """List every component that the installed plugins bring, and the plugins that could not be loaded."""
        from fmas.plugins import load_plugins

        registry = load_plugins()
        components = component_rows(registry, kind)
        failures = failure_rows([*registry.failures, *command_failures(registry, app)])
        if as_json:
            typer.echo(
                json.dumps(
                    {
                        "components": [row.as_json() for row in components],
                        "plugins": [_origin_row(plugin.origin) for plugin in registry.plugins],
                        "failures": failures,
                    },
                    indent=2,
                )
            )
            return
        print_table(
            ("kind", "name", "summary", "plugin", "status"),
            [
                (row.kind, row.name, row.summary, f"{row.entry_point} ({row.distribution} {row.version})", row.status)
                for row in components
            ],
        )
        _print_failures(failures)


def component_rows(registry: PluginRegistry, kind: ComponentKind | None = None) -> list[ComponentRow]:
    """Describe each registered component; looks for what they require without importing it."""
    from fmas.plugins import missing_requirements

    rivals = {one: claimants for claimants in registry.ambiguous() for one in claimants}
    rows = []
    for component in registry.components(kind):
        spec, origin = component.spec, component.origin
        missing = missing_requirements(spec)
        state: Literal["ready", "missing", "ambiguous"] = "ready"
        status = "ready"
        if component in rivals:
            others = ", ".join(str(one.origin) for one in rivals[component] if one != component)
            state, status = "ambiguous", f"ambiguous: also from {others} -> uninstall one"
        elif missing:
            state, status = "missing", f"missing: {', '.join(missing)} -> {spec.install or 'install it'}"
        rows.append(
            ComponentRow(
                kind=spec.kind,
                name=spec.name,
                summary=spec.summary,
                entry_point=origin.entry_point,
                distribution=origin.distribution,
                version=origin.version,
                requires=spec.requires,
                missing=missing,
                install=spec.install,
                state=state,
                status=status,
            )
        )
    return rows


def failure_rows(failures: Sequence[PluginFailure]) -> list[PluginRow]:
    """Describe each failure, with the values of :data:`KEY_VARIABLES` blacked out of what plugins say."""
    return [{**_origin_row(failure.origin), "error": _without_secrets(failure.reason)} for failure in failures]


def command_failures(registry: PluginRegistry, app: typer.Typer) -> tuple[PluginFailure, ...]:
    """Return the plugins whose commands cannot be added to ``app``.

    Their hooks are tried on a copy that has the commands of ``fmas`` itself only: in ``app`` the plugins' commands may
    be there already, and would be taken for another's.
    """
    copy = typer.Typer()
    copy.registered_commands = [one for one in app.registered_commands if _is_ours(one.callback)]
    copy.registered_groups = [
        group
        for group in app.registered_groups
        if group.typer_instance and any(_is_ours(one.callback) for one in group.typer_instance.registered_commands)
    ]
    return registry.register_commands(copy)


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table on stdout; wrapped on a terminal, one line per row anywhere else, so that it can be searched."""
    from rich.console import Console
    from rich.table import Table

    # Summaries and errors are the plugins' words: they are shown, not interpreted.
    console = Console(markup=False, emoji=False, highlight=False)
    if console.is_terminal:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for title in header:
            table.add_column(title, overflow="fold")
        for row in rows:
            table.add_row(*row)
        console.print(table)
        return
    lines = [[" ".join(cell.split()) for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _print_failures(failures: Sequence[PluginRow]) -> None:
    if not failures:
        return
    typer.echo()
    print_table(
        ("broken plugin", "error"),
        [(f"{row['entry_point']} ({row['distribution']} {row['version']})", row["error"]) for row in failures],
    )


def _origin_row(origin: PluginOrigin) -> PluginRow:
    return {
        "entry_point": origin.entry_point,
        "module": origin.module,
        "distribution": origin.distribution,
        "version": origin.version,
    }


def _without_secrets(text: str) -> str:
    for name in KEY_VARIABLES:
        if value := os.environ.get(name):
            text = text.replace(value, f"<{name}>")
    return text


def _is_ours(callback: object) -> bool:
    return str(getattr(callback, "__module__", "")).partition(".")[0] == "fmas"
