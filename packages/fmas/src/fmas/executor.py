"""Runs stages over items on this machine: in this process, or in several.

Knows nothing of what a stage does. An error of a batch is tried again item by item, so that it stays with the item that
caused it; only errors that concern the whole run (a full disk, say) stop it.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import TypeVar

from fmas.errors import FmasError, OutputError
from fmas.stages import Item, Stage

__all__ = ["LocalExecutor"]

ItemT = TypeVar("ItemT", bound=Item)

_ITEMS_PER_TASK = 4
_TASKS_PER_WORKER = 2


@dataclass(frozen=True, slots=True)
class LocalExecutor:
    """Runs stages in ``workers`` processes; in this one when ``workers`` is 1.

    Attributes:
        workers: Processes.
        fatal: Errors that stop the run instead of failing one item.
    """

    workers: int = 1
    fatal: tuple[type[BaseException], ...] = (OutputError,)

    def run(self, stages: Sequence[Stage[ItemT]], items: Iterable[ItemT]) -> Generator[ItemT, None, None]:
        """Yield every item once, in any order, each having passed all stages or failed in one.

        Memory holds a few batches per worker, however many items there are.

        Raises:
            FmasError: If a stage cannot be set up, a worker dies, or an error of ``fatal`` occurs.
        """
        if self.workers == 1:
            for stage in stages:
                stage.setup()
            yield from _through(stages, items, self.fatal)
        else:
            yield from self._run_in_processes(stages, items)

    def _run_in_processes(self, stages: Sequence[Stage[ItemT]], items: Iterable[ItemT]) -> Iterator[ItemT]:
        # spawn: the same on every system, and safe beside threads of OpenCV and torch.
        pool = ProcessPoolExecutor(
            self.workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start_worker,  # type: ignore[arg-type]  # typeshed cannot tie initargs to a generic function
            initargs=(tuple(stages), self.fatal),  # type: ignore[arg-type]
        )
        running: set[Future[list[ItemT]]] = set()
        try:
            for task in _batched(items):
                running.add(pool.submit(_run_task, task))
                if len(running) >= self.workers * _TASKS_PER_WORKER:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        yield from future.result()
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield from future.result()
        except BrokenProcessPool as error:
            raise FmasError(
                "expected the workers to live, but one died (killed, or out of memory); run the same command again "
                "with fewer --workers, finished images are kept"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _batched(items: Iterable[ItemT]) -> Iterator[tuple[ItemT, ...]]:
    """Do what ``itertools.batched`` does from Python 3.12 on."""
    iterator = iter(items)
    while batch := tuple(itertools.islice(iterator, _ITEMS_PER_TASK)):
        yield batch


def _through(
    stages: Sequence[Stage[ItemT]], items: Iterable[ItemT], fatal: tuple[type[BaseException], ...]
) -> Iterator[ItemT]:
    """Chain the stages lazily, so that only a batch per stage is held."""
    for stage in stages:
        items = _through_one(stage, items, fatal)
    return iter(items)


def _through_one(
    stage: Stage[ItemT], items: Iterable[ItemT], fatal: tuple[type[BaseException], ...]
) -> Iterator[ItemT]:
    batch: list[ItemT] = []
    for item in items:
        if item.failed:
            yield item
            continue
        batch.append(item)
        if len(batch) >= stage.batch_size:
            yield from _process(stage, batch, fatal)
            batch = []
    if batch:
        yield from _process(stage, batch, fatal)


def _process(stage: Stage[ItemT], batch: list[ItemT], fatal: tuple[type[BaseException], ...]) -> list[ItemT]:
    try:
        results = list(stage.process(batch))
    except fatal:
        raise
    except Exception as error:  # noqa: BLE001 (whatever a plugin raises is reported with the item that caused it)
        if len(batch) == 1:
            return [batch[0].with_failure(stage.name, error)]
        return [result for item in batch for result in _process(stage, [item], fatal)]
    if len(results) != len(batch):
        raise FmasError(
            f"expected {len(batch)} results from stage {stage.name}, got {len(results)}; this is a bug in it"
        )
    return results


class _Worker:
    """What a worker process keeps between tasks."""

    stages: Sequence[Stage[Item]] = ()
    fatal: tuple[type[BaseException], ...] = ()
    ready = False


def _start_worker(stages: Sequence[Stage[Item]], fatal: tuple[type[BaseException], ...]) -> None:
    """Take the stages into this process. They are set up in the first task, whose errors reach the caller."""
    _Worker.stages, _Worker.fatal, _Worker.ready = stages, fatal, False
    # Ctrl-C reaches the whole process group; the parent decides what to finish.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    """End this process when the parent is killed; it would otherwise wait for tasks for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _run_task(items: Sequence[ItemT]) -> list[ItemT]:
    stages: Sequence[Stage[ItemT]] = _Worker.stages  # type: ignore[assignment]  # the stages that take these items
    if not _Worker.ready:
        for stage in stages:
            stage.setup()
        _Worker.ready = True
    return list(_through(stages, items, _Worker.fatal))
