"""Proportions are read from text and from mappings, written in one way, and refused when they are none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmas.config import RunConfig
from fmas.proportions import canonical_proportions, read_proportions
from fmas.settings import Layer, resolve


@pytest.mark.parametrize(
    ("given_as", "canonical"),
    [
        ("even", "even"),
        (" EVEN-kinds ", "even-kinds"),
        ("scratch=3,dent=1", "dent=1,scratch=3"),
        (" scratch = 3.50 , dent=01", "dent=1,scratch=3.5"),
        ({"scratch": 3, "dent": 0.25}, "dent=0.25,scratch=3"),
        ("oil stain=1e1", "oil stain=10"),
        ("a=0,b=0.001", "a=0,b=0.001"),
    ],
)
def test_equal_proportions_have_one_spelling(given_as, canonical):
    assert canonical_proportions(given_as) == canonical
    assert canonical_proportions(canonical) == canonical


names = st.text(st.characters(exclude_characters=",=", exclude_categories=("C", "Z")), min_size=1, max_size=8)


@given(st.dictionaries(names, st.integers(0, 10**9), min_size=1).filter(lambda one: any(one.values())))
def test_weights_survive_the_spelling(thousandths):
    text = canonical_proportions({name: f"{weight / 1000:.3f}" for name, weight in thousandths.items()})
    assert dict(read_proportions(text)) == thousandths


@pytest.mark.parametrize(
    ("given_as", "message"),
    [
        ("", "got ''"),
        ("scratch", "expected proportions, got 'scratch'"),
        ("scratch=", "got ''"),
        ("scratch=3,", "expected proportions, got ''"),
        ("=3", "before '=', got ''"),
        ("a=1,a=2", "'a' twice"),
        ("a=-1", "got '-1'"),
        ("a=nan", "got 'nan'"),
        ("a=inf", "got 'inf'"),
        ("a=1.2345", "at most 3 decimals for 'a', got '1.2345'"),
        ("a=1000000.001", "from 0 to 1000000"),
        ("a=1e999999999", "from 0 to 1000000"),
        ("a=0,b=0", "expected a weight above 0"),
        ({}, "expected a weight above 0"),
        ({"a,b": 1}, "before '=', got 'a,b'"),
        ({"a": None}, "got 'None'"),
        (3, "got 3"),
        (True, "got True"),
    ],
)
def test_what_is_none_is_refused(given_as, message):
    with pytest.raises(ValueError, match="expected") as error:
        canonical_proportions(given_as)
    assert message in str(error.value)


def test_a_mapping_in_a_file_and_text_on_the_command_line_say_the_same(tmp_path):
    given = {"images": tmp_path, "out": tmp_path / "out"}
    file = Layer("fmas.yaml", {**given, "balance": {"scratch": 3, "dent": 1}})
    assert resolve([file]).config.balance == "dent=1,scratch=3"
    assert resolve([file, Layer("command line", {"balance": "even"})]).config.balance == "even"


def test_even_has_no_weights():
    assert not read_proportions("even")
    assert RunConfig.model_fields["balance"].default is None
