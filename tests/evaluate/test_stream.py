from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmas_evaluate import InvalidInput, InvalidType, compute_stream, evaluate


def drawn(seed: int = 0) -> tuple[list[np.ndarray], list[Any]]:
    rng = np.random.default_rng(seed)
    maps, masks = [], []
    for index in range(6):
        shape = tuple(rng.integers(3, 12, 2))
        mask = rng.random(shape) < 0.2
        mask[0, 0] = True
        maps.append((rng.integers(-9, 9, shape) + mask).astype(rng.choice([np.int16, np.float32, np.float64])))
        masks.append(mask if index % 2 else None)
    return maps, masks


@given(st.integers(0, 10**6))
def test_bit_for_bit_what_evaluate_gives(seed: int) -> None:
    maps, masks = drawn(seed)
    found = compute_stream(lambda: zip(maps, masks, strict=True))
    expected = evaluate(maps, masks)
    assert found == expected
    assert [value.as_dict() for value in found.values()] == [value.as_dict() for value in expected.values()]


def test_labels_scores_limits_and_soft_masks() -> None:
    maps, masks = drawn()
    labels, scores = [True, None, False, 1, 0, np.True_], [0.5, 3, None, np.float32(2), 1, 0]
    soft = [None if mask is None else np.where(mask, 200, 30) for mask in masks]
    found = compute_stream(
        lambda: zip(maps, soft, labels, scores, strict=True), max_fpr=0.1, mask_threshold=100, threads=2
    )
    expected = evaluate(
        maps,
        masks,
        labels=[True, True, False, True, False, True],
        image_scores=[0.5, 3, maps[2].max(), 2, 1, 0],
        max_fpr=0.1,
    )
    assert found == expected


def test_a_defect_in_an_image_labelled_good_is_told() -> None:
    maps, masks = drawn()
    labels = [1, 0, 0, True, None, 0]
    with pytest.warns(RuntimeWarning, match="a mask with a defect for image 1, image 5, labelled good") as told:
        compute_stream(lambda: zip(maps, masks, labels, [None] * 6, strict=True))
    assert [one.filename for one in told] == [__file__]


def test_the_second_pass_may_have_another_order_and_one_array_for_all() -> None:
    maps, masks = drawn()
    passes = []
    buffer = np.empty((20, 20))

    def factory() -> Iterator[tuple[np.ndarray, Any]]:
        passes.append(len(passes))
        for index in range(6) if len(passes) == 1 else reversed(range(6)):
            view = buffer[: maps[index].shape[0], : maps[index].shape[1]]
            view[...] = maps[index]
            yield view, masks[index]

    assert compute_stream(factory) == evaluate([scores.astype(float) for scores in maps], masks)
    assert passes == [0, 1]


def test_memory_grows_with_defect_pixels_alone() -> None:
    rng = np.random.default_rng(0)
    scores, mask = rng.random((256, 256), np.float32), np.zeros((256, 256), bool)
    mask[:10, :10] = True

    def peak(images: int) -> int:
        def factory() -> Iterator[tuple[Any, ...]]:
            yield scores, mask
            for _ in range(images):
                yield scores.copy(), None

        tracemalloc.start()
        try:
            compute_stream(factory, threads=1)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(8)  # whatever is imported or allocated once
    few, many = peak(8), peak(64)
    assert many < few + scores.nbytes  # 56 more images of that size


def second_pass(change: Callable[[list[Any]], Any]) -> Callable[[], Any]:
    """A factory whose second pass is another one."""
    maps, masks = drawn()
    passes = iter([list(zip(maps, masks, strict=True)), change(list(zip(maps, masks, strict=True)))])
    return lambda: next(passes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda images: images[1:], r"got 6 images of \d+ pixels in the first and 5 of \d+ in the second; the factory"),
        (lambda images: [], r"got 6 images of \d+ pixels in the first and 0 of 0 in the second"),
        (lambda images: [*images[:5], (images[5][0][1:], None)], r"got 6 images of .* and 6 of .* in the second"),
        (
            lambda images: [*images[:5], (images[5][0] + 1, None)],
            r"expected the same scores in both passes, got others",
        ),
    ],
)
def test_a_second_pass_that_differs_is_refused(change: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        compute_stream(second_pass(change))


def test_an_iterator_that_is_used_up_is_refused() -> None:
    maps, masks = drawn()
    images = zip(maps, masks, strict=True)
    with pytest.raises(InvalidInput, match="has to give a new iterable from the start at every call"):
        compute_stream(lambda: images)


def test_nan_names_the_image_and_the_pass() -> None:
    with pytest.raises(InvalidInput, match="no NaN in the map of image 1, got"):
        compute_stream(lambda: [([[0.0]], None), ([[math.nan]], None)])
    with pytest.raises(InvalidInput, match="no NaN in the map of image 5 of the second pass, got"):
        compute_stream(second_pass(lambda images: [*images[:5], (images[5][0] * math.nan, None)]))


@pytest.mark.parametrize("item", [[[0.0]], ([[0.0]],), ([[0.0]], None, True), 3, None])
def test_images_come_as_pairs_or_fours(item: Any) -> None:
    with pytest.raises(InvalidType, match=r"or \(map, mask, label, image_score\) for image 0, got .*; yield a tuple"):
        compute_stream(lambda: [item])


def test_the_factory_is_a_function_that_gives_an_iterable() -> None:
    with pytest.raises(InvalidType, match=r"expected a function that gives a new iterable .*, got list; pass e.g."):
        compute_stream([])  # type: ignore[arg-type]
    with pytest.raises(InvalidType, match=r"expected the factory to give an iterable, got NoneType; yield"):
        compute_stream(lambda: None)  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize(
    ("label", "score", "message"),
    [
        (2, 0.0, "expected labels 0"),
        ([0, 1], 0.0, "expected one label for image 0"),
        (0, [1.0, 2.0], "expected one image score for image 0"),
        (0, math.nan, "no NaN among the image scores"),
    ],
)
def test_labels_and_scores_are_checked(label: Any, score: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        compute_stream(lambda: [([[0.0]], None, label, score)])


def test_other_arguments_are_checked_before_anything_is_read() -> None:
    def unreadable() -> Any:
        raise AssertionError("the images were read")

    with pytest.raises(InvalidInput, match="expected max_fpr"):
        compute_stream(unreadable, max_fpr=0)
    with pytest.raises(InvalidInput, match="expected at least one thread"):
        compute_stream(unreadable, threads=0)


def test_no_image_is_nan_and_one_warning() -> None:
    with pytest.warns(RuntimeWarning, match="got 0 defect and 0 normal pixels") as caught:
        found = compute_stream(list)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert all(math.isnan(value) for value in found.values())
