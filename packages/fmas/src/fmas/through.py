"""Passing items through stages, one batch at a time, with every error kept beside the item that caused it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from fmas.errors import FmasError
from fmas.secrecy import one_line
from fmas.stages import Item, Stage

__all__ = ["set_up", "through"]

ItemT = TypeVar("ItemT", bound=Item)


def set_up(stages: Sequence[Stage[ItemT]]) -> None:
    """Set every stage up in this process.

    Raises:
        FmasError: If one cannot be, e.g. because weights are missing; whatever a plugin raised, in one line.
    """
    for stage in stages:
        try:
            stage.setup()
        except FmasError:
            raise
        except Exception as error:
            raise FmasError(
                f"expected stage {stage.name} to be ready, got {type(error).__name__}: {one_line(error)}; "
                "mend that and run the same command again"
            ) from error


def through(
    stages: Sequence[Stage[ItemT]], items: Iterable[ItemT], fatal: tuple[type[BaseException], ...]
) -> Iterator[ItemT]:
    """Yield every item once, having passed all stages or failed in one; only a batch per stage is held.

    Args:
        stages: Set up before.
        items: Taken as they are needed.
        fatal: Errors that are raised instead of failing an item.
    """
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
    ends_the_run: tuple[type[BaseException], ...] = (*fatal, KeyboardInterrupt, GeneratorExit)
    try:
        results = list(stage.process(batch))
    except ends_the_run:
        raise
    except BaseException as error:  # noqa: BLE001 (a plugin's sys.exit or native panic must not end the run)
        if len(batch) == 1:
            return [batch[0].with_failure(stage.name, error)]
        return [result for item in batch for result in _process(stage, [item], fatal)]
    if len(results) != len(batch):
        raise FmasError(
            f"expected {len(batch)} results from stage {stage.name}, got {len(results)}; this is a bug in it"
        )
    return results
