from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from fmas_evaluate.errors import InvalidInput, InvalidType
from fmas_evaluate.samples import count_samples, counts_above, take_apart

MAPS = np.array([[[3, 1], [2, 5]], [[4, 4], [0, 1]]], dtype=np.uint8)
MASKS = np.array([[[1, 0], [0, 1]], [[0, 0], [0, 0]]], dtype=np.uint8)


def test_an_image_is_taken_apart() -> None:
    first, second = take_apart(MAPS, MASKS)
    assert (first.normal.tolist(), first.defects.tolist()) == ([1, 2], [3, 5])
    assert (first.sizes.tolist(), first.n_regions) == ([2, 2], 1)  # corners touch
    assert (first.defective, first.score, first.name) == (True, 5.0, "image 0")
    assert (second.normal.tolist(), second.defects.size, second.n_regions) == ([0, 1, 4, 4], 0, 0)
    assert (second.defective, second.score) == (False, 4.0)


def test_labels_and_image_scores_of_the_caller_win() -> None:
    with pytest.warns(RuntimeWarning, match="labelled good"):
        samples = take_apart(MAPS, MASKS, labels=[False, True], image_scores=[0.25, 1e300])
    assert [(sample.defective, sample.score) for sample in samples] == [(False, 0.25), (True, 1e300)]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"labels": [True]}, InvalidInput),
        ({"labels": [0.5, 1.0]}, InvalidType),
        ({"image_scores": [1.0, 2.0, 3.0]}, InvalidInput),
        ({"image_scores": [1.0, np.nan]}, InvalidInput),
    ],
)
def test_wrong_labels_and_scores_are_refused(options: dict[str, list[float]], error: type[Exception]) -> None:
    with pytest.raises(error, match="expected"):
        take_apart(MAPS, MASKS, **options)


def test_the_scores_of_the_caller_stay_as_they_are() -> None:
    maps = [np.array([[2.0, 1.0], [3.0, 0.0]])]
    sample = take_apart(maps, [None])[0]
    assert maps[0].tolist() == [[2.0, 1.0], [3.0, 0.0]]
    assert not np.shares_memory(sample.normal, maps[0])


def test_mixed_dtypes_compare_exactly() -> None:
    third = np.float32(1 / 3)
    maps = [np.full((1, 2), third, np.float32), np.full((1, 2), 1 / 3), np.array([[0.0, -0.0]], np.float16)]
    masks = [np.array([[True, False]]), np.array([[True, False]]), None]
    counts = count_samples(take_apart(maps, masks))
    assert counts.scores.tolist() == [1 / 3, float(third)]
    assert (counts.above.tolist(), counts.reached.tolist()) == ([1, 0], [2, 1])
    assert (counts.n_normal, counts.n_regions, counts.n_pixels, counts.n_images) == (4, 2, 6, 3)


def test_counts_above_tells_ties_from_larger() -> None:
    normal = np.array([0.0, 1.0, 1.0, 2.0])
    above, reached = counts_above(normal, np.array([-1.0, 0.5, 1.0, 2.0, 3.0]))
    assert (above.tolist(), reached.tolist()) == ([4, 3, 1, 0, 0], [4, 3, 3, 1, 0])
    above, reached = counts_above(np.zeros(0), np.array([1.0]))
    assert (above.tolist(), reached.tolist()) == ([0], [0])


def test_a_loader_may_fill_the_same_array_again_and_again() -> None:
    def loader() -> Iterator[np.ndarray]:
        buffer = np.zeros((4, 4))
        for value in range(20):
            buffer[...] = value
            yield buffer

    samples = take_apart(loader(), [np.eye(4, dtype=bool)] * 20)
    assert [(sample.normal[0], sample.defects[-1], sample.score) for sample in samples] == [
        (value, value, value) for value in range(20)
    ]
