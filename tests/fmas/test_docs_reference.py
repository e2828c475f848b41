"""The reference pages say what the code does: they are what the code generates, and what ``--help`` and errors say."""

from __future__ import annotations

import dataclasses
import importlib.util
import inspect
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner

from fmas import errors
from fmas.cli.app import build_app
from fmas.cli.outcome import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE
from fmas.manifest import ManifestEntry
from fmas.plugins import PluginRegistry
from fmas.plugins.requirements import MissingRequirementError
from fmas.samples import RejectReason

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"


def load_generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_reference", ROOT / "docs" / "generate_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and typing look modules up there
    spec.loader.exec_module(module)
    return module


GENERATOR = load_generator()


@pytest.mark.parametrize("path", GENERATOR.PAGES, ids=lambda path: path.name)
def test_a_generated_page_is_what_the_code_says(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == GENERATOR.PAGES[path](), "run: python docs/generate_reference.py"


def sections_of_cli_page() -> dict[str, set[str]]:
    """Return command -> options, as the page has them."""
    text = (REFERENCE / "cli.md").read_text(encoding="utf-8")
    parts = re.split(r"^## `(fmas[^`]*)`$", text, flags=re.MULTILINE)[1:]
    rows = {
        name: re.findall(r"^\| (`-.*?) \|", body, flags=re.MULTILINE)
        for name, body in zip(parts[::2], parts[1::2], strict=True)
    }
    return {name: {one for row in cells for one in re.findall(r"`(--[a-z-]+)`", row)} for name, cells in rows.items()}


def help_of(command: str) -> str:
    wide = {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
    result = CliRunner().invoke(build_app(PluginRegistry(())), [*command.split()[1:], "--help"], env=wide)
    assert result.exit_code == 0, result.output
    return result.output


def test_every_command_has_its_section() -> None:
    found = set()

    def walk(command: str) -> None:
        found.add(command)
        listing = re.search(r"Commands -+.*?\n(.*)", help_of(command).replace("─", "-"), flags=re.DOTALL)
        for name in re.findall(r"^│ ([a-z][a-z-]*) ", listing[1], flags=re.MULTILINE) if listing else []:
            walk(f"{command} {name}")

    walk("fmas")
    assert {"fmas run", "fmas validate", "fmas report", "fmas config show", "fmas plugins list"} <= found
    assert found == set(sections_of_cli_page())


@pytest.mark.parametrize("command", sections_of_cli_page())
def test_a_section_has_the_options_that_help_shows(command: str) -> None:
    # An option's own line starts with its name; its description may mention other options.
    shown = set(re.findall(r"^│\s+(?:\*\s+)?(?:-\w,?\s+)?(--[a-z-]+)", help_of(command), flags=re.MULTILINE))
    shown |= set(re.findall(r"^│\s+(--[a-z-]+)\s+-\w ", help_of(command), flags=re.MULTILINE))
    typers_own = {"--install-completion", "--show-completion"}
    assert shown - typers_own == sections_of_cli_page()[command]


def test_the_error_page_draws_the_whole_tree() -> None:
    text = (REFERENCE / "errors.md").read_text(encoding="utf-8")
    tree = re.search(r"```text\n(.*?)```", text, flags=re.DOTALL)
    assert tree is not None
    classes = {name for name, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, errors.FmasError)}
    assert set(re.findall(r"\w+Error\b", tree[1])) == classes | {MissingRequirementError.__name__}


def test_the_exit_codes_are_all_there() -> None:
    text = (REFERENCE / "exit-codes.md").read_text(encoding="utf-8")
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", text, flags=re.MULTILINE)}
    assert listed == {0, EXIT_FAILED, EXIT_USAGE, 3, EXIT_INTERRUPTED}


def test_the_reasons_of_rejects_are_all_there() -> None:
    text = (REFERENCE / "output-layout.md").read_text(encoding="utf-8")
    section = text.partition("## Reasons of rejects")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE)) == {reason.value for reason in RejectReason}


def test_the_keys_of_a_manifest_line_are_all_there() -> None:
    text = (REFERENCE / "output-layout.md").read_text(encoding="utf-8")
    section = text.partition("## `manifest/`")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`\w+`.*?) \|", section, flags=re.MULTILINE)
    assert {key for cell in cells for key in re.findall(r"`(\w+)`", cell)} == {
        field.name for field in dataclasses.fields(ManifestEntry)
    }


def test_the_rooms_are_those_of_the_house() -> None:
    text = (ROOT / "docs/explanation/how-fmas-works.md").read_text(encoding="utf-8")
    section = text.partition("## The rooms")[2].partition("\n## ")[0]
    named = re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", section, flags=re.MULTILINE)))
    package = ROOT / "packages/fmas/src/fmas"
    rooms = {path.stem for path in package.glob("*.py")} | {path.parent.name for path in package.glob("*/__init__.py")}
    # Small rooms whose names say everything, and the doors.
    unlisted = {"__init__", "__main__", "demo_photographs", "errors", "preview", "slugs", "versions"}
    assert len(named) == len(set(named))
    assert set(named) == rooms - unlisted
