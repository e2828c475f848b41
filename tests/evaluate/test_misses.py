from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from fmas_evaluate import per_region_overlap
from fmas_evaluate.errors import InvalidInput
from fmas_evaluate.misses import DECADES, SizeBin, misses_by_size


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.floats(0, 1), st.sampled_from([0.0, 0.5]))
def test_every_region_counts_in_the_range_of_its_size(seed: int, threshold: float, found_above: float) -> None:
    rng = np.random.default_rng(seed)
    masks = rng.random((3, 12, 15)) < np.array([0.15, 0.35, 0.0])[:, None, None]
    maps = rng.random(masks.shape)
    regions = []
    for scores, mask in zip(maps, masks, strict=True):
        labelled, count = ndimage.label(mask, structure=np.ones((3, 3)))
        regions += [scores[labelled == number + 1] for number in range(count)]
    rows = misses_by_size(maps, masks, threshold=threshold, sizes=(1, 2, 5, 1000), found_above=found_above)
    for row, (smallest, end) in zip(rows, [(1, 2), (2, 5), (5, 1000)], strict=True):
        overlaps = [np.mean(region >= threshold) for region in regions if smallest <= region.size < end]
        assert (row.smallest, row.end, row.n_regions) == (smallest, end, len(overlaps))
        assert row.n_missed == sum(overlap <= found_above for overlap in overlaps)
        assert row.mean_overlap == pytest.approx(np.mean(overlaps) if overlaps else math.nan, nan_ok=True)
    assert sum(row.n_regions for row in rows) == len(regions)


def test_ranges_together_have_the_mean_overlap_of_all_regions() -> None:
    rng = np.random.default_rng(1)
    masks, maps = rng.random((2, 30, 30)) < 0.2, rng.random((2, 30, 30))
    rows = misses_by_size(maps, masks, threshold=0.5)
    together = sum(row.mean_overlap * row.n_regions for row in rows if row.n_regions)
    assert together / sum(row.n_regions for row in rows) == pytest.approx(
        np.mean(per_region_overlap(maps, masks, threshold=0.5)), abs=1e-12
    )


def test_decades_are_the_default_and_empty_ranges_stay_visible() -> None:
    mask = np.zeros((20, 20), dtype=bool)
    mask[2:6, 2:7], mask[15, 15] = True, True
    rows = misses_by_size([mask * 1.0], [mask], threshold=0.5)
    assert [row.smallest for row in rows] == list(DECADES[:-1]) and rows[-1].end == math.inf
    assert [row.n_regions for row in rows] == [1, 1, 0, 0, 0, 0]
    assert rows[0] == SizeBin(1.0, 10.0, 1, 0, 1.0) and rows[0].missed_share == 0.0
    assert math.isnan(rows[2].mean_overlap) and math.isnan(rows[2].missed_share)


def test_no_defect_at_all() -> None:
    assert [row.n_regions for row in misses_by_size(np.zeros((1, 2, 2)), [None], threshold=1.0)] == [0] * 6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sizes": (1,)}, "expected increasing sizes in pixels, at least two"),
        ({"sizes": (1, 5, 5)}, "expected increasing sizes"),
        ({"sizes": (1, math.nan)}, "expected increasing sizes"),
        ({"sizes": (2, 10)}, "expected sizes from 2 to 10 to hold every region, got one of 1 pixels"),
        ({"threshold": math.nan}, "expected a number as threshold, got NaN"),
        ({"found_above": 1.0}, r"expected found_above in \[0, 1\), got 1.0"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        misses_by_size([np.zeros((3, 3))], [np.eye(3) * [1, 0, 0]], **({"threshold": 0.5} | options))
