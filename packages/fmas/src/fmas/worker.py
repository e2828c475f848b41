"""A worker process: gets the stages once, then batches of items; dies with its parent."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

from fmas.errors import FmasError
from fmas.secrecy import one_line
from fmas.stages import Item, Stage
from fmas.through import set_up, through

__all__ = ["new_pool", "run_task"]

ItemT = TypeVar("ItemT", bound=Item)


class _Worker:
    """What a worker process keeps between tasks."""

    stages: Sequence[Stage[Item]] = ()
    fatal: tuple[type[BaseException], ...] = ()
    ready = False


def new_pool(
    workers: int, stages: Sequence[Stage[ItemT]], fatal: tuple[type[BaseException], ...]
) -> ProcessPoolExecutor:
    """Return a pool whose processes know the stages."""
    return ProcessPoolExecutor(
        workers,
        # spawn: the same on every system, and safe beside threads of OpenCV and torch.
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start,  # type: ignore[arg-type]  # typeshed cannot tie initargs to a generic function
        initargs=(tuple(stages), fatal),  # type: ignore[arg-type]
    )


def run_task(items: Sequence[ItemT]) -> list[ItemT]:
    """Pass items through this process's stages, setting those up at first.

    Raises:
        FmasError: If a stage cannot be set up, or one of the fatal errors occurs.
    """
    stages: Sequence[Stage[ItemT]] = _Worker.stages  # type: ignore[assignment]  # the stages that take these items
    try:
        if not _Worker.ready:
            set_up(stages)
            _Worker.ready = True
        return list(through(stages, items, _Worker.fatal))
    except Exception as error:  # noqa: BLE001 (raised again, in a form that survives the way to the parent)
        raise _portable(error) from None


def _start(stages: Sequence[Stage[Item]], fatal: tuple[type[BaseException], ...]) -> None:
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


def _portable(error: Exception) -> Exception:
    """Return the error if it survives the way to the parent, else its nearest relative of ours that does.

    An exception whose ``__init__`` takes other arguments than its ``args`` breaks the pool when it is unpickled.
    """
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 (our own bytes, one line above)
    except Exception:  # noqa: BLE001 (anything may go wrong in a foreign exception)
        family = next((kind for kind in type(error).__mro__ if kind.__module__ == "fmas.errors"), FmasError)
        return family(one_line(error)) if issubclass(family, FmasError) else FmasError(one_line(error))
    return error
