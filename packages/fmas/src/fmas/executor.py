"""Runs stages over items on this machine: in this process, or in several.

Knows nothing of what a stage does. An error of a batch is tried again item by item, so that it stays with the item that
caused it, even when that item kills its process; only errors that concern the whole run (a full disk, say) stop it.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import TypeVar

from fmas.errors import FmasError, OutputError
from fmas.lanes import run_lanes
from fmas.stages import Item, Stage
from fmas.through import set_up
from fmas.worker import new_pool, run_task

__all__ = ["LocalExecutor"]

ItemT = TypeVar("ItemT", bound=Item)

_ITEMS_PER_TASK = 4
_TASKS_PER_WORKER = 2


@dataclass(frozen=True, slots=True)
class LocalExecutor:
    """Runs stages in ``workers`` processes; in this one, its lanes overlapping, when ``workers`` is 1.

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
            FmasError: If a stage cannot be set up, or an error of ``fatal`` occurs.
        """
        if self.workers == 1:
            set_up(stages)
            yield from run_lanes(stages, items, self.fatal)
            return
        tasks = _batched(items)
        while True:
            unfinished: list[tuple[ItemT, ...]] = []
            try:
                yield from self._run_pool(stages, tasks, unfinished)
            except BrokenProcessPool:
                # Somebody's item killed its worker, and the pool with it. One at a time tells whose.
                yield from self._run_alone(stages, [item for task in unfinished for item in task])
            else:
                return

    def _run_pool(
        self, stages: Sequence[Stage[ItemT]], tasks: Iterator[tuple[ItemT, ...]], unfinished: list[tuple[ItemT, ...]]
    ) -> Iterator[ItemT]:
        """Run tasks in a pool of workers; ``unfinished`` holds those whose results have not come back."""
        pool = new_pool(self.workers, stages, self.fatal)
        running: dict[Future[list[ItemT]], tuple[ItemT, ...]] = {}

        def finished() -> Iterator[ItemT]:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                results = future.result()
                unfinished.remove(running.pop(future))
                yield from results

        try:
            for task in tasks:
                unfinished.append(task)
                running[pool.submit(run_task, task)] = task
                if len(running) >= self.workers * _TASKS_PER_WORKER:
                    yield from finished()
            while running:
                yield from finished()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _run_alone(self, stages: Sequence[Stage[ItemT]], items: Sequence[ItemT]) -> Iterator[ItemT]:
        """Run each item by itself; one that kills its worker again has failed."""
        pool = new_pool(1, stages, self.fatal)
        try:
            for item in items:
                try:
                    yield from pool.submit(run_task, (item,)).result()
                except BrokenProcessPool:
                    pool.shutdown(wait=True)
                    pool = new_pool(1, stages, self.fatal)
                    yield item.with_failure("worker", FmasError(_DIED))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


_DIED = (
    "expected the worker to live, but it died twice on this photograph (killed, out of memory, or a crash in native "
    "code); try a smaller photograph or a machine with more memory"
)


def _batched(items: Iterable[ItemT]) -> Iterator[tuple[ItemT, ...]]:
    """Do what ``itertools.batched`` does from Python 3.12 on."""
    iterator = iter(items)
    while batch := tuple(itertools.islice(iterator, _ITEMS_PER_TASK)):
        yield batch
