from __future__ import annotations

import copy
import json
import math
import pickle

import pytest

import fmas_evaluate
from fmas_evaluate import Evaluation, InvalidInput, Result
from fmas_evaluate.results import METRICS, aupro_name

FULL = Result(
    0.5, lower=0.25, upper=0.75, n_images=3, n_regions=2, n_pixels=100, connectivity=8, limit=0.3, threshold=7
)


def evaluation(**further: Result) -> Evaluation:
    return Evaluation({**further, **{name: Result(i / 10, n_images=3) for i, name in enumerate(reversed(METRICS))}})


def test_a_result_is_a_float() -> None:
    assert FULL == 0.5
    assert FULL + 1 == 1.5
    assert f"{FULL:.2f} {FULL}" == "0.50 0.5"
    assert json.dumps([FULL]) == "[0.5]"
    assert hash(FULL) == hash(0.5)
    assert type(FULL.value) is float


def test_a_result_knows_how_it_came_about() -> None:
    assert FULL.as_dict() == {
        "value": 0.5,
        "lower": 0.25,
        "upper": 0.75,
        "n_images": 3,
        "n_regions": 2,
        "n_pixels": 100,
        "connectivity": 8,
        "version": fmas_evaluate.__version__,
        "limit": 0.3,
        "threshold": 7.0,
    }
    for name, value in FULL.as_dict().items():
        assert getattr(FULL, name) == value


def test_bounds_default_to_the_value() -> None:
    assert (Result(0.4).lower, Result(0.4).upper, Result(0.4).exact, FULL.exact) == (0.4, 0.4, True, False)
    assert "limit" not in Result(0.4).as_dict()
    assert "threshold" not in Result(0.4).as_dict()
    assert Result(math.nan).exact


@pytest.mark.parametrize("name", ["value", "lower", "n_images", "limit", "version"])
def test_a_result_cannot_be_changed(name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(FULL, name, 1)


def test_a_result_survives_copying_and_pickling() -> None:
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(FULL, protocol)).as_dict() == FULL.as_dict()  # noqa: S301
    assert copy.deepcopy(FULL).as_dict() == copy.copy(FULL).as_dict() == FULL.as_dict()


def test_the_repr_shows_what_matters() -> None:
    assert repr(FULL) == (
        "Result(0.5, lower=0.25, upper=0.75, limit=0.3, threshold=7.0, n_images=3, n_regions=2, n_pixels=100)"
    )
    assert repr(Result(0.4, n_images=1)) == "Result(0.4, n_images=1, n_regions=0, n_pixels=0)"


def test_an_evaluation_is_a_mapping_in_a_fixed_order() -> None:
    found = evaluation(**{"aupro@0.05": Result(0.9, limit=0.05)})
    assert list(found) == [*METRICS, "aupro@0.05"]
    assert len(found) == 6
    assert found["aupro@0.05"].limit == 0.05
    assert [getattr(found, name) for name in METRICS] == [found[name] for name in METRICS]
    assert pickle.loads(pickle.dumps(found)) == found  # noqa: S301
    assert repr(evaluation()).startswith("Evaluation(image_auroc=0.4, pixel_auroc=0.3,")


def test_an_evaluation_compares_as_a_mapping_and_has_no_hash() -> None:
    assert evaluation() == evaluation() == dict(evaluation())
    assert evaluation() != evaluation(**{"aupro@0.05": Result(0.9, limit=0.05)})
    with pytest.raises(TypeError, match="unhashable type: 'Evaluation'"):
        hash(evaluation())


def test_an_evaluation_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        evaluation().results = {}  # type: ignore[misc]
    with pytest.raises(TypeError):
        evaluation()["aupro"] = Result(1)  # type: ignore[index]


def test_the_dict_is_flat_and_holds_plain_numbers() -> None:
    content = evaluation().as_dict()
    assert list(content)[:8] == [*METRICS, "n_images", "n_regions", "n_pixels"]
    assert content["aupro"] == 0.0
    assert "certified" not in content
    assert json.loads(json.dumps(content)) == content


def test_bounds_are_told_where_they_are_not_the_value() -> None:
    content = evaluation(**{"aupro@0.05": Result(0.5, lower=0.4, upper=0.6)}).as_dict()
    assert content["certified"] == {"aupro@0.05": [0.4, 0.6]}


def test_no_metric_may_be_missing() -> None:
    with pytest.raises(InvalidInput, match=r"expected results for .*, got none for image_auroc, .*; pass nan"):
        Evaluation({"aupro": Result(1)})


def test_names_of_limits() -> None:
    assert [aupro_name(limit, 0.3) for limit in (0.3, 0.05, 1.0)] == ["aupro", "aupro@0.05", "aupro@1.0"]
