from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from fmas_evaluate import (
    InvalidInput,
    InvalidType,
    aupro,
    average_precision,
    evaluate,
    f1_max,
    image_auroc,
    pixel_auroc,
)


def drawn() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    masks = rng.random((6, 16, 12)) < 0.1
    masks[:3] = False
    return (rng.normal(size=masks.shape) + masks).astype(np.float32), masks


def test_every_value_is_that_of_its_own_function() -> None:
    maps, masks = drawn()
    found = evaluate(maps, masks, max_fpr=(0.3, 0.05, 1.0))
    best = f1_max(maps, masks)
    assert dict(found) == {
        "image_auroc": image_auroc(maps.max(axis=(1, 2)), masks.any(axis=(1, 2))),
        "pixel_auroc": pixel_auroc(maps, masks),
        "average_precision": average_precision(maps, masks),
        "f1_max": best,
        "aupro": aupro(maps, masks),
        "aupro@0.05": aupro(maps, masks, max_fpr=0.05),
        "aupro@1.0": aupro(maps, masks, max_fpr=1.0),
    }
    assert found.f1_max.threshold == best.threshold
    assert [found[name].limit for name in ("aupro", "aupro@0.05", "pixel_auroc")] == [0.3, 0.05, None]
    assert {value.n_images for value in found.values()} == {6}


def test_the_first_limit_is_the_one_called_aupro() -> None:
    maps, masks = drawn()
    found = evaluate(maps, masks, max_fpr=[0.05, 0.3])
    assert list(found)[-2:] == ["aupro", "aupro@0.3"]
    assert found.aupro == aupro(maps, masks, max_fpr=0.05)
    assert list(evaluate(maps, masks, max_fpr=0.1))[-1] == "aupro"


def test_labels_and_image_scores_of_ones_own() -> None:
    maps, masks = drawn()
    defective = [mask is not None and bool(np.any(mask)) for mask in masks]
    labels, scores = [int(one or index == 0) for index, one in enumerate(defective)], [3, 1, 2, 0, -1, 5]
    found = evaluate(maps, masks, labels=labels, image_scores=scores)
    assert found.image_auroc == image_auroc(scores, labels)
    assert found.pixel_auroc == pixel_auroc(maps, masks)
    assert evaluate(maps, masks, labels=labels).image_auroc == image_auroc(maps.max(axis=(1, 2)), labels)
    assert evaluate(iter(maps), iter(masks), labels=np.array(labels, bool), image_scores=np.array(scores)) == found


def test_a_defect_in_an_image_labelled_good_is_told_once() -> None:
    maps, masks = np.zeros((8, 2, 2)), np.ones((8, 2, 2), bool)
    masks[:, 0] = False
    with pytest.warns(RuntimeWarning, match="image 3, image 4 and 2 more, labelled good") as told:
        found = evaluate(maps, masks, labels=[0] * 7 + [1])
    assert [one.filename for one in told] == [__file__]
    assert found.image_auroc == 0.5  # the labels hold


def test_scalars_belong_to_one_image() -> None:
    with pytest.warns(RuntimeWarning, match="got 1 defective and 0 good"):
        evaluate([[0.0, 1.0]], [[0, 1]], labels=True, image_scores=3.0)


@pytest.mark.parametrize("what", ["labels", "image_scores"])
@pytest.mark.parametrize("number", [5, 7])
@pytest.mark.parametrize("lazy", [False, True])
def test_there_is_one_label_and_one_score_per_map(what: str, number: int, lazy: bool) -> None:
    maps, masks = drawn()
    given: dict[str, Any] = {what: np.zeros(number, int)}
    with pytest.raises(InvalidInput, match=rf"expected one value in {what} per map, got {number} for .* maps; pass"):
        evaluate(iter(maps) if lazy else maps, masks, **given)


@pytest.mark.parametrize("what", ["labels", "image_scores"])
def test_labels_and_scores_are_flat(what: str) -> None:
    maps, masks = drawn()
    given: dict[str, Any] = {what: np.zeros((6, 1), int)}
    with pytest.raises(InvalidInput, match=rf"expected {what} of shape \(N,\), got \(6, 1\); pass one value"):
        evaluate(maps, masks, **given)


def test_values_of_labels_and_scores_are_checked() -> None:
    maps, masks = drawn()
    with pytest.raises(InvalidInput, match=r"expected labels 0 \(good\) and 1"):
        evaluate(maps, masks, labels=[0, 1, 2, 0, 0, 0])
    with pytest.raises(InvalidInput, match=r"no NaN among the image scores, got NaN at index 1; find out why"):
        evaluate(maps, masks, image_scores=[0, math.nan, 2, 0, 0, 0])
    with pytest.raises(InvalidType, match=r"expected scores of an integer or float dtype .* the image scores"):
        evaluate(maps, masks, image_scores=["a"] * 6)


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        (
            np.zeros((2, 3, 3)),
            r"image_auroc not defined: expected defective and good images, got 0 defective and 2 good; pixel_auroc, "
            r"average_precision, f1_max, aupro, aupro@0.05 not defined: expected defect and normal pixels, got 0 "
            r"defect and 18 normal pixels; returning NaN",
        ),
        (np.ones((2, 3, 3)), "got 2 defective and 0 good; pixel_auroc, .* got 18 defect and 0 normal pixels"),
    ],
)
def test_one_warning_names_everything_that_is_missing(masks: np.ndarray, message: str) -> None:
    with pytest.warns(RuntimeWarning, match=message) as caught:
        found = evaluate(np.random.default_rng(0).random((2, 3, 3)), masks)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert all(math.isnan(value) for value in found.values())
    assert (found.aupro.n_images, found.aupro.n_pixels) == (2, 18)


def test_pixels_are_measured_where_images_cannot_be() -> None:
    maps, masks = drawn()
    with pytest.warns(RuntimeWarning, match="image_auroc not defined") as caught:
        found = evaluate(maps[3:], masks[3:])
    assert "pixel_auroc" not in str(caught[0].message)
    assert math.isnan(found.image_auroc)
    assert found.aupro == aupro(maps[3:], masks[3:])


def test_the_dict_has_the_documented_keys() -> None:
    maps, masks = drawn()
    content = evaluate(maps, masks).as_dict()
    assert list(content)[:6] == ["image_auroc", "pixel_auroc", "average_precision", "f1_max", "aupro", "aupro@0.05"]
    assert (content["n_images"], content["n_pixels"], content["connectivity"]) == (6, maps.size, 8)
    assert content["aupro_limit"] == 0.3
    json.dumps(content)
