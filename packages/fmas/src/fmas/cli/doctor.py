"""``fmas doctor``: whether this installation can work, and what to do if not."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fmas.cli.deep import DeepRow, examine_components
from fmas.cli.options import ConfigOption, SetOption, resolve_settings
from fmas.cli.outcome import reported_errors
from fmas.cli.plugins import (
    KEY_VARIABLES,
    ComponentRow,
    PluginRow,
    command_failures,
    component_rows,
    failure_rows,
    print_table,
)

if TYPE_CHECKING:
    from fmas.config import ComponentConfig
    from fmas.plugins import PluginRegistry
    from fmas.specs import ComponentKind

__all__ = ["register"]

_VARIABLES = (*KEY_VARIABLES, "OPENAI_BASE_URL", "ANTHROPIC_BASE_URL")
_LEAST_FREE = 1_000_000_000  # bytes; a few hundred images with their candidates


@dataclass(frozen=True, slots=True)
class _Diagnosis:
    """Everything that ``fmas doctor`` found.

    Attributes:
        libraries: Version of each distribution that ``fmas`` requires; ``None`` if it is not installed.
        variables: Whether each environment variable is set; never its value.
        temporary: The folder for temporary files; ``None`` if none can be written to.
        free: Free bytes where the command was called; ``None`` if that cannot be found out.
        problems: What keeps ``fmas`` from working, a line each; a component whose library is missing is none.
        notes: What is worth knowing before a run.
        deep: What was found by importing and creating, with ``--deep``.
    """

    libraries: dict[str, str | None]
    components: list[ComponentRow]
    failures: list[PluginRow]
    variables: dict[str, bool]
    temporary: str | None
    free: int | None
    problems: list[str]
    notes: list[str]
    deep: list[DeepRow]


def register(app: typer.Typer) -> None:
    """Add ``doctor`` to ``app``."""

    @app.command("doctor")
    def doctor(
        deep: Annotated[
            bool, typer.Option("--deep", help="Import every SDK; look for devices, memory, keys and weights.")
        ] = False,
        config: ConfigOption = None,
        settings: SetOption = None,
        as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    ) -> None:
        """Check this installation: libraries, plugins, keys (set or not), disk; exit with 1 if in trouble.

        With --deep also each component, the ones that the settings name with their options. Nothing is downloaded, and
        no service is asked anything.
        """
        from fmas.plugins import load_plugins

        registry = load_plugins()
        with reported_errors():
            diagnosis = _diagnose(registry, app)
            if deep:
                diagnosis = _examined(diagnosis, registry, config=config, settings=settings)
        if as_json:
            typer.echo(json.dumps(_as_json(diagnosis), indent=2))
        else:
            _print(diagnosis)
        if diagnosis.problems:
            raise typer.Exit(1)


def _diagnose(registry: PluginRegistry, app: typer.Typer) -> _Diagnosis:
    libraries = _libraries()
    failures = failure_rows([*registry.failures, *command_failures(registry, app)])
    temporary, free = _temporary_directory(), _free_bytes()
    problems = [
        f"{name} is required, but not installed; reinstall fmas" for name, version in libraries.items() if not version
    ]
    problems += [f"plugin {row['entry_point']} ({row['distribution']}): {row['error']}" for row in failures]
    problems += [
        f"several plugins bring {claimants[0].spec.kind} {claimants[0].spec.name!r}: "
        f"{', '.join(str(one.origin) for one in claimants)}; uninstall all but one"
        for claimants in registry.ambiguous()
    ]
    origins = [*(one.origin for one in registry.plugins), *(one.origin for one in registry.failures)]
    if not any(origin.module == "fmas.builtin.plugin" for origin in origins):
        problems.append("the built-in plugin was not found; reinstall fmas")
    if temporary is None:
        problems.append("no folder for temporary files can be written to; set TMPDIR to one that can")
    if free is None or free < _LEAST_FREE:
        known = "unknown" if free is None else f"{free / 1e9:.2f} GB"
        problems.append(f"free disk space here is {known}; make room, {_LEAST_FREE / 1e9:.0f} GB at least")
    components = component_rows(registry)
    return _Diagnosis(
        libraries=libraries,
        components=components,
        failures=failures,
        variables={name: bool(os.environ.get(name)) for name in _VARIABLES},
        temporary=temporary,
        free=free,
        problems=problems,
        notes=_notes(components, registry),
        deep=[],
    )


def _examined(
    diagnosis: _Diagnosis, registry: PluginRegistry, *, config: Path | None, settings: list[str] | None
) -> _Diagnosis:
    """Return the diagnosis with every component looked at; what the settings name must work."""
    resolved = resolve_settings({"images": ".", "out": "."}, settings=settings, config=config).config
    wanted: dict[ComponentKind, ComponentConfig] = {
        "llm": resolved.llm,
        "segmenter": resolved.segmenter,
        "inpainter": resolved.inpainter,
        "selector": resolved.selector,
    }
    rows = examine_components(registry, wanted)
    problems = [f"{row.kind} {row.name!r}: {row.error}" for row in rows if row.wanted and row.error]
    known = {(row.kind, row.name) for row in rows}
    problems += [
        f"{kind} {one.name!r} is not installed; see fmas plugins list"
        for kind, one in wanted.items()
        if (kind, one.name) not in known
    ]
    return replace(diagnosis, deep=rows, problems=[*diagnosis.problems, *problems])


def _notes(components: Sequence[ComponentRow], registry: PluginRegistry) -> list[str]:
    """Say why an inpainter that is ready may mislead a detector, and what helps."""
    leaving = [
        row.name
        for row in components
        if row.kind == "inpainter"
        and row.state == "ready"
        and getattr(registry.spec("inpainter", row.name), "leaves_traces", True)
    ]
    if not leaving:
        return []
    return [
        f"{', '.join(leaving)}: a model that paints leaves traces beside the defect (its decoder's grain, the "
        "resampling, a seam). Every defective picture has them and no normal one does, so a detector can learn the "
        "traces instead of the defect. fmas run --controls 0.2 adds normal pictures with the same traces and no defect"
    ]


def _libraries() -> dict[str, str | None]:
    """Return what ``fmas`` itself requires (its extras excluded) and the installed versions."""
    try:
        requirements = importlib.metadata.requires("fmas") or []
    except importlib.metadata.PackageNotFoundError:
        return {"fmas": None}
    names = [re.split(r"[^A-Za-z0-9._-]", one, maxsplit=1)[0] for one in requirements if "extra ==" not in one]
    return {name: _version(name) for name in names}


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _temporary_directory() -> str | None:
    try:
        with tempfile.TemporaryFile() as probe:
            probe.write(b"fmas")
        return tempfile.gettempdir()
    except OSError:
        return None


def _free_bytes() -> int | None:
    try:
        return shutil.disk_usage(Path.cwd()).free
    except OSError:
        return None


def _as_json(diagnosis: _Diagnosis) -> dict[str, object]:
    from fmas import __version__

    return {
        "fmas": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "libraries": diagnosis.libraries,
        "components": [row.as_json() for row in diagnosis.components],
        "failures": diagnosis.failures,
        "environment": diagnosis.variables,
        "temporary_directory": diagnosis.temporary,
        "free_bytes": diagnosis.free,
        "notes": diagnosis.notes,
        "deep": [row.as_json() for row in diagnosis.deep],
        "problems": diagnosis.problems,
    }


def _print(diagnosis: _Diagnosis) -> None:
    from fmas import __version__

    free = "unknown" if diagnosis.free is None else f"{diagnosis.free / 1e9:.1f} GB free here"
    print_table(
        ("system", ""),
        [
            ("fmas", __version__),
            ("python", platform.python_version()),
            ("platform", platform.platform()),
            ("temporary files", diagnosis.temporary or "nowhere"),
            ("disk", free),
        ],
    )
    typer.echo()
    print_table(("library", "version"), [(name, version or "missing") for name, version in diagnosis.libraries.items()])
    typer.echo()
    print_table(("kind", "component", "status"), [(row.kind, row.name, row.status) for row in diagnosis.components])
    typer.echo()
    print_table(
        ("environment", ""), [(name, "set" if given else "not set") for name, given in diagnosis.variables.items()]
    )
    typer.echo()
    if diagnosis.deep:
        rows = [(row.kind, row.name, "yes" if row.wanted else "no", row.status) for row in diagnosis.deep]
        print_table(("kind", "component", "used by a run here", "examined"), rows)
        typer.echo()
    for note in diagnosis.notes:
        typer.echo(f"note: {note}")
    for problem in diagnosis.problems:
        typer.echo(f"problem: {problem}")
    if not diagnosis.problems:
        typer.echo("No problem found.")
