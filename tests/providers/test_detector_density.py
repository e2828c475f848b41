"""The Gaussian over embeddings against slow formulas written straight from the definitions, and scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmas.errors import ComponentError
from fmas_providers.detectors.cutpaste.density import Gaussian, Moments


def correlated(count, size, seed=0, offset=0.0):
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(size, size)) * rng.uniform(0.1, 3, size)
    return rng.normal(size=(count, size)) @ mixing + offset


def fitted(vectors, parts=1):
    moments = Moments(vectors.shape[1])
    for part in np.array_split(vectors, parts):
        moments.add(part)
    assert moments.count == len(vectors)
    return moments.gaussian()


def ledoit_wolf(vectors):
    """Return covariance and shrinkage as the paper defines them, one outer product at a time."""
    centred = vectors - vectors.mean(axis=0)
    count, size = vectors.shape
    covariance = sum(np.outer(row, row) for row in centred) / count
    middle = np.trace(covariance) / size * np.eye(size)
    far = ((covariance - middle) ** 2).sum() / size
    uncertain = sum(((np.outer(row, row) - covariance) ** 2).sum() / size for row in centred) / count**2
    shrinkage = min(uncertain, far) / far
    return (1 - shrinkage) * covariance + shrinkage * middle, shrinkage


@pytest.mark.parametrize(("count", "size", "offset"), [(12, 30, 0.0), (200, 7, 0.0), (40, 20, 1e3), (3, 5, -50.0)])
def test_the_papers_shrinkage_and_distances(count, size, offset):
    vectors = correlated(count, size, offset=offset)
    covariance, shrinkage = ledoit_wolf(vectors)
    density = fitted(vectors, parts=3)
    assert density.shrinkage == pytest.approx(shrinkage, rel=1e-6)
    np.testing.assert_allclose(density.factor @ density.factor.T, covariance, rtol=1e-6, atol=1e-8 * covariance.max())
    others = correlated(9, size, seed=1, offset=offset)
    away = others - vectors.mean(axis=0)
    expected = np.sqrt(np.einsum("nd,de,ne->n", away, np.linalg.inv(covariance), away))
    np.testing.assert_allclose(density.distances(others), expected, rtol=1e-6)


def test_scikit_learns_ledoit_wolf():
    covariance = pytest.importorskip("sklearn.covariance", reason="scikit-learn is not installed")
    vectors = correlated(25, 60)
    theirs = covariance.LedoitWolf().fit(vectors)
    ours = fitted(vectors)
    assert ours.shrinkage == pytest.approx(theirs.shrinkage_, rel=1e-9)
    np.testing.assert_allclose(ours.distances(vectors) ** 2, theirs.mahalanobis(vectors), rtol=1e-8)


@given(parts=st.integers(1, 20), seed=st.integers(0, 1000))
def test_however_the_vectors_arrive(parts, seed):
    vectors = correlated(20, 6, seed=seed, offset=5.0)
    whole, split = fitted(vectors), fitted(vectors, parts)
    np.testing.assert_allclose(split.factor, whole.factor, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(split.mean, whole.mean)


@given(scale=st.floats(1e-3, 1e3), offset=st.floats(-100, 100))
def test_distances_do_not_depend_on_the_unit(scale, offset):
    vectors, others = correlated(30, 5), correlated(8, 5, seed=2)
    np.testing.assert_allclose(
        fitted(vectors * scale + offset).distances(others * scale + offset),
        fitted(vectors).distances(others),
        rtol=1e-5,
    )


def test_float32_in_float64_inside():
    vectors = correlated(30, 5, offset=100.0).astype(np.float32)
    density = fitted(vectors)
    assert density.factor.dtype == density.mean.dtype == np.float64
    np.testing.assert_allclose(density.distances(vectors), fitted(vectors.astype(np.float64)).distances(vectors))


def test_rises_with_the_distance_and_is_about_the_root_of_the_dimensions():
    vectors = np.random.default_rng(0).normal(3.0, 2.0, (4000, 12))
    density = fitted(vectors)
    assert density.distances(vectors).mean() == pytest.approx(np.sqrt(12), rel=0.05)
    line = density.mean + np.linspace(0, 5, 6)[:, None] * np.ones(12)
    assert (np.diff(density.distances(line)) > 0).all()
    assert density.distances(line)[0] == 0


@pytest.mark.parametrize("vectors", [np.ones((1, 4)), np.full((6, 4), 0.3), np.zeros((3, 4))])
def test_photographs_that_are_all_the_same(vectors):
    density = fitted(vectors)
    distances = density.distances(np.vstack([vectors[:1], vectors[:1] + 1]))
    assert np.isfinite(distances).all()
    assert distances[0] < distances[1]


def test_a_feature_that_never_moved_does_not_break_it():
    vectors = correlated(5000, 3)
    vectors = np.hstack([vectors, np.zeros((5000, 1))])
    density = fitted(vectors)
    assert np.isfinite(density.distances(vectors + 1)).all()


def test_more_than_fit_into_one_go():
    vectors = correlated(5000, 3)
    density = fitted(vectors)
    np.testing.assert_allclose(density.distances(vectors)[-3:], density.distances(vectors[-3:]))
    assert density.distances(vectors[:0]).shape == (0,)


def test_saved_and_read():
    density = fitted(correlated(9, 4))
    again = Gaussian.from_arrays(density.arrays())
    others = correlated(3, 4, seed=5)
    np.testing.assert_array_equal(again.distances(others), density.distances(others))
    assert again.shrinkage == density.shrinkage


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mean": None}, "none of mean"),
        ({"factor": np.eye(3)}, r"a factor \(3, 3\)"),
        ({"mean": np.full(4, np.nan)}, "not finite"),
        ({"mean": np.zeros(4, np.float32)}, "not float64"),
        ({"factor": -np.eye(4)}, "not positive"),
    ],
)
def test_a_damaged_density(change, words):
    arrays = fitted(correlated(9, 4)).arrays() | change
    with pytest.raises(ComponentError, match=words):
        Gaussian.from_arrays({name: array for name, array in arrays.items() if array is not None})


def test_wrong_vectors():
    moments = Moments(3)
    with pytest.raises(ComponentError, match="got none"):
        moments.gaussian()
    moments.add(np.zeros((0, 3)))
    with pytest.raises(ComponentError, match="got none"):
        moments.gaussian()
    with pytest.raises(ComponentError, match=r"\(2, 4\)"):
        moments.add(np.zeros((2, 4)))
    with pytest.raises(ComponentError, match="NaN"):
        moments.add(np.full((2, 3), np.nan))
    with pytest.raises(ComponentError, match=r"expected vectors \(N, 4\), got \(2, 3\)"):
        fitted(correlated(9, 4)).distances(np.zeros((2, 3)))
