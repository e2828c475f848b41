from __future__ import annotations

import json
import math

import numpy as np
import pytest

from fmas_evaluate import evaluate
from fmas_evaluate.classes import class_table
from fmas_evaluate.errors import InvalidInput
from fmas_evaluate.results import METRICS


def test_a_mean_is_over_the_classes_that_have_a_value_and_names_the_others() -> None:
    table = class_table(
        {"cable": {"aupro": 0.9, "f1_max": 0.5}, "pill": {"aupro": math.nan, "f1_max": 0.25}, "new": {"f1_max": 0.75}}
    )
    assert (table.means["aupro"].value, table.means["aupro"].n_classes) == (0.9, 1)
    assert table.means["aupro"].left_out == ("pill", "new")
    assert (float(table.means["f1_max"]), table.means["f1_max"].left_out) == (0.5, ())
    assert str(table.means["aupro"]) == "0.9000 (without pill, new)" and str(table.means["f1_max"]) == "0.5000"
    assert math.isnan(table.rows["new"]["aupro"]) and list(table.rows) == ["cable", "pill", "new"]
    assert table.metrics == ("aupro", "f1_max")


def test_a_measure_that_no_class_has_is_not_a_number_rather_than_zero() -> None:
    mean = class_table({"a": {"aupro": math.nan}}).means["aupro"]
    assert math.isnan(mean.value) and mean.n_classes == 0 and mean.left_out == ("a",)


def test_evaluations_go_in_as_they_are() -> None:
    rng = np.random.default_rng(0)
    masks = rng.random((4, 6, 6)) < np.array([0.3, 0.3, 0, 0])[:, None, None]
    evaluations = {name: evaluate(rng.random(masks.shape) + masks, masks) for name in ("first", "second")}
    table = class_table(evaluations)
    for metric in METRICS:
        assert table.means[metric].value == pytest.approx(np.mean([float(e[metric]) for e in evaluations.values()]))


def test_every_class_counts_once_and_order_does_not_change_a_bit() -> None:
    values = {str(place): {"x": value} for place, value in enumerate([0.1, 0.7, 1e-17, 0.3, 0.25])}
    turned = dict(reversed(values.items()))
    assert class_table(values).means["x"].value == class_table(turned).means["x"].value


def test_as_dict_is_json_and_lists_only_what_is_left_out() -> None:
    content = class_table({"a": {"x": 1.0, "y": math.nan}, "b": {"x": 0.5, "y": 0.5}}).as_dict()
    assert json.loads(json.dumps(content))["left_out"] == {"y": ["a"]}
    assert content["mean"] == {"x": 0.75, "y": 0.5} and content["n_classes"] == {"x": 2, "y": 1}


def test_tables_are_read_only() -> None:
    table = class_table({"a": {"x": 1.0}})
    with pytest.raises(TypeError, match="does not support item assignment"):
        table.rows["a"]["x"] = 2.0  # type: ignore[index]


def test_no_class_is_refused() -> None:
    with pytest.raises(InvalidInput, match="expected at least one class, got none"):
        class_table({})
