"""Every check of this repository; `nox` runs all of them, `nox -s tests` one, `nox --list` names them.

Each session has its own environment and installs with `constraints.txt`. Siblings are not on PyPI, so one pip command
names all that a session needs.
"""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Concatenate, ParamSpec, cast

import nox

nox.needs_version = ">=2024.4.15"
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = [
    "lint",
    "types",
    "imports",
    "tests",
    "isolated",
    "build",
    "docs",
    "interop",
    "vision",
    "providers",
    "kernels",
    "browser",
]

ROOT = Path(__file__).parent
TEST_TOOLS = ("pytest", "pytest-cov", "pytest-xdist", "hypothesis")
QUIET_HOUSE = {
    # Two test processes on two cores: more threads inside each only get into each other's way.
    "OMP_NUM_THREADS": "1",
    # No test may download anything.
    "HF_HUB_OFFLINE": "1",
}


ROOMY = 60e9
"""Bytes free on the disk from which on an environment of gigabytes is kept for the next time."""

P = ParamSpec("P")


def leaves_room(check: Callable[Concatenate[nox.Session, P], None]) -> Callable[Concatenate[nox.Session, P], None]:
    """Take a session's environment away once it has passed, unless the disk is roomy.

    All environments together hold 14 GB; on a CI machine the last of them once found the disk full.
    """

    @functools.wraps(check)
    def checked(session: nox.Session, *arguments: P.args, **named: P.kwargs) -> None:
        check(session, *arguments, **named)
        if shutil.disk_usage(ROOT).free < ROOMY:
            shutil.rmtree(session.virtualenv.location, ignore_errors=True)

    return cast("Callable[Concatenate[nox.Session, P], None]", checked)


@dataclass(frozen=True, slots=True)
class Package:
    """One installable of this repository.

    Attributes:
        folder: Below `packages/`.
        module: What one imports.
        tests: Folder below `tests/`.
        smoke: Python that must run when nothing but the wheel and what it declares is installed.
        siblings: Folders of packages of ours that it depends on.
    """

    folder: str
    module: str
    tests: str
    smoke: str
    siblings: tuple[str, ...] = ()


PACKAGES = (
    Package(
        "wdam",
        "wdam",
        "wdam",
        "import torch, wdam; assert wdam.WDAM(8)(torch.zeros(1, 8, 5, 3)).shape == (1, 8, 5, 3)",
    ),
    Package(
        "evaluate",
        "fmas_evaluate",
        "evaluate",
        "import fmas_evaluate; assert fmas_evaluate.image_auroc([0.0, 1.0], [False, True]) == 1.0",
    ),
    Package(
        "fmas",
        "fmas",
        "fmas",
        "import fmas; [getattr(fmas, name) for name in fmas.__all__]",
    ),
    Package(
        "fmas-providers",
        "fmas_providers",
        "providers",
        "import fmas, fmas_providers; assert fmas_providers.__version__",
        siblings=("fmas",),
    ),
)
EXTRAS = {"evaluate": "[cli,torchmetrics]"}  # without them a third of its tests would skip
EDITABLE = tuple(
    part for package in PACKAGES for part in ("-e", f"packages/{package.folder}{EXTRAS.get(package.folder, '')}")
)
EXAMPLES = tuple(sorted(path.parent.relative_to(ROOT).as_posix() for path in ROOT.glob("examples/*/pyproject.toml")))
EDITABLE_EXAMPLES = tuple(part for example in EXAMPLES for part in ("-e", example))


def install(session: nox.Session, *arguments: str) -> None:
    """Install with the repository's constraints."""
    session.install("-c", "constraints.txt", *arguments)


@nox.session
@leaves_room
def tests(session: nox.Session) -> None:
    """Run the default suite over all packages and examples; arguments go to pytest, e.g. `-- --cov -k mask`."""
    install(session, *EDITABLE, *EDITABLE_EXAMPLES, *TEST_TOOLS, "psutil")
    others = ("browser", "interop", "vision", "repository/test_distributions.py")
    elsewhere = [f"--ignore=tests/{other}" for other in others]
    examples = [f"{example}/tests" for example in EXAMPLES if (ROOT / example / "tests").is_dir()]
    session.run("pytest", "-n", "2", "tests", *examples, *elsewhere, *session.posargs, env=QUIET_HOUSE)


# A reused environment would already hold pytest, whose dependencies could hide one that the wheel forgot to declare.
@nox.session(reuse_venv=False)
@nox.parametrize("package", [nox.param(package, id=package.folder) for package in PACKAGES])
@leaves_room
def isolated(session: nox.Session, package: Package) -> None:
    """Install one package's wheel alone, import it before pytest arrives, then run its tests."""
    wheels = Path(session.create_tmp()).resolve() / package.folder
    folders = [f"packages/{folder}" for folder in (package.folder, *package.siblings)]
    session.run("python", "-m", "pip", "wheel", "--no-deps", "--wheel-dir", str(wheels), *folders, silent=True)
    built = sorted(str(path) for path in wheels.glob("*.whl"))
    install(session, *built)

    # Away from the repository, so that only what is installed can be imported; warnings are errors here, too.
    alone = (
        "import importlib.util as u; assert u.find_spec('pytest') is None, 'pytest must come later: run without -R'",
    )
    with session.chdir(session.create_tmp()):
        for code in (*alone, package.smoke):
            session.run("python", "-I", "-W", "error", "-c", code)
        if package.folder == "fmas":
            session.run("fmas", "--help", silent=True)

    install(session, *TEST_TOOLS)
    chosen = "not slow and not integration and not interop"  # those need time or siblings; `tests` runs them
    session.run("pytest", "-n", "2", "-m", chosen, f"tests/{package.tests}", *session.posargs, env=QUIET_HOUSE)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting with ruff."""
    install(session, "ruff")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
@leaves_room
def types(session: nox.Session) -> None:
    """Check all packages, the examples and this file with mypy's strict rules."""
    install(session, *EDITABLE, *EDITABLE_EXAMPLES, "mypy", "types-PyYAML", "nox", "safetensors")  # the last is typed
    sources = [f"packages/{package.folder}/src" for package in PACKAGES] + [f"{example}/src" for example in EXAMPLES]
    session.run("mypy", *sources, "noxfile.py")


@nox.session
def imports(session: nox.Session) -> None:
    """Check that imports between packages point one way (contracts in pyproject.toml)."""
    install(session, "import-linter")
    session.install("--no-deps", *EDITABLE)  # the source is read, nothing is run
    session.run("lint-imports", "--no-cache")


@nox.session
@leaves_room
def docs(session: nox.Session) -> None:
    """Build the documentation into `site/`; a broken link or reference is an error. `-- serve` shows it instead."""
    install(session, "-e", "packages/fmas", "-e", "packages/evaluate", "-r", "docs/requirements.txt")
    arguments = session.posargs or ["build", "--strict"]
    session.run("mkdocs", *arguments, env={"NO_MKDOCS_2_WARNING": "1", **QUIET_HOUSE})


@nox.session
@leaves_room
def interop(session: nox.Session) -> None:
    """Read freshly made data sets with anomalib and Hugging Face datasets (2 GB to install, offline to run)."""
    install(session, "-e", "packages/fmas", "anomalib", "datasets>=5", "pytest", "hypothesis")
    session.run("pytest", "-m", "interop", "tests/interop", *session.posargs, env=QUIET_HOUSE)


@nox.session
@leaves_room
def providers(session: nox.Session) -> None:
    """Ask the real SDKs, offline (a fake service, tiny models), and train and inspect with unet (2 GB to install)."""
    extras = "openai,anthropic,diffusers,detector,onnx,export"
    ours = ("packages/wdam", "packages/evaluate[cli]", "packages/fmas", f"packages/fmas-providers[{extras}]")
    install(session, *(part for package in ours for part in ("-e", package)), *TEST_TOOLS)
    session.run("pytest", "-n", "2", "tests/providers", *session.posargs, env=QUIET_HOUSE)


@nox.session
@leaves_room
def vision(session: nox.Session) -> None:
    """Run what needs torchvision: WDAM in foreign ResNets, SAM, LPIPS, cutpaste; ONNX and hub (2 GB to install)."""
    outside = ("torchvision", "timm", "transformers", "onnx", "onnxruntime", "onnxscript")
    ours = ("packages/wdam[hub]", "packages/fmas", "packages/fmas-providers[sam,sam-hf,lpips,detector,cutpaste]")
    install(session, *(part for package in ours for part in ("-e", package)), *outside, *TEST_TOOLS)
    # tests/vision must be named as well: its conftest.py makes torchvision importable beside CPU torch.
    chosen = ("tests/vision", *(f"tests/wdam/test_{job}.py" for job in ("docs_wdam", "hub", "onnx")))
    session.run("pytest", "-n", "2", *chosen, *session.posargs, env=QUIET_HOUSE)


@nox.session
@leaves_room
def kernels(session: nox.Session) -> None:
    """Compile every CUDA kernel of wdam with NVRTC and read its resource report; needs no GPU (1 GB to install)."""
    # Pinned here and not in constraints.txt, where it would fight with the NVRTC that a CUDA build of torch brings: a
    # newer ptxas may well spill a register that this one does not.
    install(session, "-e", "packages/wdam", "cuda-core[cu13]", "nvidia-cuda-nvrtc==13.5.37", *TEST_TOOLS)
    chosen = [f"tests/wdam/test_kernels_{job}.py" for job in ("cache", "compile", "host", "transforms")]
    session.run("pytest", "-n", "2", *chosen, *session.posargs, env=QUIET_HOUSE)


@nox.session
def browser(session: nox.Session) -> None:
    """Open the report and the review page in a real headless Chromium; offline but for 127.0.0.1."""
    install(session, "-e", "packages/fmas", "playwright", *TEST_TOOLS)
    if not any(shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")):
        if shutil.which("apt-get") and os.geteuid() == 0:  # a bare Debian, as in CI
            for command in (["update"], ["install", "--yes", "--no-install-recommends", "chromium"]):
                session.run("apt-get", *command, external=True, silent=True)
        else:
            session.run("playwright", "install", "chromium")
    session.run("pytest", "tests/browser", *session.posargs, env={**QUIET_HOUSE, "FMAS_BROWSER_REQUIRED": "1"})


@nox.session
def build(session: nox.Session) -> None:
    """Build wheels and source distributions into `dist/` and check what is inside."""
    install(session, "build", "hatchling", "twine", "pytest", "hypothesis")
    for old in (ROOT / "dist").glob("*"):
        old.unlink()
    for package in PACKAGES:
        # The wheel is made from the source distribution, which proves that one complete.
        session.run(
            "python", "-m", "build", "--no-isolation", "--outdir", "dist", f"packages/{package.folder}", silent=True
        )
    session.run("twine", "check", "--strict", *sorted(str(path) for path in (ROOT / "dist").iterdir()))
    session.run("pytest", "tests/repository/test_distributions.py", env={"DISTRIBUTIONS": str(ROOT / "dist")})


@nox.session
def demo(session: nox.Session) -> None:
    """Run `fmas demo`; arguments go to it."""
    install(session, "-e", "packages/fmas")
    session.run("fmas", "demo", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Run every `packages/*/benchmarks/bench_*.py` without arguments, or `-- SCRIPT ARGUMENTS` alone."""
    scripts = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("packages/*/benchmarks/bench_*.py"))
    commands = [session.posargs] if session.posargs else [[script] for script in scripts]
    if not commands:
        session.skip("no package has a benchmark yet")
    install(session, *EDITABLE)
    if any("evaluate" in command[0] for command in commands):
        # What evaluate is measured beside; anomalib and adeval may join them by hand: 2 GB, and a GUI build of OpenCV.
        install(session, "scikit-learn")
    for command in commands:
        session.run("python", *command)
