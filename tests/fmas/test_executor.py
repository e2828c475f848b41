from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from fmas.errors import FmasError, OutputError
from fmas.executor import LocalExecutor
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
class BrokenSetup(Stage):
    def setup(self) -> None:
        raise FmasError("no weights")


def run(stages, count, workers=1):
    return sorted(LocalExecutor(workers).run(stages, [Number(n) for n in range(count)]), key=lambda item: item.value)


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
def test_every_item_passes_every_stage_once(batch_size):
    first, second = Stage(batch_size=batch_size), Stage(batch_size=2)
    assert [item.value for item in run([first, second], 10)] == list(range(2, 12))
    assert sum(first.seen) == sum(second.seen) == 10
    assert max(first.seen) <= batch_size


def test_an_error_stays_with_its_item():
    stage = Stage(batch_size=4, bad=(2, 5))
    after = Stage(name="after")
    items = run([stage, after], 8)
    failed = {item.value: item.failure for item in items if item.failed}
    assert failed == {2: "add: 2 is bad", 5: "add: 5 is bad"}
    assert sorted(item.value for item in items if not item.failed) == [2, 3, 5, 6, 8, 9]
    assert sum(after.seen) == 6


def test_fatal_errors_stop_the_run():
    done = []
    with pytest.raises(OutputError, match="2 is bad"):
        for item in LocalExecutor().run([Stage(bad=(2,), error=OutputError)], [Number(n) for n in range(5)]):
            done.append(item.value)
    assert done == [1, 2]


def test_items_are_taken_lazily():
    taken = []

    def items():
        for number in range(100):
            taken.append(number)
            yield Number(number)

    iterator = LocalExecutor().run([Stage(batch_size=3)], items())
    next(iterator)
    assert len(taken) == 3


def test_stage_that_loses_items_is_a_bug():
    with pytest.raises(FmasError, match="expected 2 results from stage add, got 1"):
        run([Stage(batch_size=2, lose=True)], 2)


@pytest.mark.slow
def test_workers_give_the_same_items():
    assert [item.value for item in run([Stage(batch_size=2)], 23, workers=2)] == list(range(1, 24))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "message"), [(Stage(bad=(2,), error=OutputError), "2 is bad"), (BrokenSetup(), "no weights")]
)
def test_fatal_errors_come_back_from_workers(stage, message):
    with pytest.raises(FmasError, match=message):
        run([stage], 5, workers=2)
