"""What is inside the wheels and source distributions that `nox -s build` made; that session names their folder."""

from __future__ import annotations

import email
import os
import re
import subprocess
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = sorted(path.parent for path in ROOT.glob("packages/*/pyproject.toml"))
FOLDER = os.environ.get("DISTRIBUTIONS")
SHIPPED_SUFFIXES = {
    ".py", ".typed",  # code
    ".cu", ".cuh", ".h",  # kernels, compiled at first use
    ".json", ".yaml", ".csv",  # catalogues, schemas, published figures
    ".css", ".html", ".j2", ".js", ".svg",  # report and pages
}  # fmt: skip

pytestmark = pytest.mark.skipif(FOLDER is None, reason="no distributions built; run `nox -s build`")


@pytest.fixture(params=PACKAGES, ids=lambda folder: folder.name)
def package(request: pytest.FixtureRequest) -> Path:
    folder: Path = request.param
    return folder


def stem(package: Path) -> str:
    project = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return f"{re.sub('[-.]+', '_', project['name'])}-{project['version']}"


def archive(package: Path, ending: str) -> Path:
    assert FOLDER is not None
    return Path(FOLDER) / (stem(package) + ending)


def source_files(package: Path) -> set[str]:
    """Return the package's sources relative to `src/`: what git tracks, or would track."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "src"],
        cwd=package, capture_output=True, check=True, text=True,
    ).stdout  # fmt: skip
    present = {name for name in listing.split("\0") if name and (package / name).is_file()}
    assert present, f"no sources found in {package}"
    return {name.removeprefix("src/") for name in present}


def test_nothing_else_was_built() -> None:
    assert FOLDER is not None
    expected = {archive(package, ending).name for package in PACKAGES for ending in ("-py3-none-any.whl", ".tar.gz")}
    assert {path.name for path in Path(FOLDER).iterdir()} == expected


def test_wheel_holds_exactly_the_sources(package: Path) -> None:
    with zipfile.ZipFile(archive(package, "-py3-none-any.whl")) as wheel:
        names = set(wheel.namelist())
    information = f"{stem(package)}.dist-info"
    required = {f"{information}/{name}" for name in ("METADATA", "RECORD", "WHEEL", "licenses/LICENSE")}
    optional = {f"{information}/entry_points.txt"}
    assert names - optional == source_files(package) | required


def test_wheel_is_typed_and_tested_elsewhere(package: Path) -> None:
    with zipfile.ZipFile(archive(package, "-py3-none-any.whl")) as wheel:
        names = [Path(name) for name in wheel.namelist() if ".dist-info/" not in name]
    assert Path(names[0].parts[0], "py.typed") in names
    assert {name.suffix for name in names} <= SHIPPED_SUFFIXES
    assert [name for name in names if re.match(r"(test_.*|conftest)\.py$", name.name) or "tests" in name.parts] == []


def test_source_distribution_holds_sources_and_what_describes_them(package: Path) -> None:
    with tarfile.open(archive(package, ".tar.gz")) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    described = {"LICENSE", "PKG-INFO", "README.md", "pyproject.toml"}
    # hatchling always adds the ignore file that it read.
    assert names - {".gitignore"} == {f"src/{name}" for name in source_files(package)} | described


def test_metadata_shows_the_readme_and_the_licence(package: Path) -> None:
    with zipfile.ZipFile(archive(package, "-py3-none-any.whl")) as wheel:
        metadata = email.message_from_bytes(wheel.read(f"{stem(package)}.dist-info/METADATA"))
        licence = wheel.read(f"{stem(package)}.dist-info/licenses/LICENSE")
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Description-Content-Type"] == "text/markdown"
    readme = metadata.get_payload(decode=True).decode("utf-8")  # bytes: the format is UTF-8, a mail would not be
    assert readme.strip() == (package / "README.md").read_text(encoding="utf-8").strip()
    assert licence == (ROOT / "LICENSE").read_bytes()
