from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from fmas_evaluate import weighted
from fmas_evaluate.bootstrap import HISTOGRAM_CELLS, measure
from fmas_evaluate.samples import take_apart
from fmas_evaluate.weighted import CellTable, weighted_image_auroc, weighted_measures

PIXEL_METRICS = ("pixel_auroc", "average_precision", "f1_max", "aupro")


def literal(maps: list[np.ndarray], masks: list[np.ndarray], draw: list[int], limit: float) -> dict[str, float]:
    """The metrics of the drawn images, from all thresholds one by one, as the definitions say."""
    regions, normal, defects = [], [], []
    for image in draw:
        labelled, count = ndimage.label(masks[image], structure=np.ones((3, 3)))
        regions += [maps[image][labelled == number + 1] for number in range(count)]
        normal.append(maps[image][~masks[image]])
        defects.append(maps[image][masks[image]])
    good, bad = np.concatenate(normal), np.concatenate(defects)
    points = [(0.0, 0.0, 0.0, 0.0, 1.0)]  # FPR, overlap, recall, F1, precision
    for threshold in np.unique(np.concatenate([good, bad]))[::-1]:
        hits, alarms = np.count_nonzero(bad >= threshold), np.count_nonzero(good >= threshold)
        overlap = np.mean([np.mean(region >= threshold) for region in regions])
        f1 = 2 * hits / (bad.size + hits + alarms)
        points.append((alarms / good.size, overlap, hits / bad.size, f1, hits / (hits + alarms)))
    fpr, overlap, recall, f1, precision = np.array(points).T
    inside = fpr <= limit
    x = np.append(fpr[inside], limit)
    beyond = np.flatnonzero(~inside)
    y = np.append(overlap[inside], overlap[inside][-1])
    if beyond.size:
        first = beyond[0]
        share = (limit - fpr[first - 1]) / (fpr[first] - fpr[first - 1])
        y[-1] = overlap[first - 1] + share * (overlap[first] - overlap[first - 1])
    return {
        "pixel_auroc": float(np.trapezoid(recall, fpr)),
        "average_precision": float(np.sum(np.diff(recall) * precision[1:])),
        "f1_max": float(f1.max()),
        "aupro": float(np.trapezoid(y, x)) / limit,
    }


def random_images(seed: int, levels: int, dtype: str = "float32") -> tuple[list[np.ndarray], list[np.ndarray]]:
    rng = np.random.default_rng(seed)
    maps, masks = [], []
    for _ in range(int(rng.integers(2, 6))):
        shape = tuple(rng.integers(3, 9, size=2))
        mask = rng.random(shape) < rng.choice([0.0, 0.15, 0.4])
        maps.append((rng.integers(0, levels, size=shape) + mask * rng.integers(0, levels)).astype(dtype))
        masks.append(mask)
    masks[0][0, 0] = True
    masks[-1][-1, -1] = False
    return maps, masks


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.sampled_from([2, 5, 1000]), st.sampled_from(["float16", "float64", "uint8", "int32"]))
def test_a_replicate_is_the_metric_of_the_drawn_images(seed: int, levels: int, dtype: str) -> None:
    maps, masks = random_images(seed, levels if dtype != "uint8" else min(levels, 100), dtype)
    rng = np.random.default_rng(seed)
    limit = float(rng.choice([0.05, 0.3, 1.0]))
    draws = [[0, len(maps) - 1, *rng.integers(0, len(maps), len(maps)).tolist()] for _ in range(4)]
    weights = np.array([np.bincount(draw, minlength=len(maps)) for draw in draws], dtype=np.float64)
    values = weighted_measures(CellTable(take_apart(maps, masks)), weights, max_fpr=limit)
    for row, draw in enumerate(draws):
        expected = literal(maps, masks, draw, limit)
        for name in PIXEL_METRICS:
            assert values[name][row] == pytest.approx(expected[name], abs=1e-12), name


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_image_auroc_of_a_replicate_counts_all_pairs_of_drawn_images(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.array([True, False, *(rng.random(5) < 0.5)])
    scores = rng.integers(0, 4, labels.size).astype(float)
    samples = take_apart(np.zeros((labels.size, 2, 2)), [None] * labels.size, labels=labels, image_scores=scores)
    draw = np.array([0, 1, *rng.integers(0, labels.size, 6)])
    weights = np.bincount(draw, minlength=labels.size)[None].astype(float)
    bad, good = scores[draw][labels[draw]], scores[draw][~labels[draw]]
    pairs = [1.0 if b > g else 0.5 if b == g else 0.0 for b in bad for g in good]
    assert weighted_image_auroc(samples, weights)[0] == pytest.approx(np.mean(pairs), abs=1e-14)


def smooth_images(seed: int, count: int = 20, side: int = 64, largest: int = 24) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    masks = np.zeros((count, side, side), dtype=bool)
    for mask in masks[: count // 2]:
        for _ in range(rng.integers(1, 4)):
            top, left = rng.integers(2, side // 2, 2)
            height, width = rng.integers(2, largest, 2)
            mask[top : top + height, left : left + width] = True
    noise = ndimage.gaussian_filter(rng.normal(size=masks.shape), (0, 3, 3)) * 8
    return (noise + rng.uniform(0.3, 2.5) * ndimage.gaussian_filter(masks * 1.0, (0, 2, 2))).astype(np.float32), masks


@pytest.mark.parametrize("seed", range(2))
def test_the_cells_of_the_histogram_method_quantise_within_a_ten_thousandth(seed: int) -> None:
    samples = take_apart(*smooth_images(seed, count=40, side=256, largest=150))
    weights = np.random.default_rng(seed).multinomial(40, [0.025] * 40, size=20).astype(float)
    exact, few = CellTable(samples), CellTable(samples, HISTOGRAM_CELLS)
    assert few.n_cells < 0.3 * exact.n_cells
    wanted, got = (weighted_measures(table, weights, max_fpr=0.3) for table in (exact, few))
    for name in PIXEL_METRICS:
        assert 0 < np.abs(wanted[name] - got[name]).max() < 1e-4, name


@pytest.mark.parametrize("seed", [0, 2])
def test_average_precision_stays_close_with_few_cells(seed: int) -> None:
    # The first scores have cells of their own, in the others precision is averaged: without either, 1.5e-4 and more.
    samples = take_apart(*smooth_images(seed, count=40, side=128))
    weights = np.random.default_rng(seed).multinomial(40, [0.025] * 40, size=200).astype(float)
    exact, few = CellTable(samples), CellTable(samples, 3000)
    assert few.n_cells < 0.7 * exact.n_cells
    wanted, got = (
        weighted_measures(table, weights, max_fpr=0.3, metrics=["average_precision"])["average_precision"]
        for table in (exact, few)
    )
    assert np.abs(wanted - got).max() < 6e-5


def test_the_error_of_few_cells_keeps_its_bound() -> None:
    samples = take_apart(*smooth_images(7))
    weights = np.ones((1, 20))
    exact = weighted_measures(CellTable(samples), weights, max_fpr=0.3)
    for cells in (5, 20, 100):
        got = weighted_measures(CellTable(samples, cells), weights, max_fpr=0.3)
        for name in ("pixel_auroc", "aupro"):
            assert abs(got[name][0] - exact[name][0]) <= 2 / cells


@pytest.mark.parametrize("scale", [1.0, 255.0])
def test_as_many_cells_as_scores_are_exact(scale: float) -> None:
    maps, masks = smooth_images(3)
    levels = np.round(maps * 20) * scale
    samples = take_apart(levels, masks)
    table, exact = CellTable(samples, 4096), CellTable(samples)
    assert table.n_cells == exact.n_cells
    weights = np.random.default_rng(0).multinomial(20, [0.05] * 20, size=5).astype(float)
    for name, values in weighted_measures(table, weights, max_fpr=0.3).items():
        assert np.array_equal(values, weighted_measures(exact, weights, max_fpr=0.3)[name])


def test_a_score_of_great_weight_gets_its_own_cell() -> None:
    # One region of a single pixel among thousands of pixels of another region: half the region weight in one score.
    maps = np.linspace(0, 1, 10_000, dtype=np.float32).reshape(1, 100, 100)
    masks = np.zeros((1, 100, 100), dtype=bool)
    masks[0, 60:, :] = True
    masks[0, 20, 50] = True
    samples = take_apart(maps, masks)
    table = CellTable(samples, 50)
    exact = weighted_measures(CellTable(samples), np.ones((1, 1)), max_fpr=1.0)["aupro"][0]
    assert weighted_measures(table, np.ones((1, 1)), max_fpr=1.0)["aupro"][0] == pytest.approx(exact, abs=1e-6)


def test_more_cells_than_fit_one_page() -> None:
    rng = np.random.default_rng(0)
    maps, masks = rng.normal(size=(2, 150, 150)), rng.random((2, 150, 150)) < 0.4
    samples = take_apart(maps, masks)
    assert CellTable(samples).n_cells > 2**13
    drawn = take_apart(np.concatenate([maps, maps[:1]]), np.concatenate([masks, masks[:1]]))
    got = weighted_measures(CellTable(samples), np.array([[2.0, 1.0]]), max_fpr=0.3)
    for name, value in measure(drawn, metrics=PIXEL_METRICS, max_fpr=0.3).items():
        assert got[name][0] == pytest.approx(value, abs=1e-12)


def test_infinite_scores_tie_with_each_other() -> None:
    maps = [np.array([[np.inf, np.inf, 0.0, -np.inf]])]
    masks = [np.array([[True, False, False, True]])]
    got = weighted_measures(CellTable(take_apart(maps, masks)), np.ones((1, 1)), max_fpr=1.0)
    assert got["pixel_auroc"][0] == pytest.approx(np.mean([0.5, 1.0, 0.0, 0.0]))
    assert got["average_precision"][0] == pytest.approx(0.5 * 0.5 + 0.5 * 0.5)


def test_a_replicate_without_defects_or_without_normal_pixels_is_undefined() -> None:
    maps, masks = [np.ones((2, 2)), np.zeros((2, 2))], [np.ones((2, 2), bool), np.zeros((2, 2), bool)]
    weights = np.array([[2.0, 0.0], [0.0, 2.0], [1.0, 1.0]])
    samples = take_apart(maps, masks)
    for values in weighted_measures(CellTable(samples), weights, max_fpr=0.3).values():
        assert np.isnan(values).tolist() == [True, True, False]
    assert np.isnan(weighted_image_auroc(samples, weights)).tolist() == [True, True, False]


def test_no_defect_pixel_at_all() -> None:
    samples = take_apart(np.zeros((2, 2, 2)), [None, None])
    for values in weighted_measures(CellTable(samples), np.ones((3, 2)), max_fpr=0.3).values():
        assert np.isnan(values).all() and values.shape == (3,)


def test_only_what_is_asked_for_is_computed() -> None:
    maps, masks = random_images(1, 5)
    weights = np.ones((1, len(maps)))
    table = CellTable(take_apart(maps, masks))
    everything = weighted_measures(table, weights, max_fpr=0.3)
    for name in PIXEL_METRICS:
        alone = weighted_measures(table, weights, max_fpr=0.3, metrics=["image_auroc", name])
        assert list(alone) == [name] and alone[name][0] == everything[name][0]


def test_threads_do_not_change_a_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = take_apart(*smooth_images(5))
    weights = np.random.default_rng(0).multinomial(20, [0.05] * 20, size=1100).astype(float)
    for cells in (None, 500):
        threaded = weighted_measures(CellTable(samples, cells), weights, max_fpr=0.3)
        with monkeypatch.context() as patch:
            patch.setattr(weighted, "in_threads", lambda task, items, threads=None: [task(item) for item in items])
            serial = weighted_measures(CellTable(samples, cells), weights, max_fpr=0.3)
        for name in PIXEL_METRICS:
            assert np.array_equal(threaded[name], serial[name])
