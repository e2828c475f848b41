from __future__ import annotations

import importlib
import threading
import time
from pathlib import Path

import pytest

from fmas.errors import OutputError
from fmas.executor import LocalExecutor
from fmas.lanes import run_lanes, split_lanes
from fmas.stages import Resources

GPU = Resources(gpus=1.0)


@pytest.fixture(autouse=True)
def stages(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    return importlib.import_module("executor_stages")


def chain(stages, **middle):
    first, busy, last = stages.Stage(name="first"), stages.Stage(name="busy", **middle), stages.Stage(name="last")
    busy.resources = GPU
    return [first, busy, last]


def numbers(stages, count):
    return [stages.Number(number) for number in range(count)]


def test_lanes_are_before_between_and_after_the_stages_that_ask_for_a_gpu(stages):
    plain, busy = stages.Stage(), stages.Stage()
    busy.resources = GPU
    assert split_lanes([plain, plain]) == [[plain, plain]]
    assert split_lanes([plain, busy, plain, busy, plain]) == [[plain], [busy, plain, busy], [plain]]
    assert split_lanes([busy, plain]) == [[busy], [plain]]
    assert split_lanes([busy]) == [[busy]]


@pytest.mark.parametrize("count", [0, 1, 2, 50])
@pytest.mark.parametrize("batch_size", [1, 4])
def test_every_item_passes_every_stage_once(stages, count, batch_size):
    items = LocalExecutor().run(chain(stages, batch_size=batch_size), numbers(stages, count))
    assert sorted(item.value for item in items) == list(range(3, count + 3))


def test_an_error_stays_with_its_item(stages):
    items = list(LocalExecutor().run(chain(stages, bad=(3,), batch_size=4), numbers(stages, 9)))
    assert [item.failure for item in items if item.failed] == ["busy: 3 is bad"]
    assert len(items) == 9


@pytest.mark.parametrize("where", [0, 1, 2])
def test_a_fatal_error_of_any_lane_is_raised_and_ends_every_thread(stages, where):
    before = threading.active_count()
    stage_list = chain(stages)
    stage_list[where].bad, stage_list[where].error = (5 + where,), OutputError
    with pytest.raises(OutputError, match="is bad"):
        list(LocalExecutor().run(stage_list, numbers(stages, 100)))
    assert threading.active_count() == before


def test_what_yields_the_items_may_fail(stages):
    def items():
        yield stages.Number(0)
        raise OSError("the list ends here")

    ready = chain(stages)
    for stage in ready:
        stage.setup()
    with pytest.raises(OSError, match="the list ends here"):
        list(run_lanes(ready, items(), ()))


def test_closing_ends_every_thread_and_takes_no_more_items(stages):
    before, taken = threading.active_count(), []

    def items():
        for number in range(10_000):
            taken.append(number)
            yield stages.Number(number)

    run = LocalExecutor().run(chain(stages), items())
    next(run)
    run.close()
    assert threading.active_count() == before
    assert len(taken) < 100


class Slow:
    """Waits as a disk or a GPU does, without Python's lock, and notes when."""

    batch_size = 1

    def __init__(self, name, seconds, resources=None):
        self.name, self.seconds, self.spans = name, seconds, []
        self.resources = resources or Resources()

    def setup(self):
        pass

    def process(self, batch):
        began = time.perf_counter()
        time.sleep(self.seconds)
        self.spans.append((began, time.perf_counter()))
        return list(batch)


def test_the_busy_stage_does_not_wait_for_the_others(stages):
    read, paint, write = Slow("read", 0.01), Slow("paint", 0.03, GPU), Slow("write", 0.04)
    list(LocalExecutor().run([read, paint, write], numbers(stages, 12)))
    gaps = [later[0] - earlier[1] for earlier, later in zip(paint.spans, paint.spans[1:], strict=False)]
    # Alone, each gap would hold a write and a read, 0.05 s; the median forgives a busy machine one or two.
    assert sorted(gaps)[len(gaps) // 2] < 0.02
