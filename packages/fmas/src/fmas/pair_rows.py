"""Which finished pairs an output folder or a category's folder holds, as rows; no picture is opened."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from fmas.decisions import read_decisions
from fmas.errors import OutputError, UsageError, suggest
from fmas.layout import OutputLayout
from fmas.manifest import CHOOSING, ManifestIndex
from fmas.output import read_run_file

__all__ = ["PairRows", "Row", "read_pair_rows"]

Row: TypeAlias = Mapping[str, object]
"""A row of ``metadata.jsonl``."""

_METADATA = "metadata.jsonl"


@dataclass(slots=True)
class PairRows:
    """What is there to train on.

    Attributes:
        folder: The category's folder, which the paths in rows are relative to.
        category: Its name.
        pairs: Rows of finished pairs that no reviewer dropped, by stem.
        controls: Rows of negative controls that no reviewer dropped, by stem.
        notes: What the user should know: pairs that are missing or left out, in words.
    """

    folder: Path
    category: str
    pairs: list[Row] = field(default_factory=list)
    controls: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_pair_rows(folder: Path, category: str | None = None) -> PairRows:
    """Read the rows of one category.

    Of an output folder the manifest counts, which is up to date also while a run goes on or after it was killed. Of a
    category's folder that was copied away, ``metadata.jsonl`` does. Held-out good photographs are left out: they are
    for tests.

    Args:
        folder: ``OUT``, or ``OUT/dataset/<category>``, or a copy of the latter.
        category: Which category; may be left out where there is one.

    Raises:
        UsageError: If ``folder`` is neither, or does not say which category is meant.
        OutputError: If its rows cannot be read.
    """
    root, name = _category_folder(folder, category)
    rows = PairRows(root, name)
    layout = _layout_of(root)
    if layout is None:
        for number, row in _metadata_rows(root / _METADATA):
            _take(rows, row, f"line {number} of {root / _METADATA}")
        return rows
    decisions = read_decisions(layout)
    dropped = failed = 0
    for entry in ManifestIndex(layout.manifest).entries():
        if entry.row is None:
            failed += 1
            if entry.reason == CHOOSING:
                rows.notes.append(f"pair {entry.stem} is left out: fmas select was stopped in the middle of it")
        elif decisions.verdict(entry.stem, entry.row.get("image_sha256")) == "drop":
            dropped += 1
        else:
            _take(rows, entry.row, f"the line of stem {entry.stem} in {layout.manifest}")
    if dropped:
        rows.notes.append(f"{_pictures(dropped)} left out: dropped in review; fmas run makes others instead")
    if failed:
        rows.notes.append(f"{_pictures(failed)} missing: could not be made, see failures.jsonl")
    if _is_unfinished(layout, len(rows.pairs) + len(rows.controls) + dropped):
        rows.notes.append("the run is not finished: it is going on or was killed; what is finished is used")
    return rows


def _pictures(number: int) -> str:
    return "1 picture is" if number == 1 else f"{number} pictures are"


def _category_folder(folder: Path, category: str | None) -> tuple[Path, str]:
    """Return the category's folder and its name."""
    if not folder.is_dir():
        what = "which is no folder" if folder.exists() else "which does not exist"
        raise UsageError(f"expected the output folder of fmas run, got {folder}, {what}; check the path")
    if (folder / _METADATA).is_file() or _layout_of(folder) is not None:
        name = folder.resolve().name
        if category not in (None, name):
            raise UsageError(f"expected the folder of category {category!r}, got {folder}; leave the category out")
        return folder, name
    dataset = folder if folder.name == "dataset" else folder / "dataset"
    names = sorted(one.name for one in dataset.iterdir() if one.is_dir()) if dataset.is_dir() else []
    if not names:
        raise UsageError(
            f"expected the output folder of fmas run, got {folder} without dataset/<category>; run fmas run IMAGES "
            f"--out {folder} first"
        )
    if category is None and len(names) > 1:
        raise UsageError(f"expected one category in {folder}, got {', '.join(names)}; say which, with --category")
    if category is not None and category not in names:
        raise UsageError(f"expected a category of {folder}, got {category!r}: {suggest(category, names)}")
    name = category or names[0]
    return dataset / name, name


def _layout_of(root: Path) -> OutputLayout | None:
    """Return where the run of this category's folder keeps its manifest, ``None`` for a folder that was copied away."""
    resolved = root.resolve()
    layout = OutputLayout(resolved.parent.parent, resolved.name)
    if layout.dataset != resolved or not layout.manifest.is_dir():
        return None
    run = read_run_file(layout)
    identity = (run or {}).get("identity")
    of_this_run = isinstance(identity, Mapping) and identity.get("category") == resolved.name
    return layout if of_this_run else None


def _is_unfinished(layout: OutputLayout, finished: int) -> bool:
    """Whether the manifest has grown since the run's last summary; held-out photographs count on neither side."""
    counts = (read_run_file(layout) or {}).get("counts")
    if not isinstance(counts, Mapping):
        return True
    return int(counts.get("pairs", 0)) + int(counts.get("controls", 0)) != finished


def _metadata_rows(path: Path) -> Iterator[tuple[int, Row]]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise OutputError(
                        f"expected JSON in line {number} of {path}, got none; restore the file"
                    ) from error
                if not isinstance(row, dict):
                    raise OutputError(
                        f"expected an object in line {number} of {path}, got {type(row).__name__}; restore the file"
                    )
                yield number, row
    except FileNotFoundError as error:
        raise UsageError(
            f"expected the folder of a category with {_METADATA}, got none at {path}; name the output folder of fmas "
            "run, or finish the run"
        ) from error
    except OSError as error:
        raise OutputError(f"expected to read {path}, got {error.strerror or error}; check its permissions") from error


def _take(rows: PairRows, row: Row, where: str) -> None:
    is_control = bool(row.get("control"))
    if row.get("defect") == "good" and not is_control:
        return  # held out
    for key in ("file_name", "normal_file_name") if is_control else ("file_name", "normal_file_name", "mask_file_name"):
        name = row.get(key)
        if not isinstance(name, str) or not _stays_inside(name):
            raise OutputError(f"expected a path inside the data set as {key} in {where}, got {name!r}; restore the row")
    (rows.controls if is_control else rows.pairs).append(row)


def _stays_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(name) and "\\" not in name and ":" not in name and not path.is_absolute() and ".." not in path.parts
