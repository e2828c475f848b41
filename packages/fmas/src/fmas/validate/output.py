"""The whole validation: the run's files, then line by line, then the files that follow, then the tree."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from fmas.errors import OutputError, UsageError
from fmas.layout import CONTROL_STEM
from fmas.manifest import CHOOSING
from fmas.secrecy import secret_values
from fmas.validate.decision_lines import check_decisions
from fmas.validate.derived_files import check_card, check_failures, check_metadata
from fmas.validate.finished_lines import FinishedLines
from fmas.validate.leaks import check_secrets
from fmas.validate.manifest_lines import ManifestLines
from fmas.validate.numbering import SourceNumbering
from fmas.validate.problems import ProblemLog, ValidationReport
from fmas.validate.remedies import FINISH_CHOICE, RERUN, Remedy
from fmas.validate.rules import Rule
from fmas.validate.run_files import (
    RunFile,
    Tally,
    check_config,
    check_counts,
    check_usage,
    read_run,
    read_stored_plan,
)
from fmas.validate.tree import DatasetTree, ListedFiles
from fmas.validate.wording import counted

__all__ = ["ValidationProgress", "validate_output"]

ValidationProgress: TypeAlias = Callable[[int, int], None]
"""Called with (manifest lines checked, manifest lines in all)."""

_SIGNS_OF_A_RUN = ("run.json", "manifest", "dataset")
_MEND_AND_RERUN = Remedy("read failures.jsonl, mend what it says and run the same fmas run again", needs_run=True)


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
        UsageError: If ``out`` is missing, no folder, or holds nothing that a run writes.
        OutputError: If it cannot be read.
    """
    _refuse_no_output(out)
    log = ProblemLog(out, secret_values())
    run = read_run(out, log)
    check_config(out, run, log)
    plan = read_stored_plan(out, run, log)
    manifest = ManifestLines(out, log)
    tree = DatasetTree(out, log)
    category = tree.category(run.identity.category if run else None, must_exist=manifest.done > 0 or not manifest.whole)
    lines = FinishedLines(out, category, run.identity if run else None, plan, log) if category is not None else None
    tally, listed = _check_lines(manifest, run, lines, log, progress)
    if manifest.whole:  # else what follows from it would be blamed for its gaps
        _check_what_follows(out, category, manifest, tally, run=run, log=log)
    if category is not None:
        tree.walk(category, listed if manifest.whole else None)
    dropped = check_decisions(out, category, log) if manifest.whole else 0
    check_secrets(out, log)
    notes = lines.kept_candidates.notes() if lines is not None and manifest.whole else ()
    return ValidationReport(log.problems, tally.pairs, tally.held_out, tree.files, (*notes, *_notes(out, dropped)))


def _refuse_no_output(out: Path) -> None:
    try:
        if not stat.S_ISDIR(out.stat().st_mode):
            raise UsageError(f"expected the output folder of a run, got a file at {str(out)!r}; check the path")
        if any(_is_there(out / name) for name in _SIGNS_OF_A_RUN):
            return
        names = {entry.name for entry in out.iterdir()}
    except (FileNotFoundError, NotADirectoryError) as error:
        message = f"expected the output folder of a run, got nothing at {str(out)!r}; check the path"
        raise UsageError(message) from error
    except OSError as error:
        raise OutputError(
            f"expected a readable folder, got {error.strerror or error} for {str(out)!r}; check its permissions"
        ) from error
    found, advice = "an empty one", "name the folder that was given to fmas run --out"
    if "plan.json" in names:
        found, advice = "one with a plan only", "run fmas run with it as --out first"
    elif names:
        found = f"one without {', '.join(_SIGNS_OF_A_RUN)}"
    above = _output_around(out)
    if above is not None:
        advice = f"did you mean {str(above)!r}?"
    raise UsageError(f"expected the output folder of a run, got {found} at {str(out)!r}; {advice}")


def _is_there(path: Path) -> bool:
    """Return whether something is there.

    Raises:
        OSError: If that cannot be said.
    """
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    return True


def _output_around(folder: Path) -> Path | None:
    """Return the output folder that this is a part of, such as the data set in it."""
    with suppress(OSError):
        for above in list(folder.resolve().parents)[:4]:
            if all(_is_there(above / name) for name in _SIGNS_OF_A_RUN):
                return above
    return None


def _check_lines(
    manifest: ManifestLines,
    run: RunFile | None,
    lines: FinishedLines | None,
    log: ProblemLog,
    progress: ValidationProgress | None,
) -> tuple[Tally, ListedFiles]:
    """Check the manifest line by line; return what it counts and names."""
    numbering = SourceNumbering(run.identity.per_image, log) if run is not None else None
    controls = SourceNumbering(1, log) if run is not None else None
    tally, listed, choosing = Tally(), ListedFiles(), False
    for number, entry in enumerate(manifest.entries(), start=1):
        tally.add(entry)
        if numbering is not None and controls is not None:
            (numbering if entry.stem < CONTROL_STEM else controls).check(entry)
        if entry.reason == CHOOSING:
            choosing = True
            message = f"expected a finished choice for stem {entry.stem}, got one that was stopped in the middle"
            log.add(Rule.CHOICE, "manifest", message, FINISH_CHOICE)
        if entry.status == "done" and lines is not None:
            listed.add(lines.check(entry))
        if progress is not None:
            progress(number, len(manifest))
    if choosing and manifest.whole:  # their files are what they were, or will be: no strangers
        for entry in manifest.interrupted():
            listed.add(entry.files)
    return tally, listed


def _check_what_follows(
    out: Path, category: str | None, manifest: ManifestLines, tally: Tally, *, run: RunFile | None, log: ProblemLog
) -> None:
    """Check the files that a run writes from its manifest, as far as it had anything to write."""
    if manifest.done == 0:
        log.add(Rule.FINISHED, "dataset", *_why_nothing_is_there(tally))
    elif category is not None:
        check_metadata(out, category, manifest, log)
        check_card(out, category, manifest, log)
    if len(manifest) > 0:
        check_failures(out, manifest, log)
        if run is not None:
            check_counts(tally, run, log)
            check_usage(out, run, log)


def _why_nothing_is_there(tally: Tally) -> tuple[str, Remedy]:
    if tally.failed == 0:
        return "expected a finished pair, got none: the run was stopped before it finished one", RERUN
    reasons = ", ".join(f"{number} x {reason}" for reason, number in sorted(tally.failures.items()))
    failed = "the only pair" if tally.failed == 1 else f"all {tally.failed} pairs"
    return f"expected a finished pair, got none: {failed} failed ({reasons})", _MEND_AND_RERUN


def _notes(out: Path, dropped: int) -> tuple[str, ...]:
    """Return what breaks no rule and is still worth knowing."""
    notes = []
    if dropped:
        pictures = f"{counted(dropped, 'picture')} dropped in review and still there"
        notes.append(f"{pictures}; run the same fmas run again to make others")
    temporary = out / ".tmp"
    leftovers = sum(len([file for file in files if not file.endswith(".lock")]) for _, _, files in os.walk(temporary))
    if leftovers:
        notes.append(
            f"{counted(leftovers, 'file')} in .tmp, from a run that is going on or was killed; no part of the data set"
        )
    if not str(out.resolve()).isascii():
        notes.append(
            "the path to this folder is not ASCII, which anomalib cannot read; move the folder to use it there"
        )
    return tuple(notes)
