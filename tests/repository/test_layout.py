"""What every package and every source file of this repository looks like."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = sorted(path.parent for path in ROOT.glob("packages/*/pyproject.toml"))
INSTALLABLES = [*PACKAGES, *sorted(path.parent for path in ROOT.glob("examples/*/pyproject.toml"))]
SOURCES = sorted(path for folder in INSTALLABLES for path in folder.glob("src/**/*.py"))
BENCHMARKS = sorted(ROOT.glob("packages/*/benchmarks/*.py"))
TESTS = sorted([*ROOT.glob("tests/**/*.py"), *ROOT.glob("examples/*/tests/**/*.py")])
LONGEST_FILE = 400  # lines; past this a file does two things
VAGUE_NAMES = {"common", "helper", "helpers", "manager", "managers", "misc", "util", "utils"}


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def project_table(folder: Path) -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return table


def test_the_four_packages_are_here() -> None:
    # The rules below run over what is found; finding nothing must not pass.
    assert [folder.name for folder in PACKAGES] == ["evaluate", "fmas", "fmas-providers", "wdam"]
    assert len(SOURCES) > len(PACKAGES)


@pytest.mark.parametrize("folder", INSTALLABLES, ids=relative)
def test_a_package_is_complete(folder: Path) -> None:
    assert len((folder / "README.md").read_text(encoding="utf-8").strip()) > 0
    assert list(folder.glob("src/*/py.typed")), "a package without py.typed is untyped to its users"
    if folder in PACKAGES:
        assert (folder / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


@pytest.mark.parametrize("folder", INSTALLABLES, ids=relative)
def test_metadata(folder: Path) -> None:
    project = project_table(folder)
    assert project["requires-python"] == ">=3.11"
    assert project["license"] == "Apache-2.0"
    assert project["readme"] == "README.md"
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev\d+|rc\d+)?", project["version"])


@pytest.mark.parametrize("folder", INSTALLABLES, ids=relative)
def test_dependencies_are_ranges(folder: Path) -> None:
    project = project_table(folder)
    ours = {project_table(package)["name"] for package in PACKAGES}
    extras: dict[str, list[str]] = project.get("optional-dependencies", {})
    for requirement in [*project.get("dependencies", []), *(entry for extra in extras.values() for entry in extra)]:
        # Behind the semicolon stands a marker, which may well compare a platform with `==`.
        assert "==" not in requirement.partition(";")[0], f"pins belong into constraints.txt: {requirement}"
        assert ">=" in requirement or "@" in requirement, f"{requirement} has no lower bound"
        name = re.split(r"[\s\[<>=!~;]", requirement, maxsplit=1)[0]
        assert name not in ours or "<" in requirement, f"a sibling needs an upper bound: {requirement}"


@pytest.mark.parametrize("folder", PACKAGES, ids=relative)
def test_version_in_code_is_the_one_in_metadata(folder: Path) -> None:
    (init,) = folder.glob("src/*/__init__.py")
    assert f'__version__ = "{project_table(folder)["version"]}"' in init.read_text(encoding="utf-8").splitlines()


def test_the_changelog_has_a_section_per_package() -> None:
    lines = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()
    headings = [line.removeprefix("## ") for line in lines if line.startswith("## ")]
    assert sorted(headings) == sorted(project_table(folder)["name"] for folder in PACKAGES)


def test_no_package_marker_under_tests() -> None:
    # tests/fmas/__init__.py would silently replace the installed fmas.
    assert [relative(path) for path in TESTS if path.name == "__init__.py"] == []


def test_test_file_names_are_unique() -> None:
    names = Counter(path.name for path in TESTS if path.name != "conftest.py")
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize("path", [*SOURCES, *BENCHMARKS, ROOT / "noxfile.py"], ids=relative)
def test_a_file_stays_short(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= LONGEST_FILE, f"{lines} lines: split it by job"


def test_names_say_what_a_module_does() -> None:
    assert [relative(path) for path in SOURCES if path.stem.strip("_") in VAGUE_NAMES] == []


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_a_module_says_what_it_is_for(path: Path) -> None:
    summary = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert summary, "the first line says what the module does"
    assert summary.splitlines()[0].endswith((".", ":", "?")), "one sentence"


@pytest.mark.parametrize("path", [*SOURCES, *BENCHMARKS, *TESTS, ROOT / "noxfile.py"], ids=relative)
def test_a_note_for_later_names_its_issue(path: Path) -> None:
    notes = re.findall(r"#.*\b(?:TO" + r"DO|FIX" + r"ME)\b.*", path.read_text(encoding="utf-8"))
    assert [note for note in notes if not re.search(r"issue \d+", note)] == []
