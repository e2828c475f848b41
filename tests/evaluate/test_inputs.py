from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from fmas_evaluate.errors import EvaluateError, InvalidInput, InvalidType
from fmas_evaluate.inputs import exact_dtype, pairs

MAPS = np.arange(24.0).reshape(2, 3, 4)
MASKS = np.zeros((2, 3, 4), dtype=bool)
MASKS[1, 0, :2] = True


def listed(maps: Any, masks: Any, **options: Any) -> list[Any]:
    return list(pairs(maps, masks, **options))


def same(found: list[Any], maps: Any = MAPS, masks: Any = MASKS) -> None:
    assert len(found) == len(maps)
    for pair, scores, mask in zip(found, maps, masks, strict=True):
        assert pair.scores.ndim == pair.mask.ndim == 2
        assert np.array_equal(pair.scores, scores)
        assert pair.mask.dtype == bool
        assert np.array_equal(pair.mask, mask)


class Lazy:
    """A tensor of another library: no ``__array__``, only DLPack."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array

    def __dlpack__(self, **options: Any) -> Any:
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self._array.__dlpack_device__()


class TestForms:
    def test_arrays(self) -> None:
        same(listed(MAPS, MASKS))

    def test_a_channel_axis_of_one(self) -> None:
        same(listed(MAPS[:, None], MASKS))
        same(listed(MAPS, MASKS[:, None]))
        same(listed([scores[None] for scores in MAPS], list(MASKS)))

    def test_lists_tuples_and_iterators(self) -> None:
        same(listed(list(MAPS), tuple(MASKS)))
        same(listed(iter(MAPS), (mask for mask in MASKS)))
        same(listed(MAPS.tolist(), MASKS.tolist()))

    def test_one_image(self) -> None:
        same(listed(MAPS[0], MASKS[0]), MAPS[:1], MASKS[:1])
        same(listed(MAPS[0].tolist(), MASKS[0].tolist()), MAPS[:1], MASKS[:1])

    def test_ragged_sizes(self) -> None:
        maps, masks = [np.ones((2, 3)), np.ones((5, 1))], [np.zeros((2, 3), bool), np.ones((5, 1), bool)]
        same(listed(maps, masks), maps, masks)

    def test_none_is_a_mask_without_a_defect(self) -> None:
        same(listed(list(MAPS), [None, MASKS[1]]))

    def test_dlpack_alone_is_enough(self) -> None:
        same(listed(Lazy(MAPS), [Lazy(mask.astype(np.uint8)) for mask in MASKS]))

    def test_torch_tensors(self) -> None:
        torch = pytest.importorskip("torch")
        maps, masks = torch.tensor(MAPS, requires_grad=True), torch.tensor(MASKS)
        same(listed(maps, masks))
        same(listed(maps[:, None], masks[:, None]))
        same(listed(list(maps), list(masks)))
        found = listed(maps.bfloat16(), masks)
        same(found)
        assert found[0].scores.dtype == np.float32

    def test_iterators_are_read_one_at_a_time(self) -> None:
        read = []

        def maps() -> Any:
            for index, scores in enumerate(MAPS):
                read.append(index)
                yield scores

        found = pairs(maps(), iter(MASKS))
        next(found)
        assert read == [0]

    def test_arrays_are_not_copied(self) -> None:
        assert np.shares_memory(next(pairs(MAPS, MASKS)).scores, MAPS)

    def test_scores_keep_their_dtype(self) -> None:
        for dtype in (np.uint8, np.int32, np.float16, np.float32, np.float64):
            assert listed(MAPS.astype(dtype), MASKS)[0].scores.dtype == dtype

    def test_infinite_scores_are_legal(self) -> None:
        maps = MAPS.copy()
        maps[0, 0, :2] = math.inf, -math.inf
        same(listed(maps, MASKS), maps)

    def test_names(self) -> None:
        assert [pair.name for pair in pairs(MAPS, MASKS)] == ["image 0", "image 1"]
        assert [pair.name for pair in pairs(MAPS, MASKS, names=["a.tiff", "b.tiff"])] == ["a.tiff", "b.tiff"]
        assert [pair.name for pair in pairs(MAPS, MASKS, names=["a.tiff"])] == ["a.tiff", "image 1"]


class TestMasks:
    @pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.uint16, np.float16, np.float32, np.float64])
    @pytest.mark.parametrize("on", [1, 255])
    def test_two_values(self, dtype: Any, on: int) -> None:
        same(listed(MAPS, MASKS.astype(dtype) * dtype(on)))

    def test_a_full_mask(self) -> None:
        full = np.ones_like(MASKS)
        for on in (True, 1, 255.0):
            same(listed(MAPS, full * on), masks=full)

    @pytest.mark.parametrize("values", [[0, 128, 255], [0, 1, 255], [0, 2], [-1, 0], [0, 1, 2], [7, 7]])
    def test_other_values_are_refused(self, values: list[int]) -> None:
        masks = np.zeros(MAPS.shape, np.int16)
        masks[1].flat[:] = np.resize(values, masks[1].size)
        with pytest.raises(InvalidInput, match=r"expected a mask of 0 and 1 or of 0 and 255 for image 1, got .*needs"):
            listed(MAPS, masks)

    def test_anti_aliased_masks_are_refused_and_name_their_values(self) -> None:
        masks = np.linspace(0, 255, MAPS.size).reshape(MAPS.shape).astype(np.uint8)
        with pytest.raises(InvalidInput, match=r"image 0, got values 0, 11, 22, 33, 44, …, 121 \(12 distinct\)"):
            listed(MAPS, masks)

    def test_unless_a_threshold_is_given(self) -> None:
        masks = np.linspace(0, 255, MAPS.size).reshape(MAPS.shape)
        same(listed(MAPS, masks, mask_threshold=127), masks=masks > 127)
        same(listed(MAPS, MASKS, mask_threshold=127))

    def test_a_pixel_at_the_threshold_is_normal(self) -> None:
        same(listed(MAPS, MASKS * 127, mask_threshold=127), masks=np.zeros_like(MASKS))

    @pytest.mark.parametrize("threshold", [math.nan, math.inf])
    def test_the_threshold_is_finite(self, threshold: float) -> None:
        with pytest.raises(InvalidInput, match=r"expected a finite mask_threshold, got .*; pass a value"):
            listed(MAPS, MASKS, mask_threshold=threshold)

    @pytest.mark.parametrize("options", [{}, {"mask_threshold": 0.5}])
    def test_nan_is_refused(self, options: dict[str, float]) -> None:
        masks = MASKS.astype(np.float32)
        masks[1, 2, 2] = math.nan
        with pytest.raises(InvalidInput, match=r"expected no NaN in the mask of image 1, got NaN; decide"):
            listed(MAPS, masks, **options)

    def test_text_is_refused(self) -> None:
        with pytest.raises(InvalidType, match=r"expected a mask of bool, integers or floats for image 0, got <U1"):
            listed(MAPS, np.full(MAPS.shape, "x"))

    def test_both_shapes_are_named(self) -> None:
        with pytest.raises(InvalidInput, match=r"image 1, got map \(3, 4\) and mask \(4, 3\); resize"):
            listed(list(MAPS), [MASKS[0], MASKS[1].T])


class TestScores:
    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
    @pytest.mark.parametrize("place", [0, 5, 11])
    def test_nan_names_the_image(self, dtype: Any, place: int) -> None:
        maps = MAPS.astype(dtype)
        maps[1].flat[place] = math.nan
        with pytest.raises(InvalidInput, match=r"no NaN in the map of image 1, got 1 NaN of 12 pixels; find out why"):
            listed(maps, MASKS)

    @pytest.mark.parametrize(
        "scores", [MAPS > 0, MAPS + 1j, MAPS.astype(str), MAPS.astype(object), MAPS.astype(np.longdouble)]
    )
    def test_other_dtypes_are_refused(self, scores: np.ndarray) -> None:
        with pytest.raises(InvalidType, match=r"expected scores of an integer or float dtype .* for image 0, got"):
            listed(scores, MASKS)

    @pytest.mark.parametrize("scores", [np.zeros(5), np.zeros((2, 3, 4)), np.zeros((0, 4)), np.float64(1)])
    def test_an_image_has_rows_and_columns(self, scores: Any) -> None:
        with pytest.raises(InvalidInput, match=r"score map \(H, W\) with at least one pixel for image 0, got shape"):
            listed([scores], [None])

    def test_exact_dtypes(self) -> None:
        def dtype_of(values: Any, dtype: Any) -> np.dtype[Any]:
            return exact_dtype(np.array(values, dtype), "image 0")

        for dtype in (np.int8, np.uint8, np.int16, np.uint16, np.float16, np.float32):
            assert dtype_of([0, 1], dtype) == np.float32
        for dtype in (np.int32, np.uint32, np.int64, np.uint64):
            assert dtype_of([2**24], dtype) == np.float32
            assert dtype_of([2**24 + 1], dtype) == np.float64
        assert dtype_of([-(2**24) - 1], np.int32) == np.float64
        assert dtype_of([-(2**53)], np.int64) == np.float64
        assert dtype_of([0.5], np.float64) == np.float64

    @pytest.mark.parametrize("value", [2**53 + 1, -(2**53) - 1, -(2**63)])
    def test_integers_that_float64_cannot_tell_apart_are_refused(self, value: int) -> None:
        with pytest.raises(InvalidInput, match=r"at most 2\*\*53 in absolute value for image 0, got .*: pass ranks"):
            listed([np.array([[value]])], [None])


class TestNumbers:
    @pytest.mark.parametrize(("maps", "masks"), [(MAPS, MASKS[:1]), (list(MAPS[:1]), list(MASKS))])
    def test_both_numbers_are_named_at_once(self, maps: Any, masks: Any) -> None:
        with pytest.raises(InvalidInput, match=rf"got {len(maps)} maps and {len(masks)} masks; pass them"):
            listed(maps, masks)

    def test_an_iterator_of_masks_that_ends_early(self) -> None:
        with pytest.raises(InvalidInput, match=r"expected one mask per map, got 1 masks and more maps; pass None"):
            listed(MAPS, iter(MASKS[:1]))

    def test_an_iterator_of_maps_that_ends_early(self) -> None:
        with pytest.raises(InvalidInput, match=r"expected one map per mask, got 1 maps and more masks; pass both"):
            listed(iter(MAPS[:1]), MASKS)

    def test_no_image_at_all(self) -> None:
        assert listed([], []) == []


class TestObjects:
    @pytest.mark.parametrize("maps", ["maps/", b"maps", {"a": MAPS}, None])
    def test_paths_and_mappings_are_refused(self, maps: Any) -> None:
        with pytest.raises(InvalidType, match=r"expected maps as arrays, got .*; read the files first"):
            listed(maps, MASKS)

    def test_a_number_is_no_collection_of_maps(self) -> None:
        with pytest.raises(InvalidType, match=r"expected maps as an array or an iterable of arrays, got int; pass"):
            listed(3, MASKS)

    @pytest.mark.parametrize("element", ["a.tiff", {"map": 1}])
    def test_an_element_has_to_be_an_array(self, element: Any) -> None:
        with pytest.raises(InvalidType, match=r"expected an array for the map of image 0, got .*; read the file first"):
            listed([element], [None])

    def test_a_map_is_never_none(self) -> None:
        with pytest.raises(InvalidType, match=r"expected an array for the map of image 0, got NoneType"):
            listed([None], [None])

    def test_ragged_rows(self) -> None:
        with pytest.raises(InvalidType, match=r"expected an array for the map of image 0, got list .*; convert it"):
            listed([[[1.0, 2.0], [3.0]]], [None])

    def test_masked_arrays_are_refused(self) -> None:
        with pytest.raises(InvalidType, match=r"expected a plain array for .*, got a masked one; fill it"):
            listed([np.ma.masked_array(MAPS[0], MASKS[0])], [None])

    @pytest.mark.parametrize("shape", [(5,), (2, 3, 4, 5), (1, 1, 2, 3, 4)])
    def test_other_axes_are_refused(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(InvalidInput, match=r"expected maps of shape \(N, H, W\) or \(N, 1, H, W\), got .*; drop"):
            listed(np.zeros(shape), MASKS)

    def test_errors_are_ours_and_the_builtin_ones(self) -> None:
        assert issubclass(InvalidInput, EvaluateError) and issubclass(InvalidInput, ValueError)
        assert issubclass(InvalidType, EvaluateError) and issubclass(InvalidType, TypeError)
