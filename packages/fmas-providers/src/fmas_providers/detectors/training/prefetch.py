"""Prepares the next batches while the network computes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice

from fmas_providers.detectors.training.batch import BatchT, Sampler

__all__ = ["prefetched"]


@contextmanager
def prefetched(
    sample: Sampler[BatchT], first: int, stop: int, *, workers: int = 1, pin: bool = False
) -> Iterator[Iterator[BatchT]]:
    """Give the batches of the steps ``first`` to ``stop``, each prepared ahead of its time.

    At most ``workers + 1`` batches are held besides the one that was given. What ``sample`` raises is raised where its
    batch would have been given, with a note that says which step it was. When the block ends, however it ends, so have
    all threads.

    Args:
        sample: Prepares a batch; called from other threads, from several at once if there are several workers.
        first: The first step.
        stop: The step after the last one.
        workers: Threads that prepare.
        pin: Whether to move batches where a GPU copies from without waiting.
    """

    def prepare(step: int) -> BatchT:
        batch = sample(step)
        return batch.pinned() if pin else batch

    upcoming = iter(range(first, stop))
    waiting: deque[tuple[int, Future[BatchT]]] = deque()

    def ask_for(count: int) -> None:
        for step in islice(upcoming, count):
            waiting.append((step, executor.submit(prepare, step)))

    def batches() -> Iterator[BatchT]:
        ask_for(workers + 1)
        while waiting:
            step, future = waiting.popleft()
            try:
                batch = future.result()
            except Exception as error:
                error.add_note(f"while the batch of step {step} was prepared")
                raise
            ask_for(1)
            yield batch

    executor = ThreadPoolExecutor(workers, thread_name_prefix="fmas-batches")
    try:
        yield batches()
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
