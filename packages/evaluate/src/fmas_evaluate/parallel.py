"""Do the same to many things side by side; numpy lets go of the interpreter while it sorts, searches and multiplies."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from fmas_evaluate.counter import checked_threads

__all__ = ["in_threads"]

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


def in_threads(task: Callable[[Item], Outcome], items: Iterable[Item], *, threads: int | None = None) -> list[Outcome]:
    """Apply a task to every item and return the outcomes in the items' order.

    Args:
        task: What to do; must not depend on the order in which items are done.
        items: What to do it to; all are taken at once.
        threads: Threads to use; ``None`` for one per processor.

    Returns:
        One outcome per item.
    """
    workers = checked_threads(threads)
    if workers == 1:
        return [task(item) for item in items]
    with ThreadPoolExecutor(workers, thread_name_prefix="fmas-evaluate") as pool:
        return list(pool.map(task, items))
