"""The whole validation: the run's files, then line by line, then the files that follow, then the tree."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from fmas.errors import OutputError, UsageError
from fmas.secrecy import secret_values
from fmas.validate.derived_files import check_card, check_failures, check_metadata
from fmas.validate.finished_lines import FinishedLines
from fmas.validate.leaks import check_secrets
from fmas.validate.manifest_lines import ManifestLines
from fmas.validate.numbering import SourceNumbering
from fmas.validate.problems import ProblemLog, ValidationReport
from fmas.validate.run_files import RunFile, Tally, check_config, check_counts, read_run, read_stored_plan
from fmas.validate.tree import DatasetTree, ListedFiles

__all__ = ["ValidationProgress", "validate_output"]

ValidationProgress: TypeAlias = Callable[[int, int], None]
"""Called with (manifest lines checked, manifest lines in all)."""

_SIGNS_OF_A_RUN = ("run.json", "manifest", "dataset")


def validate_output(out: Path, *, progress: ValidationProgress | None = None) -> ValidationReport:
    """Check every rule of an output folder from its files alone; what ``fmas validate`` calls.

    Nothing is written, no component is loaded, and whatever is broken becomes a problem instead of an exception. The
    pixels of one pair are in memory at a time.

    Args:
        out: The folder that was given to ``fmas run --out``.
        progress: Told how far it is.

    Returns:
        Every broken rule, and counts.

    Raises:
        UsageError: If ``out`` is missing or no folder.
        OutputError: If it holds nothing that a run writes.
    """
    _refuse_no_output(out)
    log = ProblemLog(secret_values())
    run = read_run(out, log)
    check_config(out, run, log)
    plan = read_stored_plan(out, run, log)
    tree = DatasetTree(out, log)
    category = tree.category(run.identity.category if run is not None else None)
    manifest = ManifestLines(out, log)
    lines = FinishedLines(out, category, run.identity if run else None, plan, log) if category is not None else None
    tally, listed = _check_lines(manifest, run, lines, log, progress)
    if manifest.whole:  # else what follows from it would be blamed for its gaps
        check_failures(out, manifest, log)
        if run is not None:
            check_counts(tally, run, log)
        if category is not None:
            check_metadata(out, category, manifest, log)
    if category is not None:
        check_card(out, category, log)
        tree.walk(category, listed if manifest.whole else None)
    check_secrets(out, log)
    return ValidationReport(log.problems, tally.pairs, tally.held_out, tree.files, _notes(out))


def _refuse_no_output(out: Path) -> None:
    if not out.is_dir():
        found = "a file" if out.exists() else "nothing"
        raise UsageError(f"expected the output folder of a run, got {found} at {str(out)!r}; check the path")
    if not any((out / name).exists() for name in _SIGNS_OF_A_RUN):
        raise OutputError(
            f"expected the output folder of a run, got one without {', '.join(_SIGNS_OF_A_RUN)} at {str(out)!r}; "
            "name the folder that was given to fmas run --out"
        )


def _check_lines(
    manifest: ManifestLines,
    run: RunFile | None,
    lines: FinishedLines | None,
    log: ProblemLog,
    progress: ValidationProgress | None,
) -> tuple[Tally, ListedFiles]:
    """Check the manifest line by line; return what it counts and names."""
    numbering = SourceNumbering(run.identity.per_image, log) if run is not None else None
    tally, listed = Tally(), ListedFiles()
    for number, entry in enumerate(manifest.entries(), start=1):
        tally.add(entry)
        if numbering is not None:
            numbering.check(entry)
        if entry.status == "done" and lines is not None:
            listed.add(lines.check(entry))
        if progress is not None:
            progress(number, len(manifest))
    return tally, listed


def _notes(out: Path) -> tuple[str, ...]:
    """Return what breaks no rule and is still worth knowing."""
    notes = []
    temporary = out / ".tmp"
    leftovers = sum(len([file for file in files if not file.endswith(".lock")]) for _, _, files in os.walk(temporary))
    if leftovers:
        notes.append(f"{leftovers} files in .tmp, from a run that is going on or was killed; a rerun removes them")
    if not str(out.resolve()).isascii():
        notes.append(
            "the path to this folder is not ASCII, which anomalib cannot read; move the folder to use it there"
        )
    return tuple(notes)
