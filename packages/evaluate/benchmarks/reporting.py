"""How the benchmarks print: a line about the machine, Markdown tables, JSON, the documents' tables between markers."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["README", "SWITCH", "Report", "commit", "machine", "report_options", "table"]

SWITCH = "NPY_DISABLE_CPU_FEATURES"  # decides which of numpy's sorts runs
README = Path(__file__).parents[1] / "README.md"


def machine() -> str:
    """Return one line: processor, cores this process may use, Python and the versions that matter."""
    names = ("numpy", "scipy", "fmas-evaluate", "scikit-learn", "anomalib", "adeval", "torch")
    versions = [f"{name} {found}" for name in names if (found := _version(name))]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    switched_off = os.environ.get(SWITCH)
    versions += [f"{SWITCH}={switched_off}"] if switched_off else []
    return f"{_processor()}, {cores} cores, Python {platform.python_version()}, {', '.join(versions)}"


def commit() -> str:
    """Return the short name of the repository's commit, `+` behind it if files differ from it."""
    folder = Path(__file__).parent
    try:
        name = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--dirty=+"],  # noqa: S607
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "no repository"
    return name.stdout.strip()


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines) + "\n"


@dataclass(slots=True)
class Report:
    """What one benchmark found: printed as it comes, and written where the options say.

    Attributes:
        name: Of the benchmark, which is also the name of its markers in the document.
        options: With `json` and `publish`, from `report_options`.
        page: The document.
        text: The Markdown printed so far.
        facts: What goes into the JSON file.
    """

    name: str
    options: argparse.Namespace
    page: Path
    text: str
    facts: dict[str, object]

    @classmethod
    def begin(cls, name: str, options: argparse.Namespace, page: Path = README) -> Report:
        """Start with the line about the machine."""
        report = cls(name, options, page, "", {"benchmark": name, "machine": machine(), "commit": commit()})
        print(machine() + "\n", flush=True)
        return report

    def add(self, text: str, **facts: object) -> None:
        """Print some Markdown and remember it."""
        print(text, flush=True)
        self.text += text + "\n"
        self.facts |= facts

    def finish(self) -> None:
        """Write the JSON file and the document's tables, when asked to."""
        if self.options.json:
            Path(self.options.json).write_text(json.dumps(self.facts, indent=2) + "\n", encoding="utf-8")
        if self.options.publish:
            arguments = [one for one in sys.argv[1:] if one != "--publish"]
            settings = [f"{SWITCH}={os.environ[SWITCH]}"] if os.environ.get(SWITCH) else []
            command = " ".join(
                [*settings, "python", f"packages/evaluate/benchmarks/{Path(sys.argv[0]).name}", *arguments]
            )
            source = f"Made by `{command}` at commit {commit()}: {machine()}.\n"
            _write_between(self.page, self.name, f"{self.text.strip()}\n\n{source}")


def report_options(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that every benchmark has."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", metavar="FILE", help="also write the numbers there")
    parser.add_argument("--publish", action="store_true", help="write the tables into the document that shows them")
    parser.add_argument("--seed", type=int, default=0, help="of the random numbers (default 0)")
    return parser


def _write_between(page: Path, name: str, text: str) -> None:
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"
    before, found, rest = page.read_text(encoding="utf-8").partition(begin)
    _, found_end, after = rest.partition(end)
    if not found or not found_end:
        raise SystemExit(f"expected the markers of {name} in {page}, found none; add {begin.strip()} and {end.strip()}")
    page.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
