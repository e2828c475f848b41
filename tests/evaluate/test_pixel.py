"""The single-metric functions; the values themselves are tested in ``test_measures.py``."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from fmas_evaluate import InvalidInput, aupro, average_precision, evaluate, f1_max, pixel_auroc
from fmas_evaluate.collection import count
from fmas_evaluate.measures import auroc

METRICS = [pixel_auroc, average_precision, f1_max, aupro]


def drawn(dtype: Any = np.float32) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    masks = rng.random((4, 20, 30)) < 0.1
    return (rng.integers(0, 200, masks.shape) + 30 * masks).astype(dtype), masks


def test_they_say_what_they_were_computed_from() -> None:
    maps, masks = drawn()
    n_regions = count(maps, masks).n_regions
    for metric in METRICS:
        found = metric(maps, masks)
        assert (found.n_images, found.n_pixels, found.n_regions, found.connectivity) == (4, 2400, n_regions, 8)
        assert found.lower == found.value == found.upper
        assert (found.threshold is not None) is (metric is f1_max)
        assert found.limit == (0.3 if metric is aupro else None)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.float16, np.float64, ">f4"])
def test_the_dtype_does_not_matter_where_it_holds_the_scores(dtype: Any) -> None:
    maps, masks = drawn(np.float32)
    for metric in METRICS:
        assert metric(maps.astype(dtype), masks) == metric(maps, masks)


def test_images_of_different_dtypes() -> None:
    maps, masks = drawn(np.float32)
    mixed = [maps[0].astype(np.uint8), maps[1].astype(np.float64), maps[2].astype(np.float16), maps[3]]
    for metric in METRICS:
        assert metric(mixed, masks) == metric(maps, masks)


def test_float64_scores_that_float32_would_tie() -> None:
    scores = np.array([[1.0, 1.0 + 1e-12]])
    mask = np.array([[False, True]])
    assert pixel_auroc([scores], [mask]) == 1.0
    assert pixel_auroc([scores[:, ::-1], scores.astype(np.float32)], [mask, None]) < 0.5


def test_eight_bit_ties_are_exact() -> None:
    maps, masks = drawn(np.uint8)
    good, bad = maps[~masks].astype(int), maps[masks].astype(int)
    wins = (bad[:, None] > good).sum() + 0.5 * (bad[:, None] == good).sum()
    assert pixel_auroc(maps, masks) == wins / (good.size * bad.size)


def test_iterators_may_fill_the_same_array_again() -> None:
    maps, masks = drawn()

    def refilled() -> Any:
        buffer = np.empty_like(maps[0])
        for scores in maps:
            buffer[...] = scores
            yield buffer

    for metric in METRICS:
        assert metric(refilled(), iter(masks)) == metric(maps, masks)


def test_scores_are_never_transformed() -> None:
    # Logits mostly below zero: a sigmoid "where needed", batch by batch, would reorder them.
    maps, masks = drawn()
    logits = (maps - 150.0) / 10
    parts = [average_precision(logits, masks), average_precision(list(logits), list(masks))]
    assert parts == [average_precision(maps, masks)] * 2
    assert f1_max(logits, masks).threshold in np.unique(logits)


def test_the_number_of_threads_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    maps, masks = rng.random((3, 700, 500), np.float32), rng.random((3, 700, 500)) < 0.01
    masks[2] = False
    assert evaluate(maps, masks, threads=1) == evaluate(maps, masks, threads=4)
    for metric in METRICS:
        assert metric(maps, masks, threads=1) == metric(maps, masks, threads=3)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("masks", "got"), [([None], "got 0 defect and 6 normal pixels"), ([np.ones((2, 3))], "got 6 defect and 0 normal")]
)
def test_without_defect_or_normal_pixel_nan_and_one_warning(metric: Any, masks: list[Any], got: str) -> None:
    with pytest.warns(RuntimeWarning, match=rf"{metric.__name__} not defined: expected .*, {got}") as caught:
        found = metric([np.arange(6.0).reshape(2, 3)], masks)
    assert math.isnan(found)
    assert len(caught) == 1
    assert caught[0].filename == __file__


@pytest.mark.parametrize("metric", METRICS)
def test_no_image_is_nan_too(metric: Any) -> None:
    with pytest.warns(RuntimeWarning, match="got 0 defect and 0 normal pixels"):
        assert math.isnan(metric([], []))


@pytest.mark.parametrize("metric", METRICS)
def test_anti_aliased_masks_need_a_threshold(metric: Any) -> None:
    maps, masks = drawn()
    soft = np.where(masks, 200, 30).astype(np.uint8)
    with pytest.raises(InvalidInput, match="needs mask_threshold"):
        metric(maps, soft)
    assert metric(maps, soft, mask_threshold=127) == metric(maps, masks)


def test_the_value_is_that_of_the_counts() -> None:
    maps, masks = drawn()
    assert pixel_auroc(maps, masks).value == auroc(count(maps, masks))
