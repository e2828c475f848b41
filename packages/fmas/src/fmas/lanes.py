"""Overlapping stages in threads, so that a GPU or a distant service never waits for files to be decoded or encoded.

Stages that ask for a GPU, and whatever lies between them, form the middle lane; those before it and those after it are
lanes of their own::

    read  ->  segment region inpaint select  ->  write, write
    1 thread            1 thread                 2 threads

Bounded queues join the lanes, so that memory holds a few batches, however many items there are. Without a stage that
asks for a GPU there is one lane and no thread: then all work is Python's own, and threads would only wait for each
other.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

from fmas.stages import Item, Stage
from fmas.through import through

__all__ = ["run_lanes", "split_lanes"]

ItemT = TypeVar("ItemT", bound=Item)

_LAST_LANE_THREADS = 2  # encoding a PNG takes longer than decoding one, and both release Python's lock
_QUEUED = 8  # items between two lanes: at least two batches of any stage of ours
_POLL = 0.05  # seconds after which a waiting thread looks whether it is to stop


class _StoppedError(Exception):
    """The run has ended while a thread was waiting."""


class _End:
    """Follows the last item."""


_END = _End()


@dataclass(slots=True)
class _Lanes(Generic[ItemT]):
    """What the threads of one run share."""

    stop: threading.Event = field(default_factory=threading.Event)
    errors: list[BaseException] = field(default_factory=list)

    def put(self, target: queue.Queue[ItemT | _End], item: ItemT | _End) -> None:
        """Put, or give up when the run ends."""
        while not self.stop.is_set():
            try:
                target.put(item, timeout=_POLL)
            except queue.Full:
                continue
            return
        raise _StoppedError

    def taken(self, source: queue.Queue[ItemT | _End]) -> Iterator[ItemT]:
        """Yield what comes until the end, which is left for the other threads of the lane."""
        while not self.stop.is_set():
            try:
                item = source.get(timeout=_POLL)
            except queue.Empty:
                continue
            if isinstance(item, _End):
                source.put(item)  # there is room: one was just taken
                return
            yield item
        raise _StoppedError


def split_lanes(stages: Sequence[Stage[ItemT]]) -> list[Sequence[Stage[ItemT]]]:
    """Return the stages before the first that asks for a GPU, up to the last that does, and after it; no empty lane."""
    busy = [number for number, stage in enumerate(stages) if stage.resources.gpus > 0]
    if not busy:
        return [stages]
    first, last = busy[0], busy[-1] + 1
    return [lane for lane in (stages[:first], stages[first:last], stages[last:]) if lane]


def run_lanes(
    stages: Sequence[Stage[ItemT]], items: Iterable[ItemT], fatal: tuple[type[BaseException], ...]
) -> Generator[ItemT, None, None]:
    """Yield every item once, in any order; closing the generator ends every thread before it returns.

    Args:
        stages: Set up before, in this thread.
        items: Taken as they are needed, in another thread when there is more than one lane.
        fatal: Errors that are raised here instead of failing an item.
    """
    lanes = split_lanes(stages)
    if len(lanes) == 1:
        yield from through(stages, items, fatal)
        return
    shared: _Lanes[ItemT] = _Lanes()
    threads, source = [], None
    for number, lane in enumerate(lanes):
        target: queue.Queue[ItemT | _End] = queue.Queue(_QUEUED)
        count = _LAST_LANE_THREADS if number == len(lanes) - 1 and number > 0 else 1
        left = _Countdown(count)
        for _ in range(count):
            came = items if source is None else shared.taken(source)
            work = partial(_drive, shared, through(lane, came, fatal), target, left)
            threads.append(threading.Thread(target=work, name=f"fmas lane {number}", daemon=True))
        source = target
    for thread in threads:
        thread.start()
    try:
        if source is not None:
            yield from shared.taken(source)
    except _StoppedError:
        pass  # a thread has met an error, raised below
    finally:
        shared.stop.set()
        for thread in threads:
            thread.join()
    if shared.errors:
        raise shared.errors[0]


class _Countdown:
    """Says who of a lane's threads is the last to finish."""

    def __init__(self, count: int) -> None:
        self._left = count
        self._lock = threading.Lock()

    def last(self) -> bool:
        """Count one thread as finished; whether it was the last."""
        with self._lock:
            self._left -= 1
            return self._left == 0


def _drive(
    shared: _Lanes[ItemT], finished: Iterator[ItemT], target: queue.Queue[ItemT | _End], left: _Countdown
) -> None:
    """Hand on what a lane finishes, in this thread."""
    try:
        for item in finished:
            shared.put(target, item)
        if left.last():
            shared.put(target, _END)
    except _StoppedError:
        return
    except BaseException as error:  # noqa: BLE001 (raised again where the run is driven)
        shared.errors.append(error)
        shared.stop.set()
