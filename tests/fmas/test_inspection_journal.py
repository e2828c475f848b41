"""What an inspection has done, line by line, and the tables that follow from it."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmas.errors import OutputError
from fmas.inspection_files import InspectionFolder
from fmas.inspection_journal import InspectionCounts, Journal, Record, csv_line, finished_records, write_tables

GOOD = Record("b.png", 10, 20, "ab", 0.25, "good", {"layer1": (0.1, 0.2, 0.3, 0.4)})
BAD = Record("a.png", 11, 21, "cd", 0.75, "anomalous", {"layer1": (1.0, 0.0, 0.5, 1 / 3)})
FAILED = Record("c.png", -1, -1, stage="read", error="no image")

names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "out").mkdir()
    return InspectionFolder(tmp_path / "out")


def append(folder: InspectionFolder, *records: Record) -> None:
    with Journal(folder.progress) as journal:
        for record in records:
            journal.append(record)


@given(path=names, score=st.floats(allow_nan=False, allow_infinity=False), size=st.integers(0, 2**60))
def test_records_come_back(path, score, size):
    record = Record(path, size, 3, "00", score, "good", {"x": (0.0, 1.0, 0.5, score)})
    line = record.to_line()
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    assert Record.from_line(line) == record
    failed = Record(path, -1, -1, stage="score", error=path)
    assert Record.from_line(failed.to_line()) == failed


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[]",
        b"{}",
        b'{"path": "a", "size": 1, "modified": 2}',
        b'{"path": "a", "size": 1, "modified": 2, "x": 1}',
    ],
)
def test_other_lines_are_no_records(line):
    with pytest.raises(ValueError, match=r"no record|Expecting"):
        Record.from_line(line)


@given(path=names, score=st.floats(allow_nan=False))
def test_rows_come_back_also_from_readers_that_trim(path, score):
    text = csv_line(path, repr(score), "good").decode()
    for skip in (False, True):
        rows = list(csv.reader(io.StringIO(text, newline=""), skipinitialspace=skip, strict=True))
        assert rows == [[path, repr(score), "good"]]
    assert float(rows[0][1]) == score


def test_tables_are_sorted_and_the_last_line_counts(folder):
    append(folder, GOOD, FAILED, BAD, Record("b.png", 12, 22, "ef", 0.125, "good"))
    counts = write_tables(folder, explain=True, listed=lambda _: True)
    assert counts == InspectionCounts(1, 1, 1, explained=True)
    assert counts.to_json() == {"good": 1, "anomalous": 1, "failed": 1}
    assert folder.scores.read_bytes() == b"path,score,verdict\na.png,0.75,anomalous\nb.png,0.125,good\n"
    assert folder.explanations.read_bytes() == b"path,layer,LL,LH,HL,HH\na.png,layer1,1,0,0.5,0.333333\n"
    assert json.loads(folder.failures.read_bytes()) == {"path": "c.png", "stage": "read", "error": "no image"}
    assert finished_records(folder.progress) == {"a.png": (11, 21), "b.png": (12, 22)}


def test_failure_after_success_counts_and_success_after_failure(folder):
    append(
        folder,
        GOOD,
        Record("b.png", 12, 22, stage="score", error="NaN"),
        FAILED,
        Record("c.png", 1, 2, "", 0.0, "good"),
    )
    assert finished_records(folder.progress) == {"c.png": (1, 2)}
    assert write_tables(folder, explain=False, listed=lambda _: True) == InspectionCounts(1, 0, 1)
    assert b"b.png" not in folder.scores.read_bytes()
    assert not folder.explanations.exists()


def test_failed_photograph_that_is_gone_is_no_failure(folder):
    append(folder, GOOD, FAILED)
    assert write_tables(folder, explain=True, listed={"b.png"}.__contains__).failed == 0
    assert folder.failures.read_bytes() == b""


def test_empty_journal(folder):
    assert finished_records(folder.progress) == {}
    append(folder)
    assert write_tables(folder, explain=True, listed=bool) == InspectionCounts(0, 0, 0, explained=False)
    assert folder.scores.read_bytes() == b"path,score,verdict\n"


def test_half_a_line_is_cut_off(folder):
    append(folder, GOOD)
    whole = folder.progress.read_bytes()
    for cut in range(1, len(whole)):
        folder.progress.write_bytes(whole + whole[:cut])
        assert finished_records(folder.progress) == {"b.png": (10, 20)}
        append(folder, BAD)
        assert folder.progress.read_bytes() == whole + BAD.to_line()


def test_foreign_line_is_an_error(folder):
    folder.progress.write_bytes(GOOD.to_line() + b"hello\n")
    with pytest.raises(OutputError, match="got something else in line 2; choose another --out"):
        finished_records(folder.progress)


def test_full_disk_leaves_whole_lines(folder, monkeypatch):
    with Journal(folder.progress) as journal:
        journal.append(GOOD)
        file = journal._file

        class Full:
            def write(self, line: bytes) -> int:
                return file.write(line[:5])

            def __getattr__(self, name: str) -> object:
                return getattr(file, name)

        monkeypatch.setattr(journal, "_file", Full())
        with pytest.raises(OutputError, match="full disk"):
            journal.append(BAD)
        monkeypatch.undo()
        journal.append(BAD)
    assert folder.progress.read_bytes() == GOOD.to_line() + BAD.to_line()


def test_files_that_cannot_be_opened(folder):
    folder.progress.mkdir()
    with pytest.raises(OutputError, match="expected to write"):
        Journal(folder.progress)
    with pytest.raises(OutputError, match="expected to read"):
        finished_records(folder.progress)


def test_memory_does_not_hold_the_lines(folder):
    append(folder, *(Record(f"{number}.png", 1, 2, stage="score", error="x" * 10_000) for number in range(300)))
    assert folder.progress.stat().st_size > 3_000_000
    tracemalloc.start()
    assert write_tables(folder, explain=True, listed=bool).failed == 300
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000
