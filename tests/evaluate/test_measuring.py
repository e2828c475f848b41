"""Measuring files gives what the functions give for the same arrays, whole and in groups."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fmas_evaluate import evaluate
from fmas_evaluate.errors import InvalidInput
from fmas_evaluate.layouts import find_samples
from fmas_evaluate.loading import Images
from fmas_evaluate.measuring import groups_of, measure_images

LIMITS = (0.3, 0.05, 1.0)


def images_of(folders: Any, **options: Any) -> Images:
    return Images(find_samples(folders.maps, folders.truth).samples, **options)


def expected(folders: Any, names: list[str], **options: Any) -> dict[str, float]:
    result = evaluate(
        [folders.scores[name] for name in names], [folders.masks[name] for name in names], max_fpr=LIMITS, **options
    )
    return {name: float(value) for name, value in result.items()}


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_exact_mode_equals_the_function(make_folders: Callable[..., Any], dtype: str) -> None:
    folders = make_folders("a/0", "a/1", "good/0", "good/1", dtype=dtype)
    measured = measure_images(images_of(folders), limits=LIMITS)
    assert dict(measured.evaluation) == expected(folders, sorted(folders.scores))
    assert measured.evaluation.aupro.n_images == 4
    assert measured.evaluation["aupro@1.0"].limit == 1.0


def test_histogram_mode_encloses_the_function(folders: Any) -> None:
    measured = measure_images(images_of(folders), limits=LIMITS, mode="histogram", bins=2**10)
    for name, value in expected(folders, sorted(folders.scores)).items():
        result = measured.evaluation[name]
        assert result.lower <= value <= result.upper
    assert not measured.evaluation.pixel_auroc.exact
    assert measured.evaluation.f1_max.threshold is not None


def test_the_curves_enclose_the_areas(folders: Any) -> None:
    for mode in ("exact", "histogram"):
        measured = measure_images(images_of(folders), mode=mode)  # type: ignore[arg-type]
        assert measured.curves is not None
        roc, pro = measured.curves.roc, measured.curves.pro
        # Thinning moves a point by half a step of a grid of 2,000.
        assert math.isclose(np.trapezoid(roc.y, roc.x), measured.evaluation.pixel_auroc, abs_tol=1e-3)
        assert (np.diff(pro.x) >= 0).all() and (np.diff(pro.y) >= 0).all()
        assert (roc.x[0], roc.y[0], roc.x[-1], roc.y[-1]) == (0, 0, 1, 1)


def test_kinds_of_defect_share_the_good_images(folders: Any) -> None:
    images = images_of(folders)
    groups = groups_of(images.files)
    assert groups == {
        "crack": {"crack/000", "crack/001", "good/000", "good/001"},
        "stain": {"stain/000", "good/000", "good/001"},
    }
    measured = measure_images(images, limits=LIMITS, groups=groups)
    for group, names in groups.items():
        assert dict(measured.groups[group]) == expected(folders, sorted(names))
        assert measured.groups[group].aupro.n_images == len(names)


def test_categories_stand_alone(make_folders: Callable[..., Any]) -> None:
    folders = make_folders("bottle/crack/0", "bottle/good/0", "cable/bent/0", "cable/good/0", "cable/good/1")
    images = images_of(folders)
    groups = groups_of(images.files)
    assert {name: len(names) for name, names in groups.items()} == {"bottle": 2, "cable": 3}
    for mode in ("exact", "histogram"):
        measured = measure_images(images, limits=LIMITS, groups=groups, mode=mode)  # type: ignore[arg-type]
        for group, names in groups.items():
            for name, value in expected(folders, sorted(names)).items():
                result = measured.groups[group][name]
                assert result.lower - 1e-12 <= value <= result.upper + 1e-12


def test_given_image_scores_are_used(folders: Any) -> None:
    scores = {name: float(number) for number, name in enumerate(sorted(folders.scores))}
    measured = measure_images(images_of(folders, scores=scores))
    labels = [bool(folders.masks[name].any()) for name in sorted(folders.scores)]
    pairs = [(bad, good) for bad in range(5) for good in range(5) if labels[bad] and not labels[good]]
    assert measured.evaluation.image_auroc == sum(bad > good for bad, good in pairs) / len(pairs)


def test_an_empty_mask_of_a_defect_is_told_and_counts_as_defective(folders: Any) -> None:
    np.save(folders.truth / "stain/000_mask.npy", np.zeros_like(folders.masks["stain/000"]))
    measured = measure_images(images_of(folders))
    assert measured.unmarked == ("stain/000",)
    labels = [True, True, False, False, True]
    masks = [folders.masks[name] & (name != "stain/000") for name in sorted(folders.masks)]
    direct = evaluate([folders.scores[name] for name in sorted(folders.scores)], masks, labels=labels)
    assert dict(measured.evaluation) == dict(direct)


def test_a_good_image_with_a_marked_defect_is_refused(folders: Any) -> None:
    path = folders.truth / "good/000_mask.npy"
    path.parent.mkdir()
    np.save(path, np.ones(folders.masks["good/000"].shape, bool))
    with pytest.raises(
        InvalidInput, match=r"expected no defect in the mask of the good image good/000, got \d+ defect"
    ):
        measure_images(images_of(folders))


def test_a_mask_of_another_size_names_the_file_and_both_shapes(folders: Any) -> None:
    np.save(folders.truth / "crack/001_mask.npy", np.zeros((3, 4), bool))
    with pytest.raises(InvalidInput, match=r"crack/001_mask\.npy.*\(25, 29\).*\(3, 4\)"):
        measure_images(images_of(folders))


def test_nan_names_the_file(folders: Any) -> None:
    folders.scores["good/001"][2, 3] = np.nan
    np.save(folders.maps / "good/001.npy", folders.scores["good/001"])
    for mode in ("exact", "histogram"):
        with pytest.raises(InvalidInput, match=r"NaN in the map of .*good/001\.npy"):
            measure_images(images_of(folders), mode=mode)  # type: ignore[arg-type]


def test_masks_with_other_values_need_the_threshold(folders: Any) -> None:
    np.save(folders.truth / "crack/000_mask.npy", folders.masks["crack/000"] * np.uint8(3))
    with pytest.raises(InvalidInput, match=r"expected a mask of 0 and 1 or of 0 and 255 for .*crack/000_mask\.npy"):
        measure_images(images_of(folders))
    measured = measure_images(images_of(folders, mask_threshold=0.0), limits=LIMITS)
    assert dict(measured.evaluation) == expected(folders, sorted(folders.scores))


def test_maps_that_change_between_the_passes_are_noticed(folders: Any) -> None:
    seen = 0

    def step() -> None:
        nonlocal seen
        seen += 1
        if seen == 5:
            np.save(folders.maps / "good/001.npy", np.zeros((2, 2), np.float32))

    with pytest.raises(InvalidInput, match="expected the same score maps in both passes"):
        measure_images(replace(images_of(folders), step=step))


def test_every_image_is_reported_once_per_pass(folders: Any) -> None:
    calls: list[None] = []
    images = images_of(folders, step=lambda: calls.append(None))
    measure_images(images)
    assert len(calls) == 10
    measure_images(images, mode="histogram")
    assert len(calls) == 15


def test_without_defects_there_is_nothing_but_nan(make_folders: Callable[..., Any]) -> None:
    images = images_of(make_folders("good/0", "good/1"))
    with pytest.warns(RuntimeWarning, match="image_auroc not defined.*pixel_auroc"):
        measured = measure_images(images)
    with pytest.warns(RuntimeWarning, match="image_auroc not defined.*pixel_auroc"):
        assert measure_images(images, mode="histogram").curves is None
    assert all(math.isnan(value) for value in measured.evaluation.values())
    assert measured.curves is None


def test_labels_come_from_the_layout_or_from_the_masks(folders: Any, make_folders: Callable[..., Any]) -> None:
    assert images_of(folders).labels().tolist() == [True, True, False, False, True]
    flat = make_folders("a", "b", where="flat")
    np.save(flat.truth / "b_mask.npy", np.zeros_like(flat.masks["b"]))
    assert images_of(flat).labels().tolist() == [True, False]
    assert images_of(flat).given_scores() is None
