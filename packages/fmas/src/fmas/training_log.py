"""How a training goes, as lines of ``training.jsonl``: the step, and the values that the detector reports."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from fmas.detectors import TrainingProgress
from fmas.files import unwritable

__all__ = ["TrainingLog"]

_MOST_LINES = 1000
_DIGITS = 6


class TrainingLog:
    """Writes about a thousand lines per training, whatever its length, and hands every call on.

    A training that goes on from a checkpoint does some steps again: their old lines are dropped.

    Args:
        path: The file.
        then: Who else wants to know.
    """

    def __init__(self, path: Path, then: TrainingProgress | None = None) -> None:
        self._path = path
        self._then = then
        self._has_begun = False

    def __call__(self, done: int, planned: int, values: Mapping[str, float]) -> None:
        """Take note of a step.

        Raises:
            OutputError: If it cannot be written.
        """
        if done % max(planned // _MOST_LINES, 1) == 0 or done >= planned:
            line = {"step": done, "steps": planned, **{str(key): _number(value) for key, value in values.items()}}
            try:
                if not self._has_begun:
                    self._drop_from(done)
                self._file.write(json.dumps(line).encode() + b"\n")
            except OSError as error:
                raise unwritable(self._path, error) from error
        if self._then is not None:
            self._then(done, planned, values)

    def _drop_from(self, step: int) -> None:
        kept = b"".join(line for line, number in _lines(self._path) if number < step)
        self._path.write_bytes(kept)
        self._file = self._path.open("ab", buffering=0)
        self._has_begun = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._has_begun:
            self._file.close()


def _lines(path: Path) -> Iterator[tuple[bytes, int]]:
    """Yield whole lines with their step; what a killed process left of one is passed over."""
    content = path.read_bytes() if path.exists() else b""
    for line in content.splitlines(keepends=True):
        try:
            step = json.loads(line)["step"]
        except (ValueError, TypeError, KeyError):
            continue
        if line.endswith(b"\n") and isinstance(step, int):
            yield line, step


def _number(value: float) -> float | None:
    """Return a value that JSON can hold, with as many digits as anybody reads."""
    number = float(value)
    return float(f"{number:.{_DIGITS}g}") if math.isfinite(number) else None
