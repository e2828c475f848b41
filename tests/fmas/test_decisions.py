"""What reviewers decided, line by line: nothing acknowledged is lost, nothing foreign is taken for ours."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmas.decisions import LONGEST_NOTE, Decision, DecisionLog, read_decisions
from fmas.errors import OutputError
from fmas.layout import OutputLayout

A, B = "a" * 64, "b" * 64


@pytest.fixture
def layout(tmp_path):
    return OutputLayout(tmp_path, "tile")


def append(layout, *decisions):
    log = DecisionLog(layout)
    for stem, sha256, verdict in decisions:
        log.append(Decision(stem, sha256, verdict))


def test_newest_line_about_a_picture_counts(layout):
    append(layout, (1, A, "drop"), (1, B, "keep"), (2, A, "keep"), (1, A, "undecided"), (2, A, "drop"))
    decisions = read_decisions(layout)
    assert [decisions.verdict(stem, sha) for stem, sha in ((1, A), (1, B), (2, A), (2, B), (3, A), (1, None))] == [
        "undecided", "keep", "drop", "undecided", "undecided", "undecided",
    ]  # fmt: skip
    assert len(layout.decisions.read_bytes().splitlines()) == 5  # nothing is rewritten
    assert {stem: len(found) for stem, found in decisions.by_stem().items()} == {1: 2, 2: 1}


def test_the_order_of_the_lines_counts_not_the_clock(layout, monkeypatch):
    monkeypatch.setattr(time, "time_ns", lambda: 2000)
    append(layout, (1, A, "drop"))
    monkeypatch.setattr(time, "time_ns", lambda: 1000)  # another machine, whose clock is late
    append(layout, (1, A, "keep"))
    assert read_decisions(layout).verdict(1, A) == "keep"


def test_no_file_is_no_decision(layout):
    assert len(read_decisions(layout)) == 0


@given(note=st.text(max_size=200), stem=st.integers(0, 10**6), verdict=st.sampled_from(["keep", "drop", "undecided"]))
def test_line_survives_the_way_to_the_disk(note, stem, verdict):
    decision = Decision(stem, A, verdict, note, 5)
    line = decision.to_line()
    assert line.count(b"\n") == 1
    assert Decision.from_line(line) == decision


def test_secrets_reach_neither_the_file_nor_a_message(layout, monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", "sk-0123456789")
    DecisionLog(layout).append(Decision(1, A, "drop", "why? sk-0123456789!"))
    assert read_decisions(layout).note(1, A) == "why? <SOME_API_KEY>!"
    layout.decisions.write_bytes(b"sk-0123456789\n")
    with pytest.raises(OutputError) as error:
        read_decisions(layout)
    assert "sk-01" not in str(error.value)


def test_lone_surrogates_in_a_note_are_kept(layout):
    DecisionLog(layout).append(Decision(1, A, "drop", "\udc80"))
    assert read_decisions(layout).note(1, A) == "\udc80"
    assert read_decisions(layout).note(2, A) == ""


@given(cut=st.integers(1, 200))
def test_torn_last_line_is_tolerated_and_cut_off_by_the_next(tmp_path_factory, cut):
    layout = OutputLayout(tmp_path_factory.mktemp("torn"), "tile")
    append(layout, (1, A, "drop"))
    whole = layout.decisions.read_bytes()
    torn = Decision(2, B, "drop", "note", 7).to_line()[:-1][:cut]
    layout.decisions.write_bytes(whole + torn)
    before = read_decisions(layout)
    assert before.verdict(1, A) == "drop"
    append(layout, (3, A, "keep"))
    after = read_decisions(layout)
    assert (after.verdict(1, A), after.verdict(3, A)) == ("drop", "keep")
    assert before.verdict(2, B) == after.verdict(2, B)  # whole but for its end, or not there
    assert layout.decisions.read_bytes().startswith(whole)


def test_whole_line_without_an_end_is_ended_not_cut(layout):
    append(layout, (1, A, "drop"))
    layout.decisions.write_bytes(layout.decisions.read_bytes().rstrip(b"\n"))
    assert read_decisions(layout).verdict(1, A) == "drop"
    append(layout, (2, B, "keep"))
    assert read_decisions(layout).verdict(1, A) == "drop"
    assert len(layout.decisions.read_bytes().splitlines()) == 2


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"\n", "no JSON"),
        (b"drop number 3\n", "no JSON: 'drop number 3"),
        (b"[1]\n", "no object with stem"),
        (b'{"stem":1}\n', "no object with stem"),
        (b'{"stem":-1,"image_sha256":"%s","verdict":"drop","note":"","written":1}\n' % A.encode(), "the stem -1"),
        (b'{"stem":true,"image_sha256":"%s","verdict":"drop","note":"","written":1}\n' % A.encode(), "the stem True"),
        (b'{"stem":1,"image_sha256":"..","verdict":"drop","note":"","written":1}\n', "the image_sha256 '..'"),
        (b'{"stem":1,"image_sha256":"%s","verdict":"burn","note":"","written":1}\n' % A.encode(), "the verdict 'burn'"),
        (
            b'{"stem":1,"image_sha256":"%s","verdict":"drop","note":1,"written":1}\n' % A.encode(),
            "a note that is no text",
        ),
        (b'{"stem":1,"image_sha256":"%s","verdict":"drop","note":"","written":-1}\n' % A.encode(), "the time -1"),
        (b'{"stem":1,"image_sha256":"%s","verdict":[],"note":"","written":1}\n' % A.encode(), "the verdict []"),
        (b"[" * 100_000 + b"\n", "no JSON"),
        (b"no line end", "no JSON: 'no line end'"),
    ],
)
def test_foreign_line_is_named_and_nothing_is_lost(layout, line, words):
    append(layout, (1, A, "drop"))
    layout.decisions.write_bytes(layout.decisions.read_bytes() + line)
    before = layout.decisions.read_bytes()
    with pytest.raises(OutputError) as error:
        read_decisions(layout)
    assert f"expected a decision in line 2 of {layout.decisions}, got {words}" in str(error.value)
    assert str(error.value).endswith("; mend or remove that line")
    if not line.endswith(b"\n"):
        with pytest.raises(OutputError, match="expected a decision in line 2"):
            append(layout, (2, A, "drop"))
        assert layout.decisions.read_bytes() == before


@pytest.mark.parametrize(
    "decision", [Decision(-1, A, "drop"), Decision(1, "x", "drop"), Decision(1, A, "drop", "x" * (LONGEST_NOTE + 1))]
)
def test_what_is_no_decision_is_never_written(layout, decision):
    with pytest.raises(ValueError, match=r"the stem|the image_sha256|a note"):
        DecisionLog(layout).append(decision)
    assert not layout.decisions.exists()


@pytest.mark.parametrize("where", ["write", "short", "fsync"])
def test_full_disk_leaves_the_file_as_it_was(layout, monkeypatch, where):
    append(layout, (1, A, "drop"))
    before = layout.decisions.read_bytes()
    real = os.write

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(
        os, "fsync" if where == "fsync" else "write", full if where != "short" else lambda fd, data: real(fd, data[:9])
    )
    with pytest.raises(OutputError, match="got a full disk; earlier ones are kept, this one is not"):
        append(layout, (2, A, "drop"))
    monkeypatch.undo()
    assert layout.decisions.read_bytes() == before
    append(layout, (2, A, "drop"))
    assert read_decisions(layout).verdict(2, A) == "drop"


def test_unwritable_file_is_an_error_with_its_cause(layout):
    layout.decisions.mkdir()
    with pytest.raises(OutputError, match="expected to add a decision to") as error:
        append(layout, (1, A, "drop"))
    assert isinstance(error.value.__cause__, OSError)
    with pytest.raises(OutputError, match="check its permissions"):
        read_decisions(layout)


def test_held_lock_is_told(layout, monkeypatch):
    from filelock import FileLock

    monkeypatch.setattr("fmas.decisions._LOCK_SECONDS", 0.1)
    layout.temporary.mkdir()
    with FileLock(layout.temporary / "decisions.lock"), pytest.raises(OutputError, match="another process holds it"):
        append(layout, (1, A, "drop"))


def test_file_system_without_locks_is_told(layout, monkeypatch):
    from filelock import FileLock

    def unsupported(*_, **__):
        raise NotImplementedError

    monkeypatch.setattr(FileLock, "acquire", unsupported)
    with pytest.raises(OutputError, match="expected a file system with file locks"):
        append(layout, (1, A, "drop"))


def test_every_line_is_synced_before_it_counts_as_saved(layout, monkeypatch):
    synced = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_size) or real(descriptor))
    append(layout, (1, A, "drop"))
    assert layout.decisions.stat().st_size in synced


_MANY = """
import sys
from pathlib import Path
from fmas.decisions import Decision, DecisionLog
from fmas.layout import OutputLayout
log = DecisionLog(OutputLayout(Path(sys.argv[1]), "tile"))
for stem in range(int(sys.argv[2]), int(sys.argv[2]) + 25):
    log.append(Decision(stem, "a" * 64, "drop", "n" * 300))
"""


def _append_many(layout, first: int) -> None:
    log = DecisionLog(layout)
    for stem in range(first, first + 25):
        log.append(Decision(stem, A, "drop", "n" * 300))


def test_several_processes_and_threads_lose_nothing(layout):
    # Not multiprocessing: a spawned process imports this module by a name that only pytest knows.
    arguments = [[sys.executable, "-c", _MANY, str(layout.out), str(100 * n)] for n in range(2)]
    processes = [subprocess.Popen(one) for one in arguments]
    threads = [threading.Thread(target=_append_many, args=(layout, 1000 + 100 * n)) for n in range(2)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert [one.wait(timeout=60) for one in processes] == [0, 0]
    lines = [json.loads(line) for line in layout.decisions.read_bytes().splitlines()]
    assert sorted(line["stem"] for line in lines) == sorted(
        start + n for start in (0, 100, 1000, 1100) for n in range(25)
    )


_WRITER = """
import sys
from pathlib import Path
from fmas.decisions import Decision, DecisionLog
from fmas.layout import OutputLayout
log = DecisionLog(OutputLayout(Path(sys.argv[1]), "tile"))
for stem in range(int(sys.argv[2]), 10**9):
    log.append(Decision(stem, "a" * 64, "drop", "n" * 1500))
    print(stem, flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_killed_writer_loses_nothing_that_it_acknowledged(layout):
    acknowledged: list[int] = []
    for round_ in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(layout.out), str(round_ * 10**6)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        for _ in range(5 + round_):
            acknowledged.append(int(process.stdout.readline()))
        process.kill()
        rest, _ = process.communicate(timeout=30)
        acknowledged += [int(line) for line in rest.splitlines()]
    decisions = read_decisions(layout)
    assert len(acknowledged) >= 26
    assert all(decisions.verdict(stem, A) == "drop" for stem in acknowledged)
    append(layout, (5, B, "keep"))
    assert read_decisions(layout).verdict(5, B) == "keep"
