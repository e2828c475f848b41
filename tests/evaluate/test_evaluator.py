from __future__ import annotations

import copy
import json
import math
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmas_evaluate import Evaluation, Evaluator, InvalidInput, InvalidType, evaluate

LIMITS = (0.3, 0.05)
MODES = ["exact", "histogram"]


def drawn(seed: int = 0, images: int = 8) -> tuple[list[np.ndarray], list[np.ndarray | None]]:
    """Ragged maps with ties, and masks; some images without a defect."""
    rng = np.random.default_rng(seed)
    maps, masks = [], []
    for index in range(images):
        shape = tuple(rng.integers(3, 12, 2))
        mask = rng.random(shape) < (0.2 if index % 2 else 0)
        mask[0, 0] = index % 2
        maps.append((rng.integers(-9, 9, shape) / rng.choice([1, 3]) + mask).astype(np.float32))
        masks.append(mask if index % 3 else mask.astype(np.uint8) * 255)
    return maps, masks


def same(found: Evaluation, expected: Evaluation) -> None:
    assert {name: value.as_dict() for name, value in found.items()} == {
        name: value.as_dict() for name, value in expected.items()
    }


@given(st.integers(0, 10**6))
def test_exact_mode_gives_what_evaluate_gives(seed: int) -> None:
    maps, masks = drawn(seed)
    evaluator = Evaluator(LIMITS)
    evaluator.update(maps[:3], masks[:3])
    evaluator.update(iter(maps[3:6]), iter(masks[3:6]))
    for scores, mask in zip(maps[6:], masks[6:], strict=True):
        evaluator.update(scores, mask)
    same(evaluator.compute(), evaluate(maps, masks, max_fpr=LIMITS))


@pytest.mark.parametrize("mode", MODES)
def test_merging_any_partition_in_any_order_gives_the_whole(mode: Any) -> None:
    maps, masks = drawn(1, images=12)
    whole = Evaluator(LIMITS, mode=mode, bins=2**12)
    whole.update(maps, masks)
    expected = whole.compute()
    rng = np.random.default_rng(0)
    for _ in range(100):
        parts = [Evaluator(LIMITS, mode=mode, bins=2**12) for _ in range(rng.integers(1, 6))]
        for index in rng.permutation(len(maps)):
            parts[rng.integers(len(parts))].update(maps[index], masks[index])
        merged = Evaluator(LIMITS, mode=mode, bins=2**12)
        for part in parts:
            merged.merge(part)
        same(merged.compute(), expected)


@pytest.mark.parametrize("mode", MODES)
def test_merging_leaves_the_other_alone(mode: Any) -> None:
    maps, masks = drawn(2)
    first, second = Evaluator(mode=mode), Evaluator(mode=mode)
    first.update(maps[:4], masks[:4])
    second.update(maps[4:], masks[4:])
    before = second.compute()
    first.merge(second)
    first.update(maps, masks)
    same(second.compute(), before)
    assert (first.n_images, second.n_images) == (16, 4)


@pytest.mark.parametrize("mode", MODES)
def test_computing_is_not_the_end(mode: Any) -> None:
    maps, masks = drawn(3)
    evaluator, at_once = Evaluator(LIMITS, mode=mode), Evaluator(LIMITS, mode=mode)
    evaluator.update(maps[:4], masks[:4])
    same(evaluator.compute(), evaluator.compute())
    evaluator.update(maps[4:], masks[4:])
    at_once.update(maps, masks)
    same(evaluator.compute(), at_once.compute())


def test_what_is_given_may_change_afterwards() -> None:
    maps, masks = drawn(4)
    evaluator, buffer = Evaluator(LIMITS), np.zeros((20, 20), np.float32)
    for scores, mask in zip(maps, masks, strict=True):
        view = buffer[: scores.shape[0], : scores.shape[1]]
        view[...] = scores
        evaluator.update(view, mask)
    buffer[...] = 99
    same(evaluator.compute(), evaluate(maps, masks))


@pytest.mark.parametrize("mode", MODES)
def test_labels_and_image_scores(mode: Any) -> None:
    maps, masks = drawn(5)
    labels, scores = (np.arange(8) % 3 == 0) | (np.arange(8) % 2 == 1), np.arange(8.0)[::-1]
    evaluator = Evaluator(mode=mode)
    evaluator.update(maps[:4], masks[:4], labels=labels[:4], image_scores=scores[:4])
    for index in range(4, 8):
        evaluator.update(maps[index], masks[index], labels=labels[index], image_scores=scores[index])
    expected = evaluate(maps, masks, labels=labels, image_scores=scores).image_auroc
    assert evaluator.compute().image_auroc == expected


@pytest.mark.parametrize("mode", MODES)
def test_a_defect_in_an_image_labelled_good_is_told(mode: Any) -> None:
    maps, masks = drawn(5)
    evaluator = Evaluator(mode=mode)
    evaluator.update(maps[:2], masks[:2], labels=[False, True])
    with pytest.warns(
        RuntimeWarning, match=r"a mask with a defect for image 3, image 5, labelled good; .* check"
    ) as told:
        evaluator.update(maps[2:6], masks[2:6], labels=[True, False, False, False])
    assert [one.filename for one in told] == [__file__]


@pytest.mark.parametrize(
    ("name", "options", "mode"),
    [
        ("max_fpr", {"max_fpr": 0.05}, "exact"),
        ("max_fpr", {"max_fpr": (0.3, 0.05)}, "histogram"),
        ("mask_threshold", {"mask_threshold": 127}, "exact"),
        ("bins", {"bins": 2**12}, "histogram"),
        ("mode", {"mode": "exact"}, "histogram"),
    ],
)
def test_evaluators_constructed_otherwise_are_not_merged(name: str, options: dict[str, Any], mode: Any) -> None:
    evaluator, other = Evaluator(mode=mode), Evaluator(**{"mode": mode, **options})
    other.update([[0.0, 1.0]], [[0, 1]])
    with pytest.raises(
        InvalidInput, match=rf"expected an evaluator of {name} .* to merge, got .*; construct all alike"
    ):
        evaluator.merge(other)
    assert evaluator.n_images == 0


def test_bins_that_are_not_used_need_not_be_equal() -> None:
    evaluator, other = Evaluator(), Evaluator(bins=2**12)
    other.update([[0.0, 1.0]], [[0, 1]])
    evaluator.merge(other)
    assert evaluator.n_images == 1


def test_histogram_mode_names_the_image_whose_scores_do_not_fit() -> None:
    evaluator = Evaluator(mode="histogram")
    evaluator.update(np.zeros((2, 2), np.uint8), None)
    with pytest.raises(InvalidInput, match="for image 1, like those before"):
        evaluator.update(np.zeros((2, 2), np.float32), None)


def test_histogram_mode_certifies_what_exact_mode_gives() -> None:
    rng = np.random.default_rng(6)
    masks = rng.random((4, 50, 50)) < 0.1
    masks[0] = False
    maps = rng.normal(size=masks.shape) + masks
    evaluator = Evaluator(LIMITS, mode="histogram", bins=2**12)
    evaluator.update(maps, masks)
    found, exact = evaluator.compute(), evaluate(maps, masks, max_fpr=LIMITS)
    assert list(found) == list(exact)
    assert found.image_auroc == exact.image_auroc
    for name, value in found.items():
        assert value.lower <= exact[name] <= value.upper
        assert (value.n_images, value.n_pixels, value.n_regions) == (4, maps.size, exact[name].n_regions)
        assert value.limit == exact[name].limit
    assert not found.pixel_auroc.exact
    assert set(found.as_dict()["certified"]) == set(found) - {"image_auroc"}


def test_histogram_mode_is_exact_for_eight_bits() -> None:
    rng = np.random.default_rng(6)
    masks = rng.random((4, 50, 50)) < 0.1
    masks[0] = False
    maps = (rng.integers(0, 200, masks.shape) + 20 * masks).astype(np.uint8)
    evaluator = Evaluator(LIMITS, mode="histogram")
    evaluator.update(maps, masks)
    for name, value in evaluate(maps, masks, max_fpr=LIMITS).items():
        assert evaluator.compute()[name] == pytest.approx(value, abs=1e-12)
        assert evaluator.compute()[name].exact


@pytest.mark.parametrize("mode", MODES)
def test_a_state_goes_on_elsewhere(mode: Any) -> None:
    maps, masks = drawn(7)
    first, whole = Evaluator(LIMITS, mode=mode), Evaluator(LIMITS, mode=mode)
    first.update(maps[:5], masks[:5])
    state = pickle.loads(pickle.dumps(first.state_dict()))  # noqa: S301
    second = Evaluator(LIMITS, mode=mode)
    second.update(maps[7], masks[7])  # replaced by the state
    assert second.load_state_dict(state) is second
    second.update(maps[5:], masks[5:])
    whole.update(maps, masks)
    same(second.compute(), whole.compute())
    assert first.n_images == 5


@pytest.mark.parametrize("mode", MODES)
def test_a_state_may_have_been_json(mode: Any) -> None:
    maps, masks = drawn(8)
    evaluator = Evaluator(mode=mode)
    evaluator.update(maps, masks)
    state = json.loads(json.dumps(evaluator.state_dict(), default=lambda value: value.tolist()))
    same(Evaluator(mode=mode).load_state_dict(state).compute(), evaluator.compute())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda whole: pickle.loads(pickle.dumps(whole))])  # noqa: S301
def test_an_evaluator_can_be_sent_to_another_process(mode: Any, copied: Any) -> None:
    maps, masks = drawn(9)
    evaluator = Evaluator(LIMITS, mode=mode)
    evaluator.update(maps, masks)
    same(copied(evaluator).compute(), evaluator.compute())


@pytest.mark.parametrize("mode", MODES)
def test_an_empty_evaluator(mode: Any) -> None:
    evaluator = Evaluator(mode=mode)
    evaluator.load_state_dict(evaluator.state_dict())
    with pytest.warns(RuntimeWarning, match="got 0 defect and 0 normal pixels") as caught:
        found = evaluator.compute()
    assert caught[0].filename == __file__
    assert len(caught) == 1
    assert all(math.isnan(value) for value in found.values())
    assert evaluator.n_images == 0


@pytest.mark.parametrize("mode", MODES)
def test_resetting_forgets_everything(mode: Any) -> None:
    maps, masks = drawn(10)
    evaluator, fresh = Evaluator(mode=mode), Evaluator(mode=mode)
    evaluator.update(maps, masks)
    evaluator.reset()
    for each in (evaluator, fresh):
        each.update(maps[2:], masks[2:])
    same(evaluator.compute(), fresh.compute())


@pytest.mark.parametrize("mode", MODES)
def test_messages_count_the_images_of_all_updates(mode: Any) -> None:
    maps, masks = drawn(11)
    evaluator = Evaluator(mode=mode)
    evaluator.update(maps[:3], masks[:3])
    maps[4] = maps[4] * math.nan
    with pytest.raises(InvalidInput, match="no NaN in the map of image 4"):
        evaluator.update(maps[3:], masks[3:])
    assert evaluator.n_images == 4


def test_masks_may_be_soft() -> None:
    evaluator = Evaluator(mask_threshold=100)
    evaluator.update([[0.0, 1.0]], [[90, 110]])
    evaluator.update([[0.0, 0.5]], None)
    assert evaluator.compute().pixel_auroc == 1.0


def test_exact_counts_for_curves() -> None:
    maps, masks = drawn(12)
    evaluator = Evaluator(threads=1)
    evaluator.update(maps, masks)
    assert evaluator.counts().n_images == 8
    with pytest.raises(InvalidInput, match=r"expected mode 'exact' for exact counts, got 'histogram'; construct"):
        Evaluator(mode="histogram").counts()


def test_modes_are_named() -> None:
    assert [Evaluator().mode, Evaluator(mode="histogram").mode] == MODES
    with pytest.raises(InvalidInput, match=r"expected mode 'exact' or 'histogram', got 'fast'; histogram needs"):
        Evaluator(mode="fast")  # type: ignore[arg-type]


def test_arguments_are_checked_at_once() -> None:
    with pytest.raises(InvalidInput, match="expected max_fpr"):
        Evaluator(30)
    with pytest.raises(InvalidInput, match="expected bins"):
        Evaluator(mode="histogram", bins=1000)
    with pytest.raises(InvalidInput, match="expected at least one thread"):
        Evaluator(threads=0)


def test_only_evaluators_of_one_mode_are_merged() -> None:
    with pytest.raises(InvalidInput, match=r"expected an evaluator of mode 'exact' to merge, got 'histogram'"):
        Evaluator().merge(Evaluator(mode="histogram"))
    with pytest.raises(InvalidType, match=r"expected an Evaluator to merge, got dict; load a state first"):
        Evaluator().merge(Evaluator().state_dict())  # type: ignore[arg-type]


def broken(**changes: Any) -> dict[str, Any]:
    maps, masks = drawn(13)
    evaluator = Evaluator()
    evaluator.update(maps, masks)
    state = evaluator.state_dict()
    for path, value in changes.items():
        *parents, name = path.split("__")
        inner = state
        for parent in parents:
            inner = inner[parent]
        inner[name] = value
    return state


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "histogram"}, "expected the state of an evaluator of mode 'exact'"),
        ({"extra": 1}, "expected the state of an evaluator"),
        ({"labels": [True]}, "expected labels and image_scores of 8 images, got 1 and 8"),
        ({"image_scores": [0.0]}, "expected labels and image_scores of 8 images, got 8 and 1"),
        ({"image_scores": [math.nan] * 8}, "no NaN among the image scores"),
        ({"labels": [2] * 8}, "expected labels 0"),
        ({"pixels__version": 2}, "expected an exact state of version 1"),
        ({"pixels__extra": 2}, "expected an exact state of version 1"),
        ({"pixels__n_regions": 1}, "expected 1 regions whose pixels"),
        ({"pixels__n_regions": "1"}, "expected n_regions as an integer"),
        ({"pixels__defect_sizes": []}, "sizes that do not fit"),
        ({"pixels__defect_sizes": [[0]], "pixels__defect_scores": [[1.0]]}, "sizes that do not fit"),
        ({"pixels__defect_scores": [[math.nan]]}, "no NaN"),
        ({"pixels__maps": [[[math.nan]]]}, "no NaN in the map of image 0 of the state"),
    ],
)
def test_a_broken_state_is_refused_and_changes_nothing(changes: dict[str, Any], message: str) -> None:
    maps, masks = drawn(13)
    evaluator = Evaluator()
    evaluator.update(maps, masks)
    before = evaluator.compute()
    with pytest.raises((InvalidInput, InvalidType), match=message):
        evaluator.load_state_dict(broken(**changes))
    same(evaluator.compute(), before)
