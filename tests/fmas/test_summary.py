"""How a run ends."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest

from fmas.derive import DatasetCounts
from fmas.summary import RunSummary


def summary(**numbers):
    values = {"made": 0, "kept": 0, "failed": 0, "seconds": 2.0, "ignored_files": 1} | numbers
    return RunSummary(Path("out"), Path("out/dataset/tile"), DatasetCounts(pairs=3), **values)


@pytest.mark.parametrize(
    ("made", "kept", "failed", "code"),
    [(0, 0, 0, 0), (3, 0, 0, 0), (0, 3, 0, 0), (2, 0, 1, 3), (0, 2, 1, 3), (0, 0, 1, 1)],
)
def test_exit_code_tells_all_some_and_nothing_apart(made, kept, failed, code):
    assert summary(made=made, kept=kept, failed=failed).exit_code == code


@pytest.mark.parametrize(("made", "seconds", "rate"), [(3, 2.0, 1.5), (0, 2.0, 0.0), (3, 0.0, None)])
def test_rate_is_of_what_was_made_and_never_a_division_by_zero(made, seconds, rate):
    assert summary(made=made, kept=9, seconds=seconds).to_json()["per_second"] == rate


def test_json_holds_every_field_as_plain_values():
    content = summary(made=1, notes=("a", "b")).to_json()
    assert json.loads(json.dumps(content)) == content
    assert content.keys() - {"per_second"} == {field.name for field in fields(RunSummary)}
    assert (content["notes"], content["counts"]["pairs"]) == (["a", "b"], 3)
