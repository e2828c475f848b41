from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmas_evaluate import InvalidInput, InvalidType, image_auroc

# Few distinct scores, so that ties are common; both classes present.
SCORES = st.one_of(st.integers(-3, 3).map(float), st.floats(allow_nan=False, width=16))
LABELLED = st.lists(st.tuples(SCORES, st.booleans()), min_size=2, max_size=40).filter(
    lambda pairs: len({label for _, label in pairs}) == 2
)
EXACT = 1e-15  # one division of exactly representable halves


def split(pairs: list[tuple[float, bool]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([score for score, _ in pairs]), np.array([label for _, label in pairs])


def counted(scores: np.ndarray, labels: np.ndarray) -> float:
    pairs = list(product(scores[labels], scores[~labels]))
    return sum(1.0 if bad > good else 0.5 if bad == good else 0.0 for bad, good in pairs) / len(pairs)


@given(LABELLED)
def test_equals_counting_all_pairs(pairs: list[tuple[float, bool]]) -> None:
    scores, labels = split(pairs)
    assert math.isclose(image_auroc(scores, labels), counted(scores, labels), rel_tol=EXACT, abs_tol=EXACT)


@given(LABELLED, st.randoms(use_true_random=False))
def test_the_order_of_images_does_not_matter(pairs: list[tuple[float, bool]], shuffler: object) -> None:
    before = image_auroc(*split(pairs))
    shuffler.shuffle(pairs)  # type: ignore[attr-defined]
    assert image_auroc(*split(pairs)) == before


@given(LABELLED)
def test_a_strictly_increasing_map_changes_nothing(pairs: list[tuple[float, bool]]) -> None:
    scores, labels = split(pairs)
    ranks = np.searchsorted(np.unique(scores), scores)
    assert image_auroc(ranks**3 - 7, labels) == image_auroc(scores, labels)


@given(LABELLED)
def test_complement(pairs: list[tuple[float, bool]]) -> None:
    scores, labels = split(pairs)
    value = image_auroc(scores, labels)
    assert math.isclose(image_auroc(-scores, labels), 1 - value, abs_tol=EXACT)
    assert math.isclose(image_auroc(scores, ~labels), 1 - value, abs_tol=EXACT)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [([0, 1, 2, 3], 1.0), ([3, 2, 1, 0], 0.0), ([5, 5, 5, 5], 0.5), ([0, 2, 1, 3], 0.75), ([0, 1, 1, 2], 0.875)],
)
def test_known_answers(scores: list[int], expected: float) -> None:
    assert image_auroc(scores, [False, False, True, True]) == expected


def test_infinite_scores_are_ordered() -> None:
    assert image_auroc([-math.inf, 0.0, math.inf, math.inf], [False, True, False, True]) == 0.625


def test_large_integers_keep_their_order() -> None:
    assert image_auroc([2**62, 2**62 + 1], [False, True]) == 1.0


def test_nan_is_refused_by_index() -> None:
    with pytest.raises(ValueError, match=r"got NaN at index 1 \(2 of 4 in all\); find out why"):
        image_auroc([0.0, math.nan, 1.0, math.nan], [False, True, False, True])


@pytest.mark.parametrize(("label", "counts"), [(True, "3 defective and 0 good"), (False, "0 defective and 3 good")])
def test_one_class_only_is_nan_with_a_warning(label: bool, counts: str) -> None:
    with pytest.warns(RuntimeWarning, match=counts):
        assert math.isnan(image_auroc([1.0, 2.0, 3.0], [label] * 3))


def test_no_image_at_all_is_nan_with_a_warning() -> None:
    with pytest.warns(RuntimeWarning, match="0 defective and 0 good"):
        assert math.isnan(image_auroc(np.empty(0), np.empty(0, dtype=bool)))


@pytest.mark.parametrize(("scores", "labels"), [((3,), (2,)), ((3, 1), (3, 1)), ((), ()), ((3,), (3, 1))])
def test_shapes_are_checked(scores: tuple[int, ...], labels: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected scores and labels of equal shape \(N,\), got .*; pass one"):
        image_auroc(np.zeros(scores), np.zeros(labels, dtype=bool))


@pytest.mark.parametrize("scores", [["a", "b"], [1j, 2j], [True, False], [None, 1.0]])
def test_scores_must_be_real_numbers(scores: list[object]) -> None:
    with pytest.raises(TypeError, match=r"expected scores of an integer or float dtype, got .*; convert"):
        image_auroc(scores, [False, True])  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_labels_may_be_zeros_and_ones(dtype: type) -> None:
    assert image_auroc([0.1, 0.2, 0.3], np.array([0, 1, 0], dtype)) == 0.5


@pytest.mark.parametrize("labels", [[0.0, 1.0], ["good", "bad"], [None, True]])
def test_labels_must_be_bool_or_integers(labels: list[object]) -> None:
    with pytest.raises(InvalidType, match=r"expected labels of dtype bool or integers 0 and 1, got .*; compare them"):
        image_auroc([0.1, 0.2], labels)  # type: ignore[arg-type]


@pytest.mark.parametrize("labels", [[0, 2], [-1, 1], [1, 255]])
def test_labels_must_be_zeros_and_ones(labels: list[int]) -> None:
    with pytest.raises(InvalidInput, match=r"expected labels 0 \(good\) and 1 \(defective\), got .*; compare them"):
        image_auroc([0.1, 0.2], labels)


def test_float16_with_zeros_of_both_signs() -> None:
    scores = np.tile(np.array([0.0, -0.0, 1.0, -1.0], np.float16), 50)
    labels = np.arange(200) % 3 == 0
    assert image_auroc(scores, labels) == counted(scores.astype(float), labels)


def test_torch_tensors() -> None:
    torch = pytest.importorskip("torch")
    assert image_auroc(torch.tensor([0.1, 0.4], requires_grad=True), torch.tensor([0, 1])) == 1.0
