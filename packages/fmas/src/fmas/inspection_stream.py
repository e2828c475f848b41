"""Photographs through a detector, in order, with a few in memory: read ahead, scored, judged.

A photograph that cannot be read, or that makes the detector fail, fails alone. A detector that raises is asked again,
for each photograph that it had taken by itself, and then for the rest.
"""

from __future__ import annotations

import math
import os
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from fmas.errors import ComponentError
from fmas.images import read_image
from fmas.protocols import Detector
from fmas.secrecy import one_line
from fmas.sources import Source
from fmas.types import FloatMap, RGBImage

__all__ = ["Failed", "Photograph", "Scored", "read_ahead", "scored"]

_READERS = min(max(os.cpu_count() or 1, 2), 4)  # decoding releases Python's lock
_AHEAD = 4  # photographs that are read or being read before a detector asks for them
_MOST_AT_ONCE = 64
_MOST_PIXELS_AT_ONCE = 256_000_000  # some detectors take all that they are given before they answer: bound that

_ENDS_THE_INSPECTION = (KeyboardInterrupt, GeneratorExit)


@dataclass(frozen=True, slots=True, eq=False)
class Photograph:
    """A photograph that could be read.

    Attributes:
        source: Which one.
        size: Bytes of its file.
        modified: Its file's time of change, nanoseconds.
        sha256: Of its file's bytes.
        image: ``(H, W, 3)`` uint8 RGB, read-only.
    """

    source: Source
    size: int
    modified: int
    sha256: str
    image: RGBImage


@dataclass(frozen=True, slots=True, eq=False)
class Failed:
    """A photograph that could not be inspected.

    Attributes:
        source: Which one.
        stage: Where: ``read`` or ``score``.
        error: Why, one line.
        size: Bytes of its file; -1 where it could not be looked at.
        modified: Its file's time of change, nanoseconds; -1 where it could not be looked at.
        sha256: Of its file's bytes; empty where it could not be read.
    """

    source: Source
    stage: str
    error: str
    size: int = -1
    modified: int = -1
    sha256: str = ""

    @classmethod
    def at(cls, photograph: Photograph, stage: str, error: BaseException) -> Failed:
        """Return what became of a photograph that could be read."""
        return cls(photograph.source, stage, one_line(error), photograph.size, photograph.modified, photograph.sha256)


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """A photograph and what the detector says of it.

    Attributes:
        photograph: The photograph.
        map: ``(H, W)`` float32, finite, of the photograph's size; nobody else's memory.
        score: Finite; larger is worse.
    """

    photograph: Photograph
    map: FloatMap
    score: float


_Read: TypeAlias = Photograph | Failed


def read_ahead(sources: Iterable[Source], *, max_pixels: int) -> Generator[_Read, None, None]:
    """Yield every photograph in order; a few are read in threads before they are asked for, never more.

    Args:
        sources: Which.
        max_pixels: Larger ones fail before they are decoded.
    """
    waiting: deque[Future[_Read]] = deque()
    with ThreadPoolExecutor(_READERS, thread_name_prefix="fmas read") as pool:
        try:
            for source in sources:
                if len(waiting) >= _AHEAD:
                    yield waiting.popleft().result()
                waiting.append(pool.submit(_read, source, max_pixels))
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _read(source: Source, max_pixels: int) -> _Read:
    size = modified = -1
    try:
        status = source.path.stat()
        size, modified = status.st_size, status.st_mtime_ns
        image, digest = read_image(source.path, max_pixels=max_pixels, shown_as=source.relative)
    except Exception as error:  # noqa: BLE001 (whatever it is, it concerns this file alone)
        return Failed(source, "read", one_line(error), size, modified)
    image.flags.writeable = False  # it is drawn on later: a detector that writes into its input must fail
    return Photograph(source, size, modified, digest, image)


def scored(detector: Detector, photographs: Iterator[_Read]) -> Generator[Scored | Failed, None, None]:
    """Yield for every photograph, in order, what the detector says of it or why it failed.

    Raises:
        ComponentError: If the detector answers more often than it was asked: then no answer can be trusted.
    """
    feed = _Feed(photographs)
    try:
        while feed.open():
            yield from _score_some(detector, feed)
    finally:
        feed.close()


class _Feed:
    """What a detector is given: an iterator over images, and the photographs that it took and has not answered yet.

    A detector may take from a thread of its own.
    """

    def __init__(self, photographs: Iterator[_Read]) -> None:
        self._photographs = photographs
        self._lock = threading.Lock()
        self._unanswered: deque[_Read] = deque()
        self._images_left = self._pixels_left = 0
        self._exhausted = False
        self.taken = False

    def open(self) -> bool:
        """Allow another share to be taken; ``False`` if there is nothing left."""
        with self._lock:
            self._images_left, self._pixels_left, self.taken = _MOST_AT_ONCE, _MOST_PIXELS_AT_ONCE, False
            return not self._exhausted

    def close(self) -> None:
        """Let nothing be taken any more, by a thread that the detector left behind, say."""
        with self._lock:
            self._images_left = 0

    def __iter__(self) -> Iterator[RGBImage]:
        return self

    def __next__(self) -> RGBImage:
        with self._lock:
            if self._images_left <= 0 or self._pixels_left <= 0:
                raise StopIteration
            for photograph in self._photographs:
                self._unanswered.append(photograph)
                self.taken = True
                if isinstance(photograph, Photograph):
                    self._images_left -= 1
                    self._pixels_left -= photograph.image.shape[0] * photograph.image.shape[1]
                    return photograph.image
            self._exhausted = True
            raise StopIteration

    def answered(self) -> Iterator[_Read]:
        """Yield what became due with one answer: files that could not be read, then the photograph it belongs to."""
        while self._unanswered:
            due = self._unanswered.popleft()
            yield due
            if isinstance(due, Photograph):
                return

    def unanswered(self) -> Iterator[_Read]:
        """Yield everything that was taken and got no answer."""
        while self._unanswered:
            yield self._unanswered.popleft()


def _score_some(detector: Detector, feed: _Feed) -> Iterator[Scored | Failed]:
    """Score one share; the end may come early."""
    with closing(_answers(detector, feed)) as answers:
        for answer in answers:
            if isinstance(answer, BaseException):
                break
            due = None
            for due in feed.answered():
                yield due if isinstance(due, Failed) else _judged(due, answer)
            if not isinstance(due, Photograph):
                raise ComponentError(
                    "expected one map and score for each photograph from the detector, got more; this is a bug in it"
                )
    feed.close()
    if not feed.taken:  # it failed or ended before it took anything: go on all the same
        feed.open()
        next(feed, None)
        feed.close()
    for left in feed.unanswered():
        yield left if isinstance(left, Failed) else _alone(detector, left)


def _answers(detector: Detector, images: Iterable[RGBImage]) -> Generator[object, None, None]:
    """Yield what the detector yields, and last, instead of raising it, what it raises."""
    try:
        yield from detector.score(images)
    except _ENDS_THE_INSPECTION:
        raise
    except BaseException as error:  # noqa: BLE001 (a plugin's sys.exit or native panic must not end the inspection)
        yield error


def _alone(detector: Detector, photograph: Photograph) -> Scored | Failed:
    for answer in _answers(detector, iter((photograph.image,))):
        if isinstance(answer, BaseException):
            return Failed.at(photograph, "score", answer)
        return _judged(photograph, answer)
    return Failed.at(
        photograph, "score", ComponentError("expected a map and a score from the detector, got nothing; see its log")
    )


def _judged(photograph: Photograph, answer: object) -> Scored | Failed:
    try:
        values, score = _checked(answer, photograph.image)
    except ComponentError as error:
        return Failed.at(photograph, "score", error)
    return Scored(photograph, values, score)


def _checked(answer: object, image: RGBImage) -> tuple[FloatMap, float]:
    """Return map and score of an answer.

    Raises:
        ComponentError: If the detector breaks its contract.
    """
    advice = "this photograph has failed; check the model, or train again"
    if not isinstance(answer, tuple) or len(answer) != 2:
        raise ComponentError(f"expected (map, score) from the detector, got {type(answer).__name__}; {advice}")
    values, score = answer
    wanted = f"{image.shape[0]} x {image.shape[1]} float32"
    if not isinstance(values, np.ndarray) or values.dtype != np.float32 or values.shape != image.shape[:2]:
        got = f"{values.dtype} {values.shape}" if isinstance(values, np.ndarray) else type(values).__name__
        raise ComponentError(f"expected a map of {wanted} from the detector, got {got}; {advice}")
    if not (math.isfinite(values.min()) and math.isfinite(values.max())):
        raise ComponentError(f"expected finite values in the map, got NaN or infinity; {advice}")
    try:
        number = float(score)
    except (TypeError, ValueError) as error:
        raise ComponentError(f"expected a number as image score, got {type(score).__name__}; {advice}") from error
    if not math.isfinite(number):
        raise ComponentError(f"expected a finite image score, got {number}; {advice}")
    return np.array(values, dtype=np.float32, order="C"), number
