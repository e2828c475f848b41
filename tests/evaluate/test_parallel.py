from __future__ import annotations

import threading

import pytest

from fmas_evaluate.parallel import in_threads


@pytest.mark.parametrize("threads", [1, 3, None])
def test_outcomes_come_in_the_order_of_the_items(threads: int | None) -> None:
    assert in_threads(lambda number: number**2, iter(range(50)), threads=threads) == [n**2 for n in range(50)]


def test_items_are_done_side_by_side() -> None:
    meeting = threading.Barrier(2, timeout=20)  # breaks unless two tasks wait at it at the same time
    assert len(in_threads(lambda _: meeting.wait(), range(2), threads=2)) == 2


@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_reaches_the_caller(threads: int) -> None:
    with pytest.raises(ZeroDivisionError):
        in_threads(lambda number: 1 // number, [1, 0], threads=threads)
