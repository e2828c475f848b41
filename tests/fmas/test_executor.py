from __future__ import annotations

import importlib
import signal
from concurrent.futures import Future
from pathlib import Path

import pytest

import fmas.executor
from fmas.errors import FmasError, OutputError
from fmas.executor import LocalExecutor


@pytest.fixture(autouse=True)
def stages(monkeypatch):
    """Make the stages importable here and, because ``spawn`` hands ``sys.path`` on, in worker processes."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    module = importlib.import_module("executor_stages")
    return module


def run(chain, count, workers=1):
    numbers = [importlib.import_module("executor_stages").Number(n) for n in range(count)]
    return sorted(LocalExecutor(workers).run(chain, numbers), key=lambda item: item.value)


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
def test_every_item_passes_every_stage_once(stages, batch_size):
    first, second = stages.Stage(batch_size=batch_size), stages.Stage(batch_size=2)
    assert [item.value for item in run([first, second], 10)] == list(range(2, 12))
    assert sum(first.seen) == sum(second.seen) == 10
    assert max(first.seen) <= batch_size


def test_an_error_stays_with_its_item(stages):
    stage = stages.Stage(batch_size=4, bad=(2, 5))
    after = stages.Stage(name="after")
    items = run([stage, after], 8)
    failed = {item.value: item.failure for item in items if item.failed}
    assert failed == {2: "add: 2 is bad", 5: "add: 5 is bad"}
    assert sorted(item.value for item in items if not item.failed) == [2, 3, 5, 6, 8, 9]
    assert sum(after.seen) == 6


def test_fatal_errors_stop_the_run(stages):
    done = []
    with pytest.raises(OutputError, match="2 is bad"):
        for item in LocalExecutor().run(
            [stages.Stage(bad=(2,), error=OutputError)], [stages.Number(n) for n in range(5)]
        ):
            done.append(item.value)
    assert done == [1, 2]


def test_items_are_taken_lazily(stages):
    taken = []

    def items():
        for number in range(100):
            taken.append(number)
            yield stages.Number(number)

    iterator = LocalExecutor().run([stages.Stage(batch_size=3)], items())
    next(iterator)
    assert len(taken) == 3


def test_stage_that_loses_items_is_a_bug(stages):
    with pytest.raises(FmasError, match="expected 2 results from stage add, got 1"):
        run([stages.Stage(batch_size=2, lose=True)], 2)


@pytest.mark.slow
def test_workers_give_the_same_items(stages):
    assert [item.value for item in run([stages.Stage(batch_size=2)], 23, workers=2)] == list(range(1, 24))


@pytest.mark.slow
def test_fatal_errors_come_back_from_workers(stages):
    with pytest.raises(OutputError, match="2 is bad"):
        run([stages.Stage(bad=(2,), error=OutputError)], 5, workers=2)
    with pytest.raises(FmasError, match="no weights"):
        run([stages.BrokenSetup()], 5, workers=2)


@pytest.mark.slow
def test_item_that_kills_its_worker_fails_alone(stages):
    items = run([stages.Killer(bad=(2, 11))], 20, workers=2)
    assert sorted(item.value for item in items if item.failed) == [2, 11]
    assert sorted(item.value for item in items if not item.failed) == sorted({*range(1, 21)} - {3, 12})
    assert "it died twice on this photograph" in next(item.failure for item in items if item.failed)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_setup_that_fails_oddly_is_one_line(stages, workers):
    with pytest.raises(FmasError, match="expected stage add to be ready, got TwoArgumentError: 7: no weights either"):
        run([stages.OddSetup()], 3, workers=workers)


@pytest.mark.slow
def test_workers_leave_ctrl_c_to_the_parent(stages):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job starts with it ignored
    try:
        (item,) = LocalExecutor(2).run([stages.TellsHandler()], [stages.Number(1)])
    finally:
        signal.signal(signal.SIGINT, before)
    assert item.failure.endswith("handler is SIG_IGN")


@pytest.mark.slow
def test_a_worker_sets_its_stages_up_once(stages):
    items = [stages.Number(n) for n in range(40)]
    results = list(LocalExecutor(2).run([stages.CountsSetups()], items))
    assert {item.value for item in results} == {1}


class Instant:
    """A pool that hands every task back, finished, at once."""

    def __init__(self, *given, **options):
        pass

    def submit(self, call, task):
        future = Future()
        future.set_result(list(task))
        return future

    def shutdown(self, **options):
        pass


def test_tasks_are_handed_out_a_few_at_a_time(stages, monkeypatch):
    """Memory must not grow with the number of photographs."""
    taken = []

    def items():
        for number in range(1000):
            taken.append(number)
            yield stages.Number(number)

    monkeypatch.setattr(fmas.executor, "new_pool", Instant)
    iterator = LocalExecutor(2).run([stages.Stage()], items())
    next(iterator)
    assert len(taken) <= 2 * 2 * 4
    iterator.close()
