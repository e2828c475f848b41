from __future__ import annotations

from email.utils import formatdate
from time import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmas_providers.llm.backoff import Backoff, Busy, PatienceEndedError
from fmas_providers.llm.faults import retry_after


class BusyError(Exception):
    pass


@given(
    st.floats(0, 100),
    st.lists(st.none() | st.floats(0, 1000), min_size=1, max_size=60),
)
def test_waits_never_exceed_patience(patience, wishes):
    waits, left = [], list(wishes)

    def work():
        if left:
            raise BusyError
        return "answer"

    backoff = Backoff(patience, sleep=waits.append)
    try:
        outcome = backoff.call(work, lambda error: Busy("busy", left.pop(0)))
    except PatienceEndedError as ended:
        outcome = ended
    assert sum(waits) <= patience
    assert outcome == "answer" or (outcome.waited, type(outcome.__cause__)) == (pytest.approx(sum(waits)), BusyError)


def test_waits_grow_to_eight_seconds():
    waits = []

    def work():
        raise BusyError

    with pytest.raises(PatienceEndedError):
        Backoff(60, sleep=waits.append).call(work, lambda error: Busy("busy"))
    assert waits[:6] == [0.5, 1, 2, 4, 8, 8]


def test_a_service_that_says_again_at_once_is_not_asked_for_ever():
    asked = []

    def work():
        asked.append(1)
        raise BusyError

    with pytest.raises(PatienceEndedError):
        Backoff(60, sleep=lambda _: None).call(work, lambda error: Busy("busy", 0.0))
    assert len(asked) < 50


def test_calls_that_came_to_nothing_count_as_waiting():
    now, waits = [0.0], []

    def work():
        now[0] += 12  # a call that times out
        raise BusyError

    with pytest.raises(PatienceEndedError) as ended:
        Backoff(30, sleep=waits.append, clock=lambda: now[0]).call(work, lambda error: Busy("no answer in time"))
    assert (ended.value.tries, waits) == (3, [0.5, 1.0])


def test_several_calls_share_one_patience():
    waits, left = [], [1] * 6

    def work():
        if left:
            left.pop()
            raise BusyError
        return "answer"

    backoff = Backoff(20, sleep=waits.append)
    assert backoff.call(work, lambda error: Busy("busy", 3.0)) == "answer"
    left += [1] * 6
    with pytest.raises(PatienceEndedError):
        backoff.call(work, lambda error: Busy("busy", 3.0))
    assert waits == [3.0] * 6
    assert backoff.renewed().call(work, lambda error: Busy("busy", 1.0)) == "answer"


def test_other_errors_pass():
    def work():
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        Backoff().call(work, lambda error: None)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, None), ("", None), ("5", 5.0), ("0.5", 0.5), ("-3", 0.0), ("soon", None), ("nan", None), ("inf", None)],
)
def test_retry_after_in_seconds(header, seconds):
    assert retry_after(header) == seconds


def test_retry_after_as_a_date():
    assert retry_after(formatdate(time() + 60, usegmt=True)) == pytest.approx(60, abs=2)
    assert retry_after(formatdate(time() - 60, usegmt=True)) == 0.0
