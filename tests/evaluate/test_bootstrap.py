from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from fmas_evaluate.bootstrap import Intervals, bootstrap, image_weights
from fmas_evaluate.errors import InvalidInput, InvalidType
from fmas_evaluate.evaluation import evaluate
from fmas_evaluate.results import METRICS
from fmas_evaluate.samples import take_apart


def dataset(seed: int, count: int = 24, shift: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    masks = np.zeros((count, 12, 12), dtype=bool)
    for mask in masks[: count // 2]:
        top, left = rng.integers(0, 8, 2)
        mask[top : top + 4, left : left + 3] = True
    hardness = rng.normal(size=(count, 1, 1)) * 0.5  # images differ, which is what a bootstrap over images is about
    return rng.normal(size=masks.shape) + masks * shift + hardness, masks


@pytest.mark.parametrize("method", ["histogram", "exact"])
def test_the_value_is_that_of_evaluate_and_lies_in_its_interval(method: str) -> None:
    maps, masks = dataset(0)
    intervals = bootstrap(maps, masks, replicates=300, method=method)
    expected = evaluate(maps, masks, max_fpr=0.3)
    assert list(intervals) == list(METRICS)
    for name, interval in intervals.items():
        assert interval.value == pytest.approx(float(expected[name]), abs=1e-12)
        assert interval.lower < interval.value < interval.upper
        assert interval.replicates.shape == (300,)
        assert interval.standard_error == pytest.approx(interval.replicates.std(ddof=1))


def test_replicates_are_the_metrics_of_the_drawn_images() -> None:
    maps, masks = dataset(1, count=8)
    intervals = bootstrap(maps, masks, replicates=5, method="exact", seed=3)
    weights = image_weights(take_apart(maps, masks), 5, seed=3)
    for row, weight in enumerate(weights):
        drawn = np.repeat(np.arange(8), weight.astype(int))
        expected = evaluate(maps[drawn], masks[drawn], max_fpr=0.3)
        for name, interval in intervals.items():
            assert interval.replicates[row] == pytest.approx(float(expected[name]), abs=1e-12)


def test_the_interval_holds_the_middle_share() -> None:
    maps, masks = dataset(2)
    interval = bootstrap(maps, masks, replicates=1000, level=0.8, metrics=["aupro"])["aupro"]
    inside = (interval.replicates >= interval.lower) & (interval.replicates <= interval.upper)
    assert inside.mean() == pytest.approx(0.8, abs=0.002)
    assert np.mean(interval.replicates < interval.lower) == pytest.approx(0.1, abs=0.002)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    # Scores N(0,1) and N(1,1), one defect pixel and one normal pixel per image: AUROC is Phi(1/sqrt(2)).
    truth, covered = 0.7602499389065233, 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        maps = rng.normal(size=(60, 1, 2)) + np.array([1.0, 0.0])
        masks = np.broadcast_to(np.array([[True, False]]), maps.shape)
        interval = bootstrap(maps, masks, replicates=300, metrics=["pixel_auroc"], level=0.9)["pixel_auroc"]
        covered += interval.lower <= truth <= interval.upper
    assert 80 <= covered <= 98  # 90 expected, standard deviation 3


def test_the_same_seed_gives_the_same_and_another_one_does_not() -> None:
    maps, masks = dataset(4)
    first, again, other = (bootstrap(maps, masks, replicates=20, seed=seed) for seed in (1, 1, 2))
    for name in METRICS:
        assert np.array_equal(first[name].replicates, again[name].replicates)
        assert not np.array_equal(first[name].replicates, other[name].replicates)


def test_draws_keep_the_number_of_good_and_of_defective_images() -> None:
    samples = take_apart(*dataset(5, count=10))
    weights = image_weights(samples, 200, seed=0)
    assert (weights[:, :5].sum(axis=1) == 5).all() and (weights[:, 5:].sum(axis=1) == 5).all()
    assert weights.mean(axis=0) == pytest.approx(np.ones(10), abs=0.3)
    free = image_weights(samples, 200, seed=0, stratified=False)
    assert (free.sum(axis=1) == 10).all() and len(set(free[:, :5].sum(axis=1))) > 2


def test_labels_set_the_strata() -> None:
    maps, masks = dataset(6, count=6)
    with pytest.warns(RuntimeWarning, match="labelled good"):
        samples = take_apart(maps, masks, labels=[True, False, False, False, False, False])
    assert (image_weights(samples, 50, seed=0)[:, 0] == 1).all()


def test_a_replicate_that_is_not_defined_is_counted_and_left_out() -> None:
    maps, masks = dataset(7, count=4)
    masks[1] = masks[0]
    masks[:2] = True  # no normal pixel in the defective images
    with_gaps = bootstrap(maps, masks, replicates=100, stratified=False, metrics=["pixel_auroc"])["pixel_auroc"]
    assert 0 < with_gaps.n_undefined < 100
    assert with_gaps.n_undefined == np.count_nonzero(np.isnan(with_gaps.replicates))
    assert 0 <= with_gaps.lower <= with_gaps.upper <= 1


def test_nothing_defined_is_nan_with_one_warning() -> None:
    maps, _ = dataset(8, count=4)
    with pytest.warns(RuntimeWarning, match="0 defective and 4 good") as caught:
        intervals = bootstrap(maps, [None] * 4, replicates=7)
    assert len(caught) == 1 and caught[0].filename == __file__
    for interval in intervals.values():
        assert math.isnan(interval.value) and math.isnan(interval.lower) and interval.n_undefined == 7


def test_one_replicate_has_no_standard_error() -> None:
    interval = bootstrap(*dataset(9), replicates=1, metrics=["f1_max"])["f1_max"]
    assert math.isnan(interval.standard_error) and interval.lower == interval.upper


def test_iterators_and_metrics_in_the_order_asked_for() -> None:
    maps, masks = dataset(10)
    intervals = bootstrap(iter(maps), iter(masks), replicates=10, metrics=["aupro", "image_auroc"], max_fpr=0.05)
    assert list(intervals) == ["aupro", "image_auroc"]
    assert intervals["aupro"].value == pytest.approx(float(evaluate(maps, masks, max_fpr=0.05)["aupro"]), abs=1e-12)


def test_results_are_read_only_and_show_themselves() -> None:
    intervals = bootstrap(*dataset(11), replicates=10, metrics=["aupro"], seed=5)
    row = intervals["aupro"]
    assert repr(intervals) == f"Intervals(aupro={row.value:.4f} [{row.lower:.4f}, {row.upper:.4f}])"
    assert (intervals.n_images, intervals.seed, intervals.method, len(intervals)) == (24, 5, "histogram", 1)
    assert isinstance(intervals, Intervals) and intervals.as_dict()["aupro"]["n_replicates"] == 10
    with pytest.raises(ValueError, match="read-only"):
        row.replicates[0] = 1.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metrics": ["auroc"]}, r"expected metrics from image_auroc, .*, got \['auroc'\]; name"),
        ({"metrics": []}, r"expected metrics from .*, got \[\]; name at least one"),
        ({"method": "fast"}, r"expected one of histogram, exact, got 'fast'"),
        ({"level": 1.0}, r"expected level between 0 and 1, got 1.0; level is the share"),
        ({"level": 95}, r"expected level between 0 and 1, got 95"),
        ({"replicates": 0}, r"expected replicates of at least 1, got 0; replicates is how often"),
        ({"max_fpr": 0.0}, r"expected max_fpr in \(0, 1\], got 0.0"),
        ({"labels": [True]}, r"expected one value in labels per map, got 1 for 24"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        bootstrap(*dataset(12), **options)


def test_a_limit_that_is_no_number_is_refused() -> None:
    with pytest.raises(InvalidType, match="expected max_fpr as a number"):
        bootstrap(*dataset(12), max_fpr="0.3")


def test_image_auroc_alone_needs_no_pixel_counts() -> None:
    maps, masks = dataset(13)
    alone = bootstrap(maps, masks, replicates=20, metrics=["image_auroc"])
    assert list(alone) == ["image_auroc"]
    together = bootstrap(maps, masks, replicates=20)["image_auroc"]
    assert np.array_equal(alone["image_auroc"].replicates, together.replicates)


@pytest.mark.parametrize(
    ("wish", "kind", "what"),
    [
        ({"seed": -1}, InvalidInput, "seed of at least 0, got -1"),
        ({"seed": 0.5}, InvalidType, "seed as an integer, got 0.5"),
        ({"replicates": 2.5}, InvalidType, "replicates as an integer, got 2.5"),
        ({"level": "0.9"}, InvalidType, "level as a number, got '0.9'"),
    ],
)
def test_numbers_of_the_wrong_kind_are_refused(wish: dict[str, Any], kind: type[Exception], what: str) -> None:
    with pytest.raises(kind, match=what):
        bootstrap([np.zeros((2, 2))], [None], **wish)
