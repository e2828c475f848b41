"""Stages for test_executor.py, in a module of their own because worker processes import them by name."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, replace

from fmas.errors import FmasError
from fmas.stages import Resources
from fmas.types import Fingerprint


@dataclass(frozen=True)
class Number:
    value: int
    failure: str = ""

    @property
    def failed(self) -> bool:
        return bool(self.failure)

    def with_failure(self, stage: str, error: BaseException) -> Number:
        return replace(self, failure=f"{stage}: {error}")


@dataclass
class Stage:
    """Adds one; refuses, dies or misbehaves on chosen numbers."""

    name: str = "add"
    batch_size: int = 1
    bad: tuple[int, ...] = ()
    error: type[Exception] = ValueError
    lose: bool = False
    resources = Resources()
    seen: tuple[int, ...] = ()
    ready: bool = False

    def setup(self) -> None:
        self.ready = True

    def process(self, batch):
        assert self.ready
        self.seen += (len(batch),)
        for item in batch:
            if item.value in self.bad:
                raise self.error(f"{item.value} is bad")
        return [replace(item, value=item.value + 1) for item in batch][self.lose :]

    def fingerprint(self) -> Fingerprint:
        return Fingerprint(self.name, "1")


@dataclass
class Killer(Stage):
    """Dies with the whole process on chosen numbers, as out of memory does."""

    def process(self, batch):
        if any(item.value in self.bad for item in batch):
            os.kill(os.getpid(), signal.SIGKILL)
        return [replace(item, value=item.value + 1) for item in batch]


class TwoArgumentError(Exception):
    """Cannot be unpickled: its ``__init__`` wants more than its ``args`` hold."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")


@dataclass
class BrokenSetup(Stage):
    def setup(self) -> None:
        raise FmasError("no weights")


@dataclass
class OddSetup(Stage):
    def setup(self) -> None:
        raise TwoArgumentError(7, "no weights either")


@dataclass
class TellsHandler(Stage):
    """Fails with the name of what Ctrl-C would do in its process."""

    def process(self, batch):
        raise RuntimeError(f"handler is {getattr(signal.getsignal(signal.SIGINT), 'name', 'another')}")


@dataclass
class CountsSetups(Stage):
    """Gives each item the number of times it was set up."""

    setups: int = 0

    def setup(self) -> None:
        self.setups += 1

    def process(self, batch):
        return [replace(item, value=self.setups) for item in batch]
