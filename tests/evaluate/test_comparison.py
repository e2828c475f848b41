from __future__ import annotations

import math

import numpy as np
import pytest

from fmas_evaluate.bootstrap import image_weights
from fmas_evaluate.comparison import compare
from fmas_evaluate.errors import InvalidInput
from fmas_evaluate.evaluation import evaluate
from fmas_evaluate.results import METRICS
from fmas_evaluate.samples import take_apart


def methods(seed: int, gain: float, count: int = 16) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two methods whose errors come in part from the same images; the first sees defects better by ``gain``."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((count, 10, 10), dtype=bool)
    for mask in masks[: count // 2]:
        top, left = rng.integers(0, 6, 2)
        mask[top : top + 3, left : left + 4] = True
    shared = rng.normal(size=masks.shape) + rng.normal(size=(count, 1, 1))
    first, second = (shared + 0.7 * rng.normal(size=masks.shape) + masks * (1.0 + extra) for extra in (gain, 0.0))
    return first, second, masks


@pytest.mark.parametrize("test", ["bootstrap", "permutation"])
def test_difference_interval_and_replicates_belong_together(test: str) -> None:
    first, second, masks = methods(0, 0.5)
    result = compare(first, second, masks, replicates=199, test=test)
    ours, theirs = evaluate(first, masks, max_fpr=0.3), evaluate(second, masks, max_fpr=0.3)
    assert list(result) == list(METRICS) and len(result) == 5
    for name, row in result.items():
        assert (row.first, row.second) == pytest.approx((float(ours[name]), float(theirs[name])), abs=1e-12)
        assert row.difference == row.first - row.second
        assert row.lower <= row.difference <= row.upper
        assert 0 < row.p_value <= 1


def test_the_p_value_of_the_bootstrap_counts_replicates_on_the_other_side_of_zero() -> None:
    first, second, masks = methods(1, 0.15)
    result = compare(first, second, masks, replicates=99, method="exact", seed=4, metrics=["pixel_auroc"])
    differences = []
    for weight in image_weights(take_apart(first, masks), 99, seed=4):
        drawn = np.repeat(np.arange(16), weight.astype(int))
        ours, theirs = (evaluate(maps[drawn], masks[drawn])["pixel_auroc"] for maps in (first, second))
        differences.append(float(ours) - float(theirs))
    negative = sum(difference <= 1e-12 for difference in differences)
    assert 0 < negative < 99
    assert result["pixel_auroc"].p_value == pytest.approx(min(1.0, 2 * (1 + min(negative, 99 - negative)) / 100))
    assert result["pixel_auroc"].lower == pytest.approx(np.quantile(differences, 0.025), abs=1e-12)


def ranked(maps: np.ndarray) -> np.ndarray:
    """Mid-ranks by counting."""
    flat = maps.ravel()
    return np.array([np.sum(flat < value) + np.sum(flat <= value) for value in flat], float).reshape(maps.shape)


def test_the_p_value_of_the_permutation_counts_swaps_with_as_large_a_difference() -> None:
    first, second, masks = methods(2, 0.1, count=8)
    second = np.round(np.exp(second), 1)  # another unit, and ties
    metrics = ["pixel_auroc", "aupro", "image_auroc"]
    result = compare(first, second, masks, replicates=49, method="exact", test="permutation", seed=6, metrics=metrics)
    ours, theirs = ranked(first), ranked(second)
    scores = [ranked(maps.max(axis=(1, 2))) for maps in (first, second)]
    picked = np.random.default_rng([6, 1]).random((49, 8)) < 0.5
    as_large = dict.fromkeys(metrics, 0)
    for row in [np.ones(8, bool), *picked]:
        sides = [np.where(keep[:, None, None], ours, theirs) for keep in (row, ~row)]
        images = [np.where(keep, *scores) for keep in (row, ~row)]
        left, right = (
            evaluate(maps, masks, image_scores=image, max_fpr=0.3) for maps, image in zip(sides, images, strict=True)
        )
        for name in metrics:
            difference = float(left[name]) - float(right[name])
            if row.all() and as_large[name] == 0:
                assert difference == pytest.approx(result[name].difference, abs=1e-12)  # ranks change no metric
            as_large[name] += abs(difference) >= abs(result[name].difference) - 1e-9
    for name in metrics:
        assert result[name].p_value == pytest.approx(as_large[name] / 50), name


@pytest.mark.parametrize("test", ["bootstrap", "permutation"])
def test_a_method_is_no_better_than_itself(test: str) -> None:
    first, _, masks = methods(3, 0.0)
    result = compare(first, first, masks, replicates=50, test=test)
    for row in result.values():
        assert (row.difference, row.lower, row.upper, row.p_value) == (0.0, 0.0, 0.0, 1.0)


@pytest.mark.parametrize("test", ["bootstrap", "permutation"])
def test_a_clear_difference_has_a_small_p_value_and_swapping_the_methods_turns_the_sign(test: str) -> None:
    first, second, masks = methods(4, 2.0)
    result = compare(first, second, masks, replicates=199, test=test)["pixel_auroc"]
    turned = compare(second, first, masks, replicates=199, test=test)["pixel_auroc"]
    assert result.p_value <= 0.02 and result.lower > 0
    assert turned.p_value == result.p_value
    assert (turned.lower, turned.upper) == pytest.approx((-result.upper, -result.lower), abs=1e-12)


@pytest.mark.parametrize("test", ["bootstrap", "permutation"])
def test_equal_methods_are_told_apart_about_as_often_as_the_level_says(test: str) -> None:
    found = sum(
        compare(*methods(seed, 0.0), replicates=99, metrics=["pixel_auroc"], test=test)["pixel_auroc"].p_value <= 0.1
        for seed in range(100, 200)
    )
    assert 2 <= found <= 25  # 10 expected, standard deviation 3; percentile intervals of 8 + 8 images are a bit narrow


def test_the_unit_of_a_method_does_not_matter() -> None:
    first, second, masks = methods(5, 0.3)
    for test in ("bootstrap", "permutation"):
        plain = compare(first, second, masks, replicates=30, test=test)
        scaled = compare(first, np.exp(second) * 1e6, masks, replicates=30, test=test)
        for name in METRICS:
            assert plain[name].p_value == scaled[name].p_value


def test_masks_may_be_an_iterator_and_image_scores_the_callers() -> None:
    first, second, masks = methods(6, 0.5)
    labels = np.arange(16) < 8
    result = compare(
        iter(first),
        iter(second),
        iter(masks),
        replicates=10,
        first_image_scores=labels * 1.0,
        second_image_scores=1.0 - labels,
    )
    assert (result["image_auroc"].first, result["image_auroc"].second) == (1.0, 0.0)
    assert result.n_images == 16 and result.n_replicates == 10


def test_not_defined_is_nan_with_one_warning() -> None:
    first, second, _ = methods(7, 0.5)
    with pytest.warns(RuntimeWarning, match="not defined") as caught:
        result = compare(first, second, [None] * 16, replicates=5, test="permutation")
    assert len(caught) == 1 and caught[0].filename == __file__
    for row in result.values():
        assert math.isnan(row.difference) and math.isnan(row.p_value) and row.n_undefined == 5


def test_it_shows_itself() -> None:
    result = compare(*methods(8, 0.5), replicates=9, metrics=["aupro"])
    assert repr(result).startswith("Comparison(aupro: +0.") and repr(result).endswith("; bootstrap)")
    assert set(result.as_dict()["aupro"]) == {
        "first", "second", "difference", "lower", "upper", "level", "p_value", "n_undefined",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test": "t-test"}, "expected one of bootstrap, permutation, got 't-test'"),
        ({"metrics": ["x"]}, "expected metrics from"),
        ({"level": 0}, "expected level between 0 and 1"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        compare(*methods(9, 0.5), **options)


def test_methods_on_different_images_are_refused() -> None:
    first, second, masks = methods(10, 0.5)
    with pytest.raises(InvalidInput, match="expected one mask per map, got 15 maps and 16 masks"):
        compare(first, second[:15], masks)


def test_a_fault_of_the_second_method_is_called_so() -> None:
    maps = np.random.default_rng(0).random((3, 4, 4))
    masks = np.zeros((3, 4, 4), dtype=bool)
    masks[0, 1] = True
    with pytest.raises(InvalidInput, match=r"^second method: .*2 maps and 3 masks"):
        compare(maps, maps[:2], masks)
