"""Doing one thing to many items on all cores, in order, and holding few of them at a time."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

__all__ = ["in_order"]

Item = TypeVar("Item")
Made = TypeVar("Made")


def in_order(make: Callable[[Item], Made], items: Iterable[Item], *, threads: int | None = None) -> Iterator[Made]:
    """Yield ``make(item)`` of each item, in order.

    Threads, because decoding and encoding pictures leave Python's lock alone. No more than two items per thread are
    under way or wait to be taken, so memory does not grow with their number.

    Args:
        make: What is done; what it raises is raised here.
        items: Read as they are needed.
        threads: As many at a time; the number of cores, at most 8, by default.
    """
    count = threads or min(os.cpu_count() or 1, 8)
    remaining = iter(items)
    with ThreadPoolExecutor(count, thread_name_prefix="report") as pool:
        waiting: deque[Future[Made]] = deque(pool.submit(make, item) for item in islice(remaining, 2 * count))
        try:
            while waiting:
                made = waiting.popleft().result()
                waiting.extend(pool.submit(make, item) for item in islice(remaining, 1))
                yield made
        finally:
            for future in waiting:
                future.cancel()
