"""How far a run is: a bar on a terminal, plain lines in a log file."""

from __future__ import annotations

import io

import pytest

from fmas.cli import progress
from fmas.cli.progress import reported_progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


class LogFile(io.StringIO):
    flushed = 0

    def flush(self):
        self.flushed += 1


def test_a_terminal_gets_a_bar_on_stderr(monkeypatch):
    screen, result = Terminal(), LogFile()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setattr("sys.stdout", result)
    with reported_progress() as report:
        report(2, 4, 1)
    assert "photographs" in screen.getvalue() and "2/4" in screen.getvalue() and "1 failed" in screen.getvalue()
    assert result.getvalue() == ""


@pytest.mark.parametrize("stdout", [LogFile, Terminal])
def test_a_log_file_gets_a_line_every_ten_seconds_and_one_at_the_end(monkeypatch, stdout):
    log, clock = LogFile(), iter([0.0, 1.0, 9.9, 10.0, 15.0, 16.0])
    monkeypatch.setattr("sys.stderr", log)
    monkeypatch.setattr("sys.stdout", stdout())
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with progress.reported_progress() as report:
        for finished in (1, 2, 3, 4, 5):
            report(finished, 5, int(finished > 2))
    assert log.getvalue() == "3 of 5 photographs, 1 failed\n5 of 5 photographs, 1 failed\n"
    assert log.flushed >= 2
