"""Data in the page, and many pictures at a time: nothing breaks out, nothing is lost, nothing piles up."""

from __future__ import annotations

import json
import re
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmas.report.abreast import in_order
from fmas.report.payload import json_element

ELEMENT = re.compile(r'<script type="application/json"(?: id="p1")?(?: class="pair")?>([^<>&]*)</script>')
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(values)
def test_any_data_come_back_as_they_were_and_stay_inside_their_element(value: object) -> None:
    for attributes in ({}, {"id_": "p1"}, {"class_": "pair"}):
        match = ELEMENT.fullmatch(json_element(value, **attributes))
        assert match is not None
        assert match[1].isascii()
        assert json.loads(match[1]) == value


def test_bytes_of_a_name_that_are_no_unicode_can_be_read() -> None:
    element = json_element({"source": ["a\udcff<b>.png"], "\ud800": 1})
    match = ELEMENT.fullmatch(element)
    assert match is not None
    assert json.loads(match[1]) == {"source": ["a\\udcff<b>.png"], "\\ud800": 1}


def test_attributes_are_escaped() -> None:
    assert '"p&#34;&gt;"' in json_element(1, id_='p">')


@given(st.lists(st.integers(), max_size=30), st.integers(1, 4))
def test_order_is_kept(items: list[int], threads: int) -> None:
    assert list(in_order(lambda item: item * 2, items, threads=threads)) == [item * 2 for item in items]


def test_threads_work_at_the_same_time_and_not_far_ahead() -> None:
    together = threading.Barrier(2, timeout=10)
    taken = 0
    ahead = 0

    def items():
        nonlocal ahead
        for number in range(20):
            ahead = max(ahead, number - taken)
            yield number

    def make(number: int) -> int:
        together.wait()
        time.sleep(0.001 * (number % 3))
        return number

    for number in in_order(make, items(), threads=2):
        assert number == taken
        taken += 1
    assert taken == 20
    assert ahead <= 4


def test_an_error_arrives_in_its_turn_and_ends_the_rest() -> None:
    begun = []

    def make(number: int) -> int:
        begun.append(number)
        if number == 3:
            raise ValueError("third")
        return number

    results = in_order(make, range(1000), threads=2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="third"):
        next(results)
    assert len(begun) < 20


def test_who_stops_early_leaves_no_thread() -> None:
    before = threading.active_count()
    results = in_order(lambda number: number, range(1000), threads=3)
    assert next(results) == 0
    results.close()
    assert threading.active_count() == before
