"""``fmas select`` as a function: another intensity for a data set that is finished, without painting anything again.

Afterwards ``OUT`` is what ``fmas run`` with that intensity would have made. The order of what is written:

1. ``run.json`` names the new band. From here on every pair whose row names another band is unfinished: for
   ``fmas validate``, for ``fmas select`` and for ``fmas run`` with the new intensity, which both finish it.
2. For each pair a manifest line that says that its files are about to change, then the files, then the line that says
   done. Whatever the process dies of in between, no file is taken for what it is not.
3. The files that follow from the manifest.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TypeAlias

from fmas.config import RunConfig
from fmas.decisions import read_decisions
from fmas.derive import write_derived_files
from fmas.executor import LocalExecutor
from fmas.manifest import CHOOSING, ManifestEntry, ManifestIndex, ManifestWriter
from fmas.output import OpenOutput, write_band
from fmas.rechoose import PhotographPairs, RechooseStage
from fmas.selection import Selection, SelectionSummary, band_of, read_selectable, unfinished_choices
from fmas.stages import Executor

__all__ = ["SelectProgress", "finish_selection", "preview_selection", "reselect"]

SelectProgress: TypeAlias = Callable[[int, int, int], None]
"""Called with (photographs finished, photographs to do, pairs failed)."""

_WHOLE = (1, 1)


def reselect(
    out: Path,
    intensity: str | tuple[float, float],
    *,
    workers: int = 1,
    executor: Executor | None = None,
    progress: SelectProgress | None = None,
) -> SelectionSummary:
    """Choose again from the candidates that a run kept; what ``fmas select`` calls.

    Args:
        out: The output folder of a run.
        intensity: ``subtle``, ``medium``, ``strong``, ``LO:HI``, or a band.
        workers: Processes.
        executor: Who runs the stage; ``workers`` local processes by default.
        progress: Told how far it is.

    Returns:
        What was chosen.

    Raises:
        UsageError: If ``out`` is no output folder or the intensity cannot be understood; nothing was written.
        OutputError: If somebody else is writing the folder, no candidate was kept, or a file cannot be written.
    """
    started = time.monotonic()
    run = read_selectable(out)
    band = band_of(intensity, run)
    with OpenOutput.open(run.layout, _WHOLE) as output:
        run = read_selectable(out)  # again: it may have changed while nobody held the lock
        selection = Selection.read(run, band)
        selection.refuse_nothing_kept()
        write_band(output, band)
        with ManifestWriter(run.layout.manifest, _WHOLE) as manifest:
            try:
                work = _Work(output, band, run.compress_level, manifest, executor or LocalExecutor(workers))
                entries = list(unfinished_choices(run.layout, band))
                failures = work.choose(entries, total=selection.photographs, progress=progress)
            finally:  # also after Ctrl-C: what is finished is described as it is
                counts = write_derived_files(output)
    return selection.summary(counts, failures, seconds=time.monotonic() - started)


def preview_selection(out: Path, intensity: str | tuple[float, float]) -> SelectionSummary:
    """Return what :func:`reselect` would do; writes nothing, and looks only whether the candidates' files are there.

    Raises:
        UsageError: As :func:`reselect`.
        OutputError: As :func:`reselect`.
    """
    run = read_selectable(out)
    selection = Selection.read(run, band_of(intensity, run))
    selection.refuse_nothing_kept()
    return selection.preview()


def finish_selection(config: RunConfig, output: OpenOutput, executor: Executor | None = None) -> tuple[str, ...]:
    """Finish what a killed ``fmas select`` left of this shard, as far as its candidates are there.

    What cannot be chosen again is left unfinished, and the run paints it.

    Args:
        config: The run; its band is that of ``run.json``.
        output: Claimed for it.
        executor: Who runs the stage; ``config.workers`` local processes by default.

    Returns:
        Notes for the user.

    Raises:
        OutputError: If a file cannot be read or written.
    """
    layout, shard = output.layout, config.shard
    entries = [
        entry
        for entry in unfinished_choices(layout, config.select.band)
        if entry.stem // config.per_image % shard[1] == shard[0] - 1
    ]
    if not entries:
        return ()
    read_decisions(layout)  # what cannot be read stops it before anything is written
    with ManifestWriter(layout.manifest, shard) as manifest:
        level = config.write.compress_level
        work = _Work(output, config.select.band, level, manifest, executor or LocalExecutor(config.workers))
        failures = work.choose(entries, total=len(entries), progress=None)
    done = len(entries) - len(failures)
    note = f"finished what fmas select left undone: {done} of {len(entries)} pairs chosen anew"
    return (f"{note}, the others are painted again" if failures else note,)


@dataclass(frozen=True, slots=True)
class _Work:
    """Choosing anew in an output folder that is locked."""

    output: OpenOutput
    band: tuple[float, float]
    compress_level: int
    manifest: ManifestWriter
    executor: Executor

    def choose(
        self, entries: Iterable[ManifestEntry], *, total: int, progress: SelectProgress | None
    ) -> list[tuple[int, str]]:
        """Write the pairs and their lines; return stem and reason of those that could not be chosen."""
        layout = self.output.layout
        interrupted = {entry.stem for entry in ManifestIndex(layout.manifest).interrupted()}
        stage = RechooseStage(layout, self.output.temporary, band=self.band, compress_level=self.compress_level)
        failures: list[tuple[int, str]] = []
        with closing(self.executor.run([stage], self._announced(entries))) as run:
            for number, pairs in enumerate(run, start=1):
                if pairs.failure is not None:
                    failures += [(entry.stem, pairs.failure.message) for entry in pairs.entries]
                for before, outcome in zip(pairs.entries, pairs.outcomes, strict=bool(pairs.outcomes)):
                    if outcome.entry is not None:
                        self.manifest.append(outcome.entry)
                        continue
                    failures.append((before.stem, outcome.message))
                    if before.stem not in interrupted:  # nothing was touched: it is what it was
                        self.manifest.append(before)
                if progress is not None:
                    progress(number, total, len(failures))
        return sorted(failures)

    def _announced(self, entries: Iterable[ManifestEntry]) -> Iterator[PhotographPairs]:
        """Yield the pairs of one photograph after the other, each announced in the manifest before."""
        for _, group in groupby(entries, key=lambda entry: entry.source):
            pairs = tuple(group)
            for entry in pairs:
                self.manifest.append(_about_to_change(entry))
            yield PhotographPairs(pairs)


def _about_to_change(entry: ManifestEntry) -> ManifestEntry:
    message = "fmas select was stopped while it chose this pair anew; run it, or fmas run, again"
    failure = {"stage": RechooseStage.name, "reason": CHOOSING, "message": message}
    return replace(entry, status="failed", files={}, sizes={}, row=None, failure=failure, candidates={})
