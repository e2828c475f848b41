"""What a finished cell leaves behind, and reading it back: ``result.json``, written last, and ``replicates.npz``."""

from __future__ import annotations

import json
import math
import os
import platform
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fmas.benchmark.cells import Cell
from fmas.benchmark.ruler import Sampled
from fmas.errors import OutputError
from fmas.files import AtomicWriter

__all__ = ["CellResult", "load_sampled", "machine", "read_result", "save_sampled", "write_result"]

_RESULT, _REPLICATES = "result.json", "replicates.npz"
_ALL = ""
_ABOUT = frozenset(
    ("commands", "seconds", "resumed", "machine", "versions", "training", "false_alarms", "found", "subbands")
)
"""What the report says of a cell; a file without one of them is no cell's."""


@dataclass(frozen=True, slots=True)
class CellResult:
    """One finished cell.

    Attributes:
        sampled: Measures of all test images.
        kinds: Kind of defect -> measures of these and all good images.
        about: What ``result.json`` holds besides, JSON values: ``commands``, ``seconds``, ``training``, ``machine``,
            ``versions``, ``false_alarms``, ``found``, ``subbands``, ``shrunk`` and so on.
    """

    sampled: Sampled
    kinds: Mapping[str, Sampled]
    about: Mapping[str, Any]


def write_result(folder: Path, cell: Cell, result: CellResult) -> None:
    """Write a finished cell; only when this returns does it count as finished.

    Raises:
        OutputError: If the disk is full or the folder cannot be written.
    """
    writer = AtomicWriter(folder / ".tmp")
    save_sampled(writer, folder / _REPLICATES, {_ALL: result.sampled, **result.kinds})
    content = {
        "format": "fmas-benchmark-cell",
        "category": cell.category.name,
        "variant": cell.variant.name,
        "detector": cell.variant.detector,
        "options": dict(cell.variant.options),
        "seed": cell.seed,
        "measures": _json_values(result.sampled.values),
        "kinds": {kind: _json_values(sampled.values) for kind, sampled in result.kinds.items()},
        **result.about,
    }
    writer.write_text(folder / _RESULT, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_result(folder: Path) -> CellResult | None:
    """Return a finished cell; ``None`` if it is not finished.

    Raises:
        OutputError: If the files are no cell's.
    """
    try:
        content = json.loads((folder / _RESULT).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise OutputError(f"expected a result in {folder / _RESULT}, got {error}; delete the folder") from error
    if not isinstance(content, dict) or not content.keys() >= _ABOUT:
        raise OutputError(
            f"expected a cell's result in {folder / _RESULT}, got something else; delete the folder and run again"
        )
    sampled = load_sampled(folder / _REPLICATES)
    if _ALL not in sampled:
        raise OutputError(f"expected measures of all images in {folder / _REPLICATES}, got none; delete {folder}")
    about = {key: value for key, value in content.items() if key not in ("measures", "kinds")}
    return CellResult(sampled.pop(_ALL), sampled, about)


def save_sampled(writer: AtomicWriter, path: Path, sampled: Mapping[str, Sampled]) -> None:
    """Write measures and their replicates under names.

    Raises:
        OutputError: If the disk is full or the folder cannot be written.
    """
    arrays: dict[str, Any] = {}
    for name, part in sampled.items():
        for measure, value in part.values.items():
            arrays[f"{name}/{measure}"] = np.concatenate([[value], part.replicates[measure]])
    with writer.stream(path) as file:
        np.savez(file, **arrays)


def load_sampled(path: Path) -> dict[str, Sampled]:
    """Read what :func:`save_sampled` wrote.

    Raises:
        OutputError: If it is missing or something else.
    """
    values: dict[str, dict[str, float]] = {}
    replicates: dict[str, dict[str, Any]] = {}
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            for key in arrays.files:
                name, _, measure = key.rpartition("/")
                array = arrays[key]
                values.setdefault(name, {})[measure] = float(array[0])
                replicates.setdefault(name, {})[measure] = array[1:]
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise OutputError(f"expected measures in {path}, got {error}; delete {path.parent}") from error
    return {name: Sampled(values[name], replicates[name]) for name in values}


def machine(*, threads: int | None, device: str | None) -> dict[str, object]:
    """Return what figures of time depend on, JSON values; no host name."""
    return {
        "system": platform.platform(terse=True),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "device": device or "auto",
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _json_values(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in values.items()}
