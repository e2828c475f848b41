"""A package imports only what its own pyproject.toml promises to install."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INSTALLABLES = sorted(
    path.parent for path in [*ROOT.glob("packages/*/pyproject.toml"), *ROOT.glob("examples/*/pyproject.toml")]
)


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(folder: Path) -> set[str]:
    """Return the distributions of all dependencies and extras, and the package itself."""
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project.get("optional-dependencies", {}).values()
    requirements = [*project.get("dependencies", []), *(entry for extra in extras for entry in extra)]
    return {normalized(re.split(r"[\s\[<>=!~;@]", entry, maxsplit=1)[0]) for entry in [*requirements, project["name"]]}


def imported(path: Path) -> Iterator[str]:
    """Yield the top-level names of everything a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None
            assert node.level == 0, f"relative import in {path}"
            yield node.module.split(".")[0]


@pytest.fixture(scope="module")
def providers_of() -> dict[str, list[str]]:
    """Map an import name to the distributions that bring it, as far as they are installed here."""
    return {name: [normalized(each) for each in found] for name, found in packages_distributions().items()}


@pytest.mark.parametrize("folder", INSTALLABLES, ids=lambda folder: folder.name)
def test_every_import_is_declared(folder: Path, providers_of: dict[str, list[str]]) -> None:
    promised = declared(folder)
    undeclared = {
        (path.relative_to(folder).as_posix(), name)
        for path in folder.glob("src/**/*.py")
        for name in imported(path)
        if name not in sys.stdlib_module_names and promised.isdisjoint(providers_of.get(name, [normalized(name)]))
    }
    assert undeclared == set()
