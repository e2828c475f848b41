"""Writes the reference pages that follow from code: ``python docs/generate_reference.py``.

``docs/reference/cli.md`` comes from the Typer application, ``configuration.md`` from the pydantic models and their
docstrings, ``validation-rules.md`` from the list of rules. They are committed, so that they can be read without
building anything; a test compares them with what this script would write.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from fmas.builtin.catalogue import CatalogueOptions
from fmas.builtin.inpainter import InpainterOptions
from fmas.builtin.segmenter import SegmenterOptions
from fmas.builtin.selector import SelectorOptions
from fmas.cli.app import build_app
from fmas.config import ComponentConfig, RunConfig
from fmas.plugins import PluginRegistry
from fmas.specs import COMPONENT_KINDS
from fmas.validate.rules import Rule

__all__ = ["PAGES", "cli_page", "configuration_page", "validation_page"]

REFERENCE = Path(__file__).parent / "reference"

BUILTIN_OPTIONS: dict[str, type[BaseModel]] = {
    "llm": CatalogueOptions,
    "segmenter": SegmenterOptions,
    "inpainter": InpainterOptions,
    "selector": SelectorOptions,
}

# Below the heading: MkDocs takes a page's title from its first line.
_GENERATED = "\n<!-- Written by docs/generate_reference.py; change the code, then run it. -->\n"

_CLI_HEAD = f"""\
# Command line
{_GENERATED}
Results go to standard output, everything else to standard error. `fmas COMMAND --help` says the same as this page.
Exit codes are listed in [Exit codes](exit-codes.md), settings in [Configuration](configuration.md). Installed plugins
may add commands.
"""

_CONFIGURATION_HEAD = f"""\
# Configuration
{_GENERATED}
Every setting has a dotted key. The same key works in `fmas.yaml`, in the environment and on the command line; see
[Configure a run](../how-to/configure.md) for the three spellings and their order. A key that is not listed here is an
error that names the nearest known one.

"Part of the run" says whether the setting can change a byte of the data set. If it can, an output folder made with
another value is refused; if it cannot, it may change from one invocation to the next.
"""

_VALIDATION_HEAD = f"""\
# Validation rules
{_GENERATED}
`fmas validate OUT` checks these from the files alone: from `dataset`, the manifests, the plan and `run.json`. A broken
rule is printed as `path: what was expected, what was found, what to do [rule]`; with `--json` it is an object with
`rule`, `path` and `message`. The names are stable: scripts may rely on them. Exit code 0 means that every rule holds,
1 that at least one is broken, 2 that the path is no output folder.

| rule | what must hold |
|---|---|
"""

# What Typer adds by itself depends on its version and on the shell.
_TYPERS_OWN = {"install_completion", "show_completion"}

_NOT_PART_OF_THE_RUN = {"images", "out", "limit", "workers", "shard"}


def cli_page() -> str:
    """Return ``cli.md`` for the application without third-party plugins."""
    group = typer.main.get_command(build_app(PluginRegistry(())))
    sections = [_command_section(path, command) for path, command in _commands(group, ("fmas",))]
    return _CLI_HEAD + "".join(sections)


def configuration_page() -> str:
    """Return ``configuration.md``."""
    lines = [_CONFIGURATION_HEAD, "\n## The run\n\n"]
    meanings = _attributes(RunConfig)
    sections: list[str] = []
    lines += ["| key | default | allowed | part of the run | meaning |\n|---|---|---|---|---|\n"]
    for name, field in RunConfig.model_fields.items():
        model = field.annotation
        if isinstance(model, type) and issubclass(model, ComponentConfig):
            continue
        if isinstance(model, type) and issubclass(model, BaseModel):
            sections.append(_model_section(f"`{name}`", model, prefix=f"{name}."))
            continue
        part = "no" if name in _NOT_PART_OF_THE_RUN else "yes"
        allowed = _allowed(RunConfig, name)
        lines.append(f"| `{name}` | {_default(RunConfig, name)} | {allowed} | {part} | {meanings[name]} |\n")
    lines.append(
        "\nThe photographs count through the sorted list of their relative paths, `images` itself does not: the folder "
        "may move.\nEverything in the sections below is part of the run.\n"
    )
    lines += sections
    lines.append(
        "\n## Components\n\n`llm`, `segmenter`, `inpainter` and `selector` each name a component and hold its options "
        "beside the name;\n`llm: openai` is short for `llm: {name: openai}`. The default name is `builtin`. Choosing "
        "another component drops the options\nthat an earlier layer gave to the one it replaces. Options named like a "
        "secret (`api_key`, `token`, `password`, …), at any depth,\nand URLs with credentials are refused: the "
        "resolved configuration is written to the output folder. The llm counts as part\nof the run through its stored "
        "plan.\n"
    )
    for kind in COMPONENT_KINDS:
        if kind in BUILTIN_OPTIONS:
            lines.append(_model_section(f"`{kind}`, when it is `builtin`", BUILTIN_OPTIONS[kind], prefix=f"{kind}."))
    return "".join(lines)


def validation_page() -> str:
    """Return ``validation-rules.md``."""
    rows = [f"| `{rule.value}` | {_code_spans(rule.description)} |\n" for rule in Rule]
    return _VALIDATION_HEAD + "".join(rows)


PAGES = {
    REFERENCE / "cli.md": cli_page,
    REFERENCE / "configuration.md": configuration_page,
    REFERENCE / "validation-rules.md": validation_page,
}


def _commands(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:  # noqa: ANN401 (below)
    """Yield every command below ``command``; Typer's own classes have no public names to annotate with."""
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from _commands(child, (*path, name))


def _command_section(path: tuple[str, ...], command: Any) -> str:  # noqa: ANN401 (see _commands)
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    options = [parameter for parameter in command.params if parameter.param_type_name == "option"]
    options = [option for option in options if option.name not in _TYPERS_OWN]
    group = bool(getattr(command, "commands", None))
    if command.context_settings.get("allow_extra_args"):  # hands all arguments on; whoever takes them documents them
        usage = f"{' '.join(path)} [ARGUMENTS]"
        return f"\n## `{' '.join(path)}`\n\n```text\n{usage}\n```\n\n{_prose(command.help or '')}"
    usage = [*path, *([] if group else ["[OPTIONS]"]), *(_metavar(argument) for argument in arguments)]
    if group:
        usage.append("COMMAND")
    text = [f"\n## `{' '.join(path)}`\n\n", f"```text\n{' '.join(usage)}\n```\n\n", _prose(command.help or ""), "\n"]
    rows = [(f"`{_metavar(argument)}`", _cell(argument.help)) for argument in arguments]
    for option in options:
        required = " Required." if option.required else ""
        name = ", ".join(f"`{one}`" for one in option.opts)
        value = "" if getattr(option, "is_flag", False) else f" `{_metavar(option)}`"
        rows.append((name + value, _cell(option.help) + _shown_default(option) + required))
    rows.append(("`-h`, `--help`", "Show this text and exit."))
    text += ["| option | meaning |\n|---|---|\n", *(f"| {name} | {meaning} |\n" for name, meaning in rows)]
    return "".join(text)


def _metavar(parameter: Any) -> str:  # noqa: ANN401 (see _commands)
    return str(parameter.metavar or parameter.name.upper())


def _shown_default(option: Any) -> str:  # noqa: ANN401 (see _commands)
    """Return the default of an option whose help does not tell it."""
    if getattr(option, "is_flag", False) or option.default is None or "default:" in (option.help or ""):
        return ""
    return f" Default: `{option.default}`."


def _prose(text: str) -> str:
    return re.sub(r"[ \t]*\n[ \t]*", "\n", inspect.cleandoc(text)) + "\n"


def _model_section(title: str, model: type[BaseModel], *, prefix: str) -> str:
    meanings = _attributes(model)
    rows = [
        f"| `{prefix}{name}` | {_default(model, name)} | {_allowed(model, name)} | {meanings[name]} |\n"
        for name in model.model_fields
    ]
    head = _cell(inspect.cleandoc(model.__doc__ or "").splitlines()[0])
    return f"\n## {title}\n\n{head}\n\n| key | default | allowed | meaning |\n|---|---|---|---|\n{''.join(rows)}"


def _attributes(model: type[BaseModel]) -> dict[str, str]:
    """Return field -> meaning from the ``Attributes:`` section of a Google docstring."""
    section = inspect.cleandoc(model.__doc__ or "").partition("Attributes:\n")[2]
    found: dict[str, str] = {}
    name = ""
    for line in section.splitlines():
        if match := re.fullmatch(r" {4}(\w+): (.*)", line):
            name = match[1]
            found[name] = match[2]
        elif name and line.strip():
            found[name] += f" {line.strip()}"
    return {key: _cell(value) for key, value in found.items()}


def _default(model: type[BaseModel], name: str) -> str:
    value = model.model_fields[name].get_default()
    if value is PydanticUndefined:
        return "required"
    if isinstance(value, tuple):
        value = list(value)
    return "none" if value is None else f"`{value}`"


def _allowed(model: type[BaseModel], name: str) -> str:
    """Return the limits as pydantic knows them; what validators check besides stands in their messages."""
    schema = model.model_json_schema()["properties"][name]
    schema = next((option for option in schema.get("anyOf", []) if option.get("type") != "null"), schema)
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {schema[key]}" for key, sign in signs.items() if key in schema]
    if "maxLength" in schema:
        limits.append(f"{schema.get('minLength', 0)} to {schema['maxLength']} characters")
    if "prefixItems" in schema:
        return f"{len(schema['prefixItems'])} {schema['prefixItems'][0]['type']}s"
    kind = {"string": "path" if schema.get("format") == "path" else "text"}.get(schema["type"], schema["type"])
    return " ".join([kind, ", ".join(limits)]).strip()


def _code_spans(text: str) -> str:
    """Set file names, fields and patterns in code, so that Markdown leaves their underscores and brackets alone."""
    word = r"(?<![\w`])(?:train/<defect>|test/good|train/good|\[a-z0-9_\]\+|\*_[A-Z_]+|\w+(?:[_.]\w+)+)(?![\w`])"
    return re.sub(word, lambda match: f"`{match[0]}`", text).replace("|", r"\|")


def _cell(text: str | None) -> str:
    """Return ``text`` as one line that Markdown takes for a table cell, reStructuredText's double backticks undone."""
    text = " ".join((text or "").split())
    text = re.sub(r":\w+:`~?([\w.]+)`", r"`\1`", text)
    return text.replace("``", "`").replace("|", r"\|")


def main() -> None:
    """Write the pages."""
    for path, page in PAGES.items():
        path.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
