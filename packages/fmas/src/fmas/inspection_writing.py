"""Maps and overlays into files, in threads behind the detector, so that it never waits for a file to be encoded."""

from __future__ import annotations

import contextlib
import errno
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeAlias

import cv2
import numpy as np

from fmas.calibration import Verdict
from fmas.detectors import SubbandWeights
from fmas.errors import OutputError
from fmas.inspection_files import InspectionFolder
from fmas.inspection_journal import Record
from fmas.inspection_stream import Failed, Scored
from fmas.overlays import MapScale, draw_overlay
from fmas.secrecy import one_line
from fmas.types import FloatMap

__all__ = ["Inspected", "ResultWriter", "encode_map"]

_WRITERS = min(max(os.cpu_count() or 1, 2), 4)  # encoding releases Python's lock
_BEHIND = 4  # results that wait to be written, or are being written
_STORED, _DEFLATE, _NO_PREDICTOR = 1, 8, 1  # what every TIFF reader has built in
_LEVEL = 0.25  # share of a map's pixels that have its least value, from which on deflating it pays
# Errors that a name causes on the file system of --out; the next photograph's may be fine.
_ABOUT_THE_NAME = frozenset({errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL})


@dataclass(frozen=True, slots=True, eq=False)
class Inspected:
    """A result that is ready to be written.

    Attributes:
        scored: What the detector says.
        verdict: What follows from the score.
        weights: Layer -> sub-band weights; ``None`` where nobody asked.
    """

    scored: Scored
    verdict: Verdict
    weights: SubbandWeights | None = None


_Result: TypeAlias = Inspected | Failed


def encode_map(map_: FloatMap) -> bytes:
    """Return a TIFF with one page of float32; the values come back bit for bit.

    Deflated where much of the map is one value, as it is behind the gate. Elsewhere a map is noise: deflating it takes
    a hundred times as long as storing it, about as long as a small network does, and saves a fifth.

    Args:
        map_: ``(H, W)`` float32.
    """
    level = np.count_nonzero(map_ == map_.min()) >= _LEVEL * map_.size
    # OpenCV, unlike Pillow, lets go of Python's lock meanwhile.
    parameters = [cv2.IMWRITE_TIFF_COMPRESSION, _DEFLATE if level else _STORED]
    encoded, content = cv2.imencode(".tiff", map_, [*parameters, cv2.IMWRITE_TIFF_PREDICTOR, _NO_PREDICTOR])
    if not encoded:
        raise ValueError("expected OpenCV to encode a TIFF, got nothing; check its installation")
    return content.tobytes()


class ResultWriter:
    """Writes results in threads; a few at a time, so that a slow disk holds everything up instead of filling memory.

    Args:
        folder: Where to.
        scale: Of the overlays; ``None`` for none.
    """

    def __init__(self, folder: InspectionFolder, scale: MapScale | None) -> None:
        self._folder = folder
        self._scale = scale
        self._pool = ThreadPoolExecutor(_WRITERS, thread_name_prefix="fmas write")
        self._waiting: deque[Future[Record]] = deque()

    def put(self, result: _Result) -> Iterator[Record]:
        """Take a result, and yield the records of earlier ones whose files are in place, in the order they came.

        Raises:
            OutputError: If a file cannot be written.
        """
        self._waiting.append(self._pool.submit(self._write, result))
        while self._waiting and (len(self._waiting) > _BEHIND or self._waiting[0].done()):
            yield self._waiting.popleft().result()

    def rest(self) -> Iterator[Record]:
        """Yield the records of everything that was put.

        Raises:
            OutputError: If a file cannot be written.
        """
        while self._waiting:
            yield self._waiting.popleft().result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _write(self, result: _Result) -> Record:
        if isinstance(result, Failed):
            self._remove(result.source.relative)
            return _failed_record(result)
        photograph, relative = result.scored.photograph, result.scored.photograph.source.relative
        try:
            self._folder.writer.write(self._folder.map_of(relative), encode_map(result.scored.map))
            if self._scale is not None:
                self._folder.writer.write(self._folder.overlay_of(relative), self._overlay(result, self._scale))
        except Exception as error:
            if _ends_everything(error):
                raise
            self._remove(relative)
            return _failed_record(Failed.at(photograph, "write", error))
        return Record(
            path=relative,
            size=photograph.size,
            modified=photograph.modified,
            sha256=photograph.sha256,
            score=result.scored.score,
            verdict=result.verdict,
            weights=result.weights,
        )

    def _overlay(self, result: Inspected, scale: MapScale) -> bytes:
        scored = result.scored
        return draw_overlay(scored.photograph.image, scored.map, scale, score=scored.score, verdict=result.verdict)

    def _remove(self, relative: str) -> None:
        """Remove what an earlier inspection of a photograph wrote that now fails: no map without its score."""
        for path in (self._folder.map_of(relative), self._folder.overlay_of(relative)):
            with contextlib.suppress(OSError):  # most often there is nothing, or the name itself is what failed
                path.unlink()


def _ends_everything(error: Exception) -> bool:
    """Whether the next photograph would fail alike, as on a full disk."""
    cause = error.__cause__
    return isinstance(error, OutputError) and not (isinstance(cause, OSError) and cause.errno in _ABOUT_THE_NAME)


def _failed_record(failed: Failed) -> Record:
    return Record(
        path=failed.source.relative,
        size=failed.size,
        modified=failed.modified,
        sha256=failed.sha256,
        stage=failed.stage,
        error=one_line(Exception(failed.error)),
    )
