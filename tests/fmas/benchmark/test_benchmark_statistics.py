"""Means, intervals and p-values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmas.benchmark.ruler import Sampled
from fmas.benchmark.statistics import differences, figures, mean_of


def sampled(value: float, replicates: list[float]) -> Sampled:
    return Sampled({"aupro": value}, {"aupro": np.array(replicates, dtype=np.float64)})


shares = st.floats(0, 1)
draws = st.lists(shares, min_size=12, max_size=12)


@given(st.lists(st.tuples(shares, draws), min_size=1, max_size=4))
def test_a_figure_is_the_mean_of_the_seeds(seeds: list[tuple[float, list[float]]]) -> None:
    figure = figures([sampled(*seed) for seed in seeds])["aupro"]
    means = np.mean([replicates for _, replicates in seeds], axis=0)

    assert figure.mean == pytest.approx(np.mean([value for value, _ in seeds]))
    assert figure.per_seed == tuple(value for value, _ in seeds)
    assert means.min() - 1e-12 <= figure.lower <= figure.upper <= means.max() + 1e-12
    if len(seeds) == 1:
        assert figure.spread is None
    else:
        assert figure.spread == pytest.approx(np.std(figure.per_seed, ddof=1))


@given(draws, draws, shares, shares)
def test_swapping_the_sides_turns_the_difference_around(
    ours: list[float], theirs: list[float], mine: float, yours: float
) -> None:
    forth = differences(sampled(mine, ours), sampled(yours, theirs))["aupro"]
    back = differences(sampled(yours, theirs), sampled(mine, ours))["aupro"]

    assert forth.difference == pytest.approx(-back.difference)
    assert (forth.lower, forth.upper) == (pytest.approx(-back.upper), pytest.approx(-back.lower))
    assert forth.p_value == back.p_value
    assert 0 < forth.p_value <= 1


def test_what_is_better_in_every_draw_has_the_least_p_value() -> None:
    rng = np.random.default_rng(0)
    baseline = rng.random(999)
    found = differences(sampled(0.9, list(baseline + 0.1)), sampled(0.8, list(baseline)))["aupro"]
    assert found.p_value == pytest.approx(2 / 1000)
    assert (found.lower, found.upper) == (pytest.approx(0.1), pytest.approx(0.1))


def test_what_is_the_same_has_a_p_value_of_one() -> None:
    same = sampled(0.9, [0.8, 0.9, 1.0])
    assert differences(same, same)["aupro"].p_value == 1.0


def test_draws_without_a_value_are_left_out() -> None:
    found = figures([sampled(0.5, [0.4, math.nan, 0.6])])["aupro"]
    assert 0.4 <= found.lower <= found.upper <= 0.6
    nothing = differences(sampled(math.nan, [math.nan]), sampled(0.5, [0.5]))["aupro"]
    assert all(map(math.isnan, (nothing.difference, nothing.lower, nothing.upper, nothing.p_value)))


def test_categories_count_alike() -> None:
    mean = mean_of([sampled(0.2, [0.1, 0.3]), sampled(0.8, [0.7, 0.9])])
    assert mean.values["aupro"] == pytest.approx(0.5)
    assert list(mean.replicates["aupro"]) == pytest.approx([0.4, 0.6])
