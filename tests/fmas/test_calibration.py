"""The threshold: which score it is, what it promises, and when it says that it promises less than was asked."""

from __future__ import annotations

import json
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmas.calibration import Calibration
from fmas.errors import ComponentError, UsageError

SCORES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60)
RATES = st.sampled_from([0.001, 0.01, 0.05, 0.1, 0.2, 0.25, 0.3, 0.5, 0.9, 0.999])


@pytest.mark.parametrize(
    ("count", "rate", "rank", "reached"),
    [(19, 0.05, 19, True), (18, 0.05, 18, False), (39, 0.05, 38, True), (99, 0.01, 99, True), (9, 0.1, 9, True),
     (9, 0.5, 5, True), (2, 0.3, 2, False), (1, 0.5, 1, True), (5, 0.99, 1, True)],
)  # fmt: skip
def test_the_threshold_is_the_order_statistic_of_split_conformal_prediction(count, rate, rank, reached):
    calibration = Calibration.from_scores(range(count, 0, -1), false_alarms=rate)
    assert calibration.threshold == rank and calibration.is_reached is reached
    assert calibration.scores == tuple(map(float, range(1, count + 1)))


@given(SCORES, RATES)
def test_no_more_than_the_expected_share_of_exchangeable_scores_is_above(scores, rate):
    """Leave each of n + 1 scores out in turn: the share of them above the threshold of the others is the promise."""
    calibration = Calibration.from_scores(scores, false_alarms=rate)
    everything = [*scores, 0.5]
    above = sum(
        Calibration.from_scores(everything[:i] + everything[i + 1 :], false_alarms=rate).verdict(one) == "anomalous"
        for i, one in enumerate(everything)
    )
    assert above / len(everything) <= calibration.expected_rate + 1e-12
    if calibration.is_reached:
        assert calibration.expected_rate <= rate + 1e-12
        assert calibration.count >= calibration.fewest
    else:
        assert calibration.expected_rate > rate and calibration.threshold == max(scores)
        assert calibration.count < calibration.fewest


def test_the_promise_holds_for_fresh_draws():
    generator = np.random.default_rng(3)
    alarms = [
        Calibration.from_scores(generator.gamma(2.0, size=39), false_alarms=0.05).verdict(generator.gamma(2.0))
        for _ in range(4000)
    ]
    # 2 of 40 = 0.05 exactly; the standard error is 0.0034
    assert abs(alarms.count("anomalous") / 4000 - 0.05) < 0.011


@given(SCORES, RATES)
def test_json_and_back(scores, rate):
    calibration = Calibration.from_scores(scores, false_alarms=rate)
    assert Calibration.from_json(json.loads(json.dumps(calibration.to_json(), allow_nan=False))) == calibration


@given(SCORES, RATES, RATES)
def test_another_rate_of_the_same_scores(scores, one, other):
    calibration = Calibration.from_scores(scores, false_alarms=one)
    assert calibration.at(other) == Calibration.from_scores(scores, false_alarms=other)
    if one <= other:
        assert calibration.threshold >= calibration.at(other).threshold


@given(SCORES, st.floats(-1e6, 1e6))
def test_rank_and_quantiles_are_shares_of_the_scores(scores, score):
    calibration = Calibration.from_scores(scores)
    assert calibration.rank(score) == pytest.approx(np.mean(np.array(scores) < score))
    quantiles = calibration.quantiles()
    assert list(quantiles.values()) == sorted(quantiles.values()) and set(quantiles.values()) <= set(scores)
    assert quantiles["0"] == min(scores) and quantiles["1"] == max(scores)
    assert quantiles["0.5"] == np.quantile(scores, 0.5, method="inverted_cdf")


def test_verdicts():
    calibration = Calibration.from_scores(range(1, 20))
    assert calibration.verdict(19.0) == "good" and calibration.verdict(math.nextafter(19.0, 20.0)) == "anomalous"
    assert calibration.verdict(math.nan) == "anomalous"


def test_the_note_says_what_too_few_pictures_mean():
    assert Calibration.from_scores(range(19)).note() == ""
    assert Calibration.from_scores([1.0, 2.0]).note() == (
        "2 good pictures to calibrate with are too few for a false-alarm rate of 0.05, which takes 19: the largest "
        "score is the threshold, expect up to 0.33"
    )
    assert Calibration.from_scores([1.0]).note().startswith("1 good picture to ")


def test_rates_count_as_they_are_written():
    for rate in (0.05, 0.1, 0.01, 0.001, 0.2, 0.025):
        assert Calibration.from_scores([1], false_alarms=rate).fewest == int(1 / Fraction(str(rate))) - 1


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, 2.0, math.nan])
def test_a_rate_is_between_0_and_1(rate):
    with pytest.raises(UsageError, match="expected a false-alarm rate between 0 and 1"):
        Calibration.from_scores([1.0], false_alarms=rate)


@pytest.mark.parametrize(("scores", "got"), [([], "none"), ([1.0, math.nan], "nan"), ([math.inf], "inf")])
def test_scores_are_finite_and_at_least_one(scores, got):
    with pytest.raises(ComponentError, match=f"got {got}; the training has not converged"):
        Calibration.from_scores(scores)


GOOD = Calibration.from_scores([1.0, 2.0, 3.0]).to_json()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no object"),
        ({}, "without false_alarms and scores"),
        (GOOD | {"false_alarms": "0.05"}, "without false_alarms and scores"),
        (GOOD | {"scores": {}}, "without false_alarms and scores"),
        (GOOD | {"scores": ["1"]}, "no numbers"),
        (GOOD | {"scores": [True]}, "no numbers"),
        (GOOD | {"scores": []}, "got none"),
        (GOOD | {"false_alarms": 7.0}, "between 0 and 1"),
        (GOOD | {"threshold": 2.5}, "does not follow from the scores"),
    ],
)
def test_another_content_is_refused(content, message):
    with pytest.raises(ValueError, match=message):
        Calibration.from_json(content)
