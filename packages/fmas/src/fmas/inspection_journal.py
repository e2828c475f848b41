"""What an inspection has done so far, photograph by photograph, and the tables that follow from it.

One line is appended to ``progress.jsonl`` after the photograph's files are in place, so that whatever is listed there
is whole, whenever the process dies. Of several lines on one photograph the last one counts. The tables list
photographs by their path, not in the order in which they were inspected: an inspection that was killed and continued
ends in the same bytes as one that was not.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from fmas.calibration import Verdict
from fmas.detectors import SUBBANDS, SubbandWeights
from fmas.errors import OutputError
from fmas.files import unwritable
from fmas.inspection_files import InspectionFolder, place_of

__all__ = ["InspectionCounts", "Journal", "Record", "finished_records", "write_tables"]


@dataclass(frozen=True, slots=True)
class Record:
    """One photograph, inspected or failed.

    Attributes:
        path: Its path below the inspected folder, as :class:`~fmas.sources.Source` has it.
        size: Bytes of its file; -1 where it could not be looked at.
        modified: Its file's time of change, nanoseconds; -1 where it could not be looked at.
        sha256: Of its file's bytes; empty where it could not be read.
        score: Image score, finite; ``None`` where it failed.
        verdict: ``anomalous`` above the threshold, else ``good``; ``None`` where it failed.
        weights: Layer -> sub-band weights; ``None`` where nobody asked.
        stage: Where it failed: ``read``, ``score``, ``explain`` or ``write``; empty where it did not.
        error: Why, one line.
    """

    path: str
    size: int
    modified: int
    sha256: str = ""
    score: float | None = None
    verdict: Verdict | None = None
    weights: SubbandWeights | None = field(default=None, hash=False)
    stage: str = ""
    error: str = ""

    @property
    def failed(self) -> bool:
        """Whether it could not be inspected."""
        return bool(self.stage)

    def to_line(self) -> bytes:
        """Return the record as one line of JSON."""
        content: dict[str, object] = {"path": self.path, "size": self.size, "modified": self.modified}
        if self.sha256:
            content["sha256"] = self.sha256
        if self.failed:
            content |= {"stage": self.stage, "error": self.error}
        else:
            content |= {"score": self.score, "verdict": self.verdict}
        if self.weights is not None:
            content["weights"] = {layer: list(weights) for layer, weights in self.weights.items()}
        return json.dumps(content, ensure_ascii=False, allow_nan=False).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Record:
        """Read what :meth:`to_line` wrote.

        Raises:
            ValueError: If it is something else.
        """
        try:
            content: dict[str, Any] = json.loads(line)
            weights = content.get("weights")
            if weights is not None:
                weights = {str(layer): tuple(map(float, values)) for layer, values in weights.items()}
            record = cls(**(content | {"weights": weights}))
        except (TypeError, AttributeError) as error:
            raise ValueError(f"no record: {error}") from error
        if not record.failed and not isinstance(record.score, float):
            raise ValueError("no record: neither a score nor a failure")
        return record


class Journal:
    """Appends records; each is in the system's hands when :meth:`append` returns.

    Args:
        path: ``progress.jsonl``.

    Raises:
        OutputError: If the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            _cut_unfinished_line(path)
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise unwritable(path, error) from error

    def append(self, record: Record) -> None:
        """Write one line.

        Raises:
            OutputError: If the disk is full; the unfinished line is cut off again.
        """
        line = record.to_line()
        before = self._file.tell()
        try:
            if self._file.write(line) != len(line):
                raise OSError(28, "No space left on device")
        except OSError as error:
            self._file.truncate(before)
            raise unwritable(self._path, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


@dataclass(frozen=True, slots=True)
class InspectionCounts:
    """What an inspection folder holds, of all processes.

    Attributes:
        good: Photographs not above the threshold.
        anomalous: Photographs above it.
        failed: Photographs that could not be inspected.
        explained: Whether any photograph has sub-band weights; ``None`` if nobody asked.
    """

    good: int
    anomalous: int
    failed: int
    explained: bool | None = None

    def to_json(self) -> dict[str, object]:
        """Return JSON values."""
        return {"good": self.good, "anomalous": self.anomalous, "failed": self.failed}


def finished_records(path: Path) -> dict[str, tuple[int, int]]:
    """Return path -> (size, time of change) of every photograph that was inspected and did not fail.

    Raises:
        OutputError: If the file cannot be read or holds something else.
    """
    lines = _latest_lines(path).values()
    return {line.path: (line.size, line.modified) for line in lines if not line.failed}


def write_tables(folder: InspectionFolder, *, explain: bool, listed: Callable[[str], bool]) -> InspectionCounts:
    """Rewrite ``scores.csv``, ``failures.jsonl`` and, where asked for, ``explain.csv`` from the journal.

    Memory holds the paths and where their lines are, not the lines.

    Args:
        folder: Whose.
        explain: Whether to write ``explain.csv``.
        listed: Whether a photograph is still there; a failed one that is gone is no failure any more.

    Raises:
        OutputError: If the journal cannot be read or a table not be written.
    """
    places = {line.path: line.start for line in _latest_lines(folder.progress).values()}
    counts = {"good": 0, "anomalous": 0, "failed": 0}
    explained = False
    writer = folder.writer
    with (
        writer.stream(folder.scores) as scores,
        writer.stream(folder.failures) as failures,
        _opened(folder.progress) as journal,
    ):
        scores.write(csv_line("path", "score", "verdict"))
        for record in _sorted_records(journal, places):
            if record.verdict is not None and record.score is not None:
                counts[record.verdict] += 1
                scores.write(csv_line(record.path, repr(record.score), record.verdict))
            elif listed(record.path):
                counts["failed"] += 1
                failures.write(_failure_line(record))
    if explain:
        with writer.stream(folder.explanations) as table, _opened(folder.progress) as journal:
            table.write(csv_line("path", "layer", *SUBBANDS))
            for record in _sorted_records(journal, places):
                for layer, weights in (record.weights or {}).items():
                    explained = True
                    table.write(csv_line(record.path, layer, *(f"{weight:.6g}" for weight in weights)))
    return InspectionCounts(**counts, explained=explained if explain else None)


def csv_line(first: str, *others: str) -> bytes:
    """Return one row as UTF-8; a first cell that a reader might trim or take for two rows is put in quotes."""
    buffer = io.StringIO(newline="")
    at_risk = first != first.strip() or not first.isprintable()  # Python would not quote a lone carriage return
    csv.writer(buffer, lineterminator="\n", quoting=csv.QUOTE_ALL if at_risk else csv.QUOTE_MINIMAL).writerow(
        (first, *others)
    )
    return buffer.getvalue().encode()


def _failure_line(record: Record) -> bytes:
    content: Mapping[str, str] = {"path": record.path, "stage": record.stage, "error": record.error}
    return json.dumps(content, ensure_ascii=False).encode() + b"\n"


def _sorted_records(journal: BinaryIO, places: Mapping[str, int]) -> Iterator[Record]:
    for path in sorted(places):
        journal.seek(places[path])
        yield Record.from_line(journal.readline())


@dataclass(frozen=True, slots=True)
class _Line:
    """Where a photograph's last line begins, and what it says in short."""

    path: str
    start: int
    size: int
    modified: int
    failed: bool


def _latest_lines(path: Path) -> dict[str, _Line]:
    """Return, for each place of a map, the last line on it: ``a.jpg`` takes over from an ``a.png`` that is gone."""
    return {
        place_of(record.path): _Line(record.path, start, record.size, record.modified, record.failed)
        for start, record in _records(path)
    }


def _records(path: Path) -> Iterator[tuple[int, Record]]:
    """Yield where each whole line begins, and its record; what a killed process left behind the last is no line."""
    if not path.exists():
        return
    with _opened(path) as file:
        place = 0
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                yield place, Record.from_line(line)
            except ValueError as error:
                raise OutputError(
                    f"expected {path} as fmas inspect writes it, got something else in line {number}; choose another "
                    "--out, or delete this folder to inspect everything again"
                ) from error
            place += len(line)


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise OutputError(f"expected to read {path}, got {error.strerror}; check its permissions") from error


def _cut_unfinished_line(path: Path) -> None:
    """Remove what a killed process left behind the last line end; a line is never longer than this reads."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        end = 0
        for line in file:
            if line.endswith(b"\n"):
                end += len(line)
        file.truncate(end)
