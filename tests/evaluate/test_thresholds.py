from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmas_evaluate import f1_max
from fmas_evaluate.errors import InvalidInput
from fmas_evaluate.thresholds import Confusion, threshold_report


def dataset(seed: int, levels: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    masks = rng.random((5, 4, 5)) < np.array([0.5, 0.2, 0.3, 0.0, 0.0])[:, None, None]
    masks[0, 0, 0] = True
    return rng.integers(0, levels, masks.shape) + 1.0 * masks * rng.integers(0, levels), masks


def counted(flagged: np.ndarray, truth: np.ndarray) -> Confusion:
    return Confusion(
        int((flagged & truth).sum()),
        int((flagged & ~truth).sum()),
        int((~flagged & truth).sum()),
        int((~flagged & ~truth).sum()),
    )


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.floats(-1, 13))
def test_a_given_threshold_flags_what_is_at_or_above_it(seed: int, threshold: float) -> None:
    maps, masks = dataset(seed)
    report = threshold_report(maps, masks, threshold=threshold)
    assert report.pixels == counted(maps >= threshold, masks)
    assert report.images == counted((maps >= threshold).any(axis=(1, 2)), masks.any(axis=(1, 2)))
    assert report.threshold == report.image_threshold == threshold


@settings(max_examples=40)
@given(st.integers(0, 10_000))
def test_f1_max_is_the_largest_f1_and_the_default(seed: int) -> None:
    maps, masks = dataset(seed)
    report = threshold_report(maps, masks)
    best = f1_max(maps, masks)
    assert report == threshold_report(maps, masks, at="f1_max")
    assert report.threshold == best.threshold
    assert report.f1 == pytest.approx(float(best), abs=1e-15)
    assert report.f1 == pytest.approx(max(counted(maps >= level, masks).f1 for level in np.unique(maps)))


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.01, 0.05, 0.3, 0.999, 1.0]))
def test_a_rate_gets_the_lowest_score_that_keeps_to_it(seed: int, fpr: float) -> None:
    maps, masks = dataset(seed)
    report = threshold_report(maps, masks, fpr=fpr)
    fitting = [level for level in np.unique(maps) if np.mean(maps[~masks] >= level) <= fpr]
    assert report.threshold == min(fitting, default=math.inf)
    assert report.fpr <= fpr


def test_a_rate_that_no_score_keeps_to_flags_nothing() -> None:
    report = threshold_report(np.zeros((1, 2, 2)), np.eye(2)[None], fpr=0.4)
    assert report.threshold == math.inf
    assert (report.recall, report.fpr, report.f1) == (0.0, 0.0, 0.0) and math.isnan(report.precision)


def test_all_numbers_by_hand() -> None:
    maps = np.array([[[0.9, 0.8], [0.7, 0.1]], [[0.75, 0.2], [0.1, 0.0]]])
    masks = np.array([[[1, 1], [0, 0]], [[0, 0], [0, 0]]])
    report = threshold_report(maps, masks, threshold=0.75)
    assert (report.precision, report.recall, report.fpr, report.f1) == (2 / 3, 1.0, 1 / 6, 0.8)
    assert report.images == Confusion(1, 1, 0, 0)
    content = report.as_dict()
    assert content["threshold"] == 0.75 and content["false_positives"] == 1
    assert content["images"]["false_positives"] == 1 and content["images"]["precision"] == 0.5


def test_image_scores_of_the_caller_get_a_threshold_of_their_own() -> None:
    maps, masks = dataset(1)
    scores = np.array([100.0, 300.0, 200.0, 150.0, 50.0])
    best = threshold_report(maps, masks, image_scores=scores)
    assert best.image_threshold == 100.0 and best.images == Confusion(3, 1, 0, 1)
    assert best.threshold == f1_max(maps, masks).threshold
    strict = threshold_report(maps, masks, image_scores=scores, fpr=0.0)
    assert strict.image_threshold == 200.0 and strict.images == Confusion(2, 0, 1, 2)


def test_labels_of_the_caller_count_images() -> None:
    maps, masks = dataset(2)
    with pytest.warns(RuntimeWarning, match="labelled good"):
        report = threshold_report(maps, masks, threshold=-1.0, labels=[True, False, False, False, False])
    assert report.images == Confusion(1, 4, 0, 0)


def test_nothing_normal_and_nothing_defective() -> None:
    everything = threshold_report(np.ones((1, 2, 2)), np.ones((1, 2, 2)), threshold=1.0)
    assert math.isnan(everything.fpr) and everything.recall == 1.0
    nothing = threshold_report(np.ones((1, 2, 2)), [None], threshold=2.0)
    assert math.isnan(nothing.recall) and math.isnan(nothing.f1) and nothing.fpr == 0.0
    assert threshold_report(np.ones((1, 2, 2)), np.ones((1, 2, 2)), fpr=0.1).threshold == 1.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"at": "f1_max", "fpr": 0.1}, "expected one of at, fpr and threshold"),
        ({"at": "youden"}, "expected at='f1_max', got 'youden'"),
        ({"fpr": 1.5}, r"expected fpr in \[0, 1\], got 1.5"),
        ({"threshold": math.nan}, "expected a number as threshold, got NaN"),
        ({"threshold": 1.0, "image_scores": [1.0] * 5}, "expected no image_scores beside threshold"),
        ({"image_scores": [1.0] * 5, "labels": [True] * 5}, "expected defective and normal images to find"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        threshold_report(*dataset(3), **options)


def test_f1_max_needs_both_kinds_of_pixels() -> None:
    with pytest.raises(InvalidInput, match="expected defective and normal pixels to find the largest F1"):
        threshold_report(np.zeros((1, 2, 2)), [None])


def test_normal_pixels_at_infinity_are_more_than_asked_for() -> None:
    maps = np.array([[[np.inf, 1.0, 2.0, 3.0]]])
    with pytest.warns(RuntimeWarning, match=r"at most 0 of the normal pixels flagged, got 0\.333333: .* infinity"):
        report = threshold_report(maps, np.array([[[0, 0, 0, 1]]]), fpr=0.0)
    assert report.threshold == np.inf
