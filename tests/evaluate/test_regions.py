from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from fmas_evaluate.regions import find_regions

MASKS = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=12))


def flooded(mask: np.ndarray) -> list[set[tuple[int, int]]]:
    """Regions by flood fill, in the order of their first pixel."""
    left, regions = {(int(y), int(x)) for y, x in np.argwhere(mask)}, []
    while left:
        queue = [min(left)]
        left.remove(queue[0])
        for y, x in queue:
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            queue.extend(near)
        regions.append(set(queue))
    return regions


@given(MASKS)
def test_regions_are_those_of_a_flood_fill(mask: np.ndarray) -> None:
    found, expected = find_regions(mask), flooded(mask)
    places = [divmod(int(place), mask.shape[1]) for place in found.places]
    assert found.count == len(expected)
    assert places == [(int(y), int(x)) for y, x in np.argwhere(mask)]
    for place, size, label in zip(places, found.sizes, found.labels, strict=True):
        assert place in expected[label]
        assert size == len(expected[label])


@given(MASKS, st.integers(0, 5), st.integers(0, 5))
def test_background_around_changes_nothing_but_places(mask: np.ndarray, above: int, left: int) -> None:
    inner, outer = find_regions(mask), find_regions(np.pad(mask, ((above, 2), (left, 1))))
    assert inner.count == outer.count
    assert np.array_equal(inner.sizes, outer.sizes)
    assert np.array_equal(inner.labels, outer.labels)


def test_dtypes() -> None:
    for mask in (np.zeros((2, 3), dtype=bool), np.ones((2, 3), dtype=bool)):
        found = find_regions(mask)
        assert {found.places.dtype, found.sizes.dtype, found.labels.dtype} == {np.dtype(np.int64)}


def test_a_corner_joins() -> None:
    assert find_regions(np.eye(5, dtype=bool)).count == 1


def test_more_regions_than_sixteen_bits_can_number() -> None:
    mask = np.zeros((600, 600), dtype=bool)
    mask[::2, ::2] = True
    found = find_regions(mask)
    assert found.count == 90_000
    assert found.labels.max() == 89_999
    assert (found.sizes == 1).all()


@pytest.mark.parametrize("turned", [False, True])
def test_a_serpentine_stays_one(turned: bool) -> None:
    mask = np.zeros((201, 200), dtype=bool)
    mask[::2] = True
    mask[1::4, -1] = mask[3::4, 0] = True
    found = find_regions(mask.T if turned else mask)
    assert found.count == 1
    assert found.sizes[0] == mask.sum()
