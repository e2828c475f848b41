"""The options that ``fmas run``, ``fmas plan`` and ``fmas config show`` share, and how they become one config."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

if TYPE_CHECKING:
    from fmas.settings import Resolved

__all__ = [
    "ConfigOption",
    "DefectsOption",
    "InpainterOption",
    "IntensityOption",
    "JsonOption",
    "LLMOption",
    "ObjectOption",
    "SegmenterOption",
    "SelectorOption",
    "SetOption",
    "given_path",
    "given_section",
    "resolve_settings",
]

ObjectOption: TypeAlias = Annotated[
    str | None, typer.Option("--object", metavar="TEXT", help="What the product is, in words, e.g. 'magnetic tile'.")
]
LLMOption: TypeAlias = Annotated[
    str | None, typer.Option("--llm", metavar="NAME", help="Who writes what can go wrong. (default: builtin)")
]
SegmenterOption: TypeAlias = Annotated[
    str | None, typer.Option("--segmenter", metavar="NAME", help="Who finds the product. (default: builtin)")
]
InpainterOption: TypeAlias = Annotated[
    str | None, typer.Option("--inpainter", metavar="NAME", help="Who paints the defects. (default: builtin)")
]
SelectorOption: TypeAlias = Annotated[
    str | None, typer.Option("--selector", metavar="NAME", help="Who measures their intensity. (default: builtin)")
]
IntensityOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--intensity", metavar="WORD", help="subtle, medium, strong, or LO:HI in scores. (default: medium)"),
]
DefectsOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("--defects", metavar="FILE", help="Your own list of defects for the builtin llm (YAML or JSON)."),
]
ConfigOption: TypeAlias = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="YAML settings. (default: ./fmas.yaml if it exists)")
]
SetOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Any setting by its dotted key, e.g. region.shape=blob. Repeatable."
    ),
]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]


def given_path(text: str) -> Path:
    """Return a path argument; an empty one, as an unset shell variable leaves it, is no path."""
    if not text.strip():
        raise typer.BadParameter(f"expected a path, got {text!r}; is a shell variable unset?")
    return Path(text)


def given_section(**options: object) -> dict[str, str] | None:
    """Return the options of one section that were given, as the settings file would have them; ``None`` if none was."""
    return {key: str(value) for key, value in options.items() if value is not None} or None


def resolve_settings(
    given: dict[str, object], *, settings: list[str] | None, config: Path | None, defects: Path | None = None
) -> Resolved:
    """Merge project file, environment and command line.

    Args:
        given: Setting -> value for each option that was given; ``None`` for those that were not.
        settings: ``--set`` items; they win over the options.
        config: ``--config``.
        defects: ``--defects``, short for ``--set llm.defects=FILE``.

    Raises:
        ConfigError: If anything is unknown or not allowed.
    """
    from fmas.settings import Layer, environment_layers, file_layer, override_layer, resolve

    values = {key: value for key, value in given.items() if value is not None}
    layers = [
        file_layer(config, folder=Path.cwd()),
        *environment_layers(),
        Layer("command line", values),
        Layer("command line", {"llm": {"defects": str(defects)}} if defects is not None else {}),
        override_layer(settings or ()),
    ]
    return resolve(layer for layer in layers if layer is not None)
