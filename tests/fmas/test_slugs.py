from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmas.layout import DEFECT_FOLDER
from fmas.slugs import defect_slugs, slug


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Magnetic Tile", "magnetic_tile"),
        ("  crack -- hairline ", "crack_hairline"),
        ("Lötstelle", "lotstelle"),
        ("裂纹", "defect"),
        ("good", "defect_good"),
        ("GOOD!", "defect_good"),
        ("con", "defect_con"),
        ("lpt1", "defect_lpt1"),
        ("../../etc/passwd", "etc_passwd"),
    ],
)
def test_slug_of_known_text(text, expected):
    assert slug(text, fallback="defect") == expected


@given(st.text())
def test_slug_is_always_a_safe_folder_name(text):
    name = slug(text, fallback="defect")
    assert DEFECT_FOLDER.fullmatch(name)
    assert len(name) <= 70


@given(st.lists(st.sampled_from(["crack", "Crack", "crack 2", "crack_2", "good", "", "裂"]), max_size=12))
def test_defect_slugs_are_distinct(names):
    slugs = defect_slugs(names)
    assert len(slugs) == len(set(slugs)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9_]+", name) for name in slugs)


def test_defect_slugs_number_the_repeated():
    assert defect_slugs(["crack", "Crack", "crack 2", "crack"]) == ["crack", "crack_2", "crack_2_2", "crack_3"]


def test_a_cut_name_does_not_end_in_an_underscore_and_is_at_most_60_long():
    assert slug("a" * 59 + " b", fallback="defect") == "a" * 59
    assert len(slug("a" * 100, fallback="defect")) == 60
