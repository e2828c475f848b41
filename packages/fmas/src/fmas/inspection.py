"""Photographs through a trained model: a score, a verdict and a map for each; what ``fmas inspect`` calls."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from fmas.calibration import Verdict
from fmas.detectors import SUBBANDS, ExplainingDetector, SubbandWeights
from fmas.errors import ComponentError, OutputError, UsageError
from fmas.identity import differences
from fmas.inspection_files import InspectionFolder, refuse_shared_places
from fmas.inspection_journal import InspectionCounts, Journal, Record, finished_records, write_tables
from fmas.inspection_request import InspectRequest, InspectSummary
from fmas.inspection_stream import Failed, Scored, read_ahead, scored
from fmas.inspection_writing import Inspected, ResultWriter
from fmas.model_folder import Model, portable_options, read_model
from fmas.overlays import MapScale
from fmas.plugins import PluginRegistry
from fmas.protocols import Detector
from fmas.sources import Source, scan_sources
from fmas.versions import library_versions

__all__ = ["InspectRequest", "InspectSummary", "inspect_images"]


def inspect_images(
    request: InspectRequest,
    *,
    registry: PluginRegistry | None = None,
    progress: Callable[[int, int, int], None] | None = None,
) -> InspectSummary:
    """Inspect photographs, or finish an inspection.

    Memory holds a few photographs, however many there are. One that cannot be read, or that makes the detector fail,
    fails alone. Running it again with the same request finishes what is missing and redoes nothing that is finished;
    a photograph whose file has changed since is inspected anew.

    Args:
        request: What to do.
        registry: Where the detector comes from; the installed plugins by default.
        progress: Told (done, of how many, failed).

    Returns:
        Counts, and the exit code that ``fmas inspect`` ends with.

    Raises:
        UsageError: If the request is wrong; nothing was written.
        ModelError: If the model cannot be used; nothing was written.
        OutputError: If the folder holds something else or cannot be written; what was finished is kept.
        ComponentError: If the detector answers more often than it was asked.
    """
    started = time.monotonic()
    _refuse_nonsense(request)
    found = scan_sources(request.images, exclude=request.out)
    wanted = found.sources[: request.limit]
    refuse_shared_places(wanted)
    model = read_model(request.model, request.overrides, registry=registry)
    inspector = _Inspector.of(model, request)
    folder = InspectionFolder(request.out)
    identity = _identity(request, model, inspector)
    with folder.opened(identity) as before:
        notes = (*model.notes, *_threshold_notes(request, model), *_changed_libraries(before))
        finished = finished_records(folder.progress)
        pending = [source for source in wanted if not _is_finished(source, finished, folder, request)]
        tally = _Tally(len(pending), progress)
        if pending and before.get("finished"):
            folder.describe(identity, finished=False)
        present = frozenset(source.relative for source in found.sources)
        with Journal(folder.progress) as journal:
            try:
                _inspect(inspector, pending, folder, journal, tally, max_pixels=request.max_pixels)
            finally:  # also after Ctrl-C or a full disk: what is finished has its row
                counts = write_tables(folder, explain=request.explain, listed=present.__contains__)
        if counts.explained is False and counts.good + counts.anomalous:
            notes = (*notes, "explain.csv has no rows: the model was trained without WDAM, so there are no weights")
        seconds = time.monotonic() - started
        if pending or not before.get("finished"):
            folder.describe(identity, **_results(inspector, counts, seconds))
    return InspectSummary(
        out=request.out,
        inspected=tally.inspected,
        kept=len(wanted) - len(pending),
        failed=tally.failed,
        counts=counts,
        threshold=inspector.threshold,
        seconds=seconds,
        ignored_files=len(found.ignored),
        notes=notes,
    )


@dataclass(frozen=True, slots=True)
class _Inspector:
    """What judges a photograph."""

    detector: Detector
    explaining: ExplainingDetector | None
    threshold: float
    scale: MapScale | None

    @classmethod
    def of(cls, model: Model, request: InspectRequest) -> _Inspector:
        threshold = model.calibration.threshold if request.threshold is None else request.threshold
        scale = MapScale.from_calibration(model.calibration, threshold) if request.overlays else None
        explaining = model.detector if request.explain and isinstance(model.detector, ExplainingDetector) else None
        if request.explain and explaining is None:
            raise UsageError(
                f"expected a detector that can tell its sub-band weights, got {model.about.detector!r}, which cannot; "
                "leave --explain out, or train one that looks through WDAM"
            )
        return cls(model.detector, explaining, threshold, scale)

    def judged(self, result: Scored | Failed) -> Inspected | Failed:
        """Add verdict and sub-band weights."""
        if isinstance(result, Failed):
            return result
        verdict: Verdict = "good" if result.score <= self.threshold else "anomalous"
        if self.explaining is None:
            return Inspected(result, verdict)
        try:
            weights = _weights(self.explaining, result)
        except Exception as error:  # noqa: BLE001 (whatever a plugin raises concerns this photograph)
            return Failed.at(result.photograph, "explain", error)
        return Inspected(result, verdict, weights)


@dataclass(slots=True)
class _Tally:
    """Counts, and tells how far it is."""

    wanted: int
    progress: Callable[[int, int, int], None] | None
    inspected: int = 0
    failed: int = 0

    def count(self, *, failed: bool) -> None:
        self.failed += failed
        self.inspected += not failed
        if self.progress is not None:
            self.progress(self.inspected + self.failed, self.wanted, self.failed)


def _inspect(
    inspector: _Inspector,
    sources: Sequence[Source],
    folder: InspectionFolder,
    journal: Journal,
    tally: _Tally,
    *,
    max_pixels: int,
) -> None:
    """Take every photograph from its file to its line in the journal."""
    with ResultWriter(folder, inspector.scale) as writer:

        def note(records: Iterable[Record]) -> None:
            for record in records:
                journal.append(record)
                tally.count(failed=record.failed)

        try:
            with (
                closing(read_ahead(sources, max_pixels=max_pixels)) as photographs,
                closing(scored(inspector.detector, photographs)) as results,
            ):
                for result in results:
                    note(writer.put(inspector.judged(result)))
            note(writer.rest())
        except OutputError:
            raise
        except BaseException:
            with suppress(OutputError):  # the first error is the one to tell
                note(writer.rest())
            raise


def _weights(detector: ExplainingDetector, result: Scored) -> SubbandWeights:
    answer = next(iter(detector.explain(iter((result.photograph.image,)))), None)
    if not isinstance(answer, Mapping) or not all(map(_are_weights, answer.values())):
        raise ComponentError(
            f"expected {len(SUBBANDS)} finite weights for each layer from the detector, got something else; "
            "leave --explain out"
        )
    weights: dict[str, tuple[float, float, float, float]] = {}
    for layer, (ll, lh, hl, hh) in answer.items():
        weights[str(layer)] = (float(ll), float(lh), float(hl), float(hh))
    return weights


def _are_weights(values: Sequence[float]) -> bool:
    return len(values) == len(SUBBANDS) and all(map(math.isfinite, values))


def _refuse_nonsense(request: InspectRequest) -> None:
    if request.limit is not None and request.limit < 1:
        raise UsageError(f"expected at least 1 photograph for --limit, got {request.limit}; leave it out for all")
    if request.threshold is not None and not math.isfinite(request.threshold):
        raise UsageError(
            f"expected a finite number for --threshold, got {request.threshold}; leave it out for the model's own"
        )


def _identity(request: InspectRequest, model: Model, inspector: _Inspector) -> dict[str, object]:
    """Return everything the results depend on besides the photographs."""
    fingerprint = model.detector.fingerprint()
    # Not the overrides: which of them change a result, and which only say where it is computed, the detector knows.
    config = portable_options(fingerprint.config)
    return {
        "model": model.about.digest,
        "detector": {"name": model.about.detector, "version": fingerprint.version, "config": config},
        "images": _from(request.out, request.images),
        "threshold": inspector.threshold,
        "overlays": request.overlays,
        "explain": request.explain,
        "max_pixels": request.max_pixels,
    }


def _from(out: Path, images: Path) -> str:
    """Return where the photographs are, as seen from the results: both may be moved together."""
    try:
        path = os.path.relpath(images.resolve(), out.resolve())
    except ValueError:  # another drive
        path = str(images.resolve())
    return path.encode("utf-8", "backslashreplace").decode()


def _is_finished(
    source: Source, finished: Mapping[str, tuple[int, int]], folder: InspectionFolder, request: InspectRequest
) -> bool:
    """Whether a photograph was inspected as it is now, and its files are still there."""
    if source.relative not in finished:
        return False
    try:
        status = source.path.stat()
    except OSError:  # it fails where it is read
        return False
    if (status.st_size, status.st_mtime_ns) != finished[source.relative]:
        return False
    overlay = folder.overlay_of(source.relative)
    return folder.map_of(source.relative).is_file() and (not request.overlays or overlay.is_file())


def _results(inspector: _Inspector, counts: InspectionCounts, seconds: float) -> dict[str, object]:
    scale = inspector.scale
    return {
        "finished": True,
        "counts": counts.to_json(),
        "threshold": inspector.threshold,
        "overlay_scale": None if scale is None else [scale.start, scale.threshold, scale.end],
        "seconds": round(seconds, 3),
        "libraries": library_versions(),
    }


def _threshold_notes(request: InspectRequest, model: Model) -> tuple[str, ...]:
    """Say what speaks against the model's own threshold."""
    if request.threshold is not None:
        return ()
    notes = [note] if (note := model.calibration.note()) else []
    trained = model.about.request.get("detector")
    before = trained.get("config") if isinstance(trained, Mapping) else None
    changed = differences(before, portable_options(model.detector.fingerprint().config)) if before else []
    if changed:
        notes.append(
            f"the threshold was found with other options ({'; '.join(changed)}) and may not fit; choose one from the "
            "scores of good parts and give it as --threshold"
        )
    return tuple(notes)


def _changed_libraries(before: Mapping[str, object]) -> tuple[str, ...]:
    then, now = before.get("libraries"), library_versions()
    if not isinstance(then, Mapping):
        return ()
    changed = [
        f"{name} was {then.get(name)}, now {now.get(name)}"
        for name in sorted({*then, *now})
        if then.get(name) != now.get(name)
    ]
    if not changed:
        return ()
    return (f"libraries have changed since the last inspection into this folder: {'; '.join(changed)}",)
