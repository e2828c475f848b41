"""The contract between stages and executors: neither knows anything else about the other."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

from fmas.types import Fingerprint

__all__ = ["Executor", "Item", "Resources", "Stage"]


class Item(Protocol):
    """What flows through stages, as far as an executor can see."""

    @property
    def failed(self) -> bool:
        """Whether the remaining stages are to be skipped."""
        ...

    def with_failure(self, stage: str, error: BaseException) -> Self:
        """Return this item as failed in ``stage``."""
        ...


ItemT = TypeVar("ItemT", bound=Item)


@dataclass(frozen=True, slots=True)
class Resources:
    """What one worker of a stage needs; a cluster executor places by it."""

    cpus: float = 1.0
    gpus: float = 0.0


class Stage(Protocol[ItemT]):
    """One step. Picklable before :meth:`setup`; its result depends on its input, configuration and seeds alone."""

    @property
    def name(self) -> str:
        """A word for messages and failures."""
        ...

    @property
    def resources(self) -> Resources:
        """What one worker needs."""
        ...

    @property
    def batch_size(self) -> int:
        """How many items :meth:`process` likes at once."""
        ...

    def setup(self) -> None:
        """Load what is needed; called once in every worker before the first batch."""
        ...

    def process(self, batch: Sequence[ItemT]) -> Sequence[ItemT]:
        """Return one item for each of ``batch``, in order. What it raises concerns this batch only."""
        ...

    def fingerprint(self) -> Fingerprint:
        """Return what the result depends on besides the input."""
        ...


class Executor(Protocol):
    """Runs stages over items."""

    def run(self, stages: Sequence[Stage[ItemT]], items: Iterable[ItemT]) -> Generator[ItemT, None, None]:
        """Yield every item once, in any order, each having passed all stages or failed in one.

        Closing the generator ends the work: nothing runs on when ``close()`` returns.
        """
        ...
