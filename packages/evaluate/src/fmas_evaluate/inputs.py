"""Read score maps and masks of any supported kind, one image at a time, and refuse what would falsify a metric."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fmas_evaluate.errors import InvalidInput, InvalidType
from fmas_evaluate.flagging import checked_mask_threshold
from fmas_evaluate.keys import contains_nan

__all__ = ["Maps", "Masks", "Pair", "as_array", "exact_dtype", "images_of", "pairs", "read_mask", "read_scores"]

_FLOAT32_INTEGERS: Final = 2**24
_FLOAT64_INTEGERS: Final = 2**53
_NOTHING: Final = object()

Maps: TypeAlias = ArrayLike | Iterable[ArrayLike]
"""Score maps: an array or tensor ``(N, H, W)`` or ``(N, 1, H, W)``, or an iterable of ``(H, W)`` of any sizes."""

Masks: TypeAlias = ArrayLike | Iterable[ArrayLike | None]
"""Defect masks in the same forms; ``None`` stands for an image without a defect."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One image that passed every check.

    Attributes:
        name: What messages call it: ``image 3`` (counted from 0) or its file name.
        scores: ``(H, W)`` integer or float16/32/64 in the dtype it came in, no NaN; larger is more anomalous.
        mask: ``(H, W)`` bool, ``True`` marks a defect pixel.
    """

    name: str
    scores: NDArray[np.number[Any]]
    mask: NDArray[np.bool_]


def pairs(
    maps: Maps,
    masks: Masks,
    *,
    mask_threshold: float | None = None,
    names: Iterable[str] | None = None,
) -> Iterator[Pair]:
    """Yield the images one after the other, checked.

    Args:
        maps: Score maps: an array or tensor ``(N, H, W)`` or ``(N, 1, H, W)``, one image ``(H, W)``, or any iterable of
            ``(H, W)`` or ``(1, H, W)`` arrays, whose sizes may differ. Iterators are consumed one image at a time.
        masks: The same number of masks, in the same form. bool, or integers or floats that are all 0 and 1 or all 0
            and 255; ``None`` in place of a mask means: no defect.
        mask_threshold: Accept any other mask, too: values above the threshold mark defect pixels.
        names: What messages call the images; ``image 0``, ``image 1`` … if left out.

    Yields:
        One ``Pair`` per image.

    Raises:
        InvalidInput: Naming the image: NaN, a wrong shape, a mask with other values, numbers of maps and masks that
            differ, no pixel, an integer that float64 cannot hold.
        InvalidType: A dtype that is no integer and no float, or an object that is no array.
    """
    mask_threshold = checked_mask_threshold(mask_threshold)
    all_maps, all_masks = images_of(maps, "maps"), images_of(masks, "masks")
    if isinstance(all_maps, Sized) and isinstance(all_masks, Sized) and len(all_maps) != len(all_masks):
        raise InvalidInput(
            f"expected one mask per map, got {len(all_maps)} maps and {len(all_masks)} masks; pass them in the same "
            "order, with None for an image without a defect"
        )
    remaining_masks, remaining_names = iter(all_masks), None if names is None else iter(names)
    index = -1
    for index, scores in enumerate(all_maps):
        name = f"image {index}" if remaining_names is None else next(remaining_names, f"image {index}")
        mask = next(remaining_masks, _NOTHING)
        if mask is _NOTHING:
            raise InvalidInput(
                f"expected one mask per map, got {index} masks and more maps; pass None for an image without a defect"
            )
        checked = read_scores(scores, name)
        yield Pair(name, checked, read_mask(mask, checked.shape, name, mask_threshold=mask_threshold))
    if next(remaining_masks, _NOTHING) is not _NOTHING:
        raise InvalidInput(
            f"expected one map per mask, got {index + 1} maps and more masks; pass both in the same order"
        )


def read_scores(scores: object, name: str) -> NDArray[np.number[Any]]:
    """Return one score map as a ``(H, W)`` array in its own dtype, or say what is wrong with it."""
    array = _plane(as_array(scores, f"the map of {name}"))
    if array.ndim != 2 or not array.size:
        raise InvalidInput(
            f"expected a score map (H, W) with at least one pixel for {name}, got shape {array.shape}; pass one value "
            "per pixel"
        )
    exact_dtype(array, name)
    if contains_nan(array):
        undefined = int(np.count_nonzero(np.isnan(array)))
        raise InvalidInput(
            f"expected no NaN in the map of {name}, got {undefined} NaN of {array.size} pixels; find out why the "
            "detector returned them, or leave this image out"
        )
    return array


def exact_dtype(scores: NDArray[Any], name: str) -> np.dtype[Any]:
    """Return float32 if it holds every score exactly, else float64.

    Args:
        scores: Scores of any shape.
        name: What a message calls the image.

    Raises:
        InvalidType: If the dtype is no integer and no float of at most 64 bits.
        InvalidInput: If an integer is too large for float64: rounding could tie what is not equal.
    """
    kind, width = scores.dtype.kind, scores.dtype.itemsize
    if kind not in "iuf" or width > 8:
        raise InvalidType(
            f"expected scores of an integer or float dtype of at most 64 bits for {name}, got {scores.dtype}; convert "
            "them first"
        )
    if width <= 2 or (kind == "f" and width == 4):
        return np.dtype(np.float32)
    if kind == "f" or not scores.size:
        return np.dtype(np.float64)
    largest = max(abs(int(scores.min())), abs(int(scores.max())))
    if largest > _FLOAT64_INTEGERS:
        raise InvalidInput(
            f"expected integer scores of at most 2**53 in absolute value for {name}, got {largest}; float64 cannot "
            "tell larger ones apart: pass ranks or subtract an offset"
        )
    return np.dtype(np.float32 if largest <= _FLOAT32_INTEGERS else np.float64)


def read_mask(
    mask: object, shape: tuple[int, ...], name: str, *, mask_threshold: float | None = None
) -> NDArray[np.bool_]:
    """Return one mask as a bool array of the map's shape, or say what is wrong with it."""
    if mask is None:
        return np.zeros(shape, dtype=np.bool_)
    array = _plane(as_array(mask, f"the mask of {name}"))
    if array.shape != shape:
        raise InvalidInput(
            f"expected a mask of the map's shape for {name}, got map {shape} and mask {array.shape}; resize the map "
            "to the mask's size before you evaluate"
        )
    if array.dtype.kind == "b":
        return array
    if array.dtype.kind not in "iuf":
        raise InvalidType(
            f"expected a mask of bool, integers or floats for {name}, got {array.dtype}; pass True for defect pixels"
        )
    if array.dtype.kind == "f" and math.isnan(array.max()):
        raise InvalidInput(f"expected no NaN in the mask of {name}, got NaN; decide which pixels are defects")
    if mask_threshold is not None:
        return np.asarray(array > mask_threshold)
    defect = np.asarray(array != 0)
    peak = array.max()
    two_valued = np.count_nonzero(array == peak) == (np.count_nonzero(defect) if peak else array.size)
    if peak not in (0, 1, 255) or not two_valued:
        raise InvalidInput(
            f"expected a mask of 0 and 1 or of 0 and 255 for {name}, got {_some_values(array)}; an anti-aliased "
            "or labelled mask needs mask_threshold= (--mask-threshold), above which a pixel is a defect (0 keeps the "
            "faintest edge)"
        )
    return defect


def as_array(values: object, what: str) -> NDArray[Any]:
    """Return values as a numpy array without a copy where possible; torch tensors are understood without torch."""
    if isinstance(values, np.ma.MaskedArray):
        raise InvalidType(f"expected a plain array for {what}, got a masked one; fill it or leave the image out")
    if isinstance(values, np.ndarray):
        return values
    if isinstance(values, str | bytes | Mapping) or values is None:
        raise InvalidType(f"expected an array for {what}, got {type(values).__name__}; read the file first")
    if hasattr(values, "detach") and hasattr(values, "cpu"):
        tensor: Any = values.detach().cpu()  # one that tracks gradients or lives on a GPU refuses to become an array
        # numpy has no bfloat16; float32 holds it exactly
        values = tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor
    try:
        if hasattr(values, "__dlpack__") and not hasattr(values, "__array__"):
            shared: NDArray[Any] = np.from_dlpack(values)  # asarray would wrap the object itself
            return shared
        return np.asarray(values)
    except (TypeError, ValueError, RuntimeError, BufferError) as problem:
        raise InvalidType(
            f"expected an array for {what}, got {type(values).__name__} ({problem}); convert it to numpy first"
        ) from problem


def images_of(values: object, what: str) -> Iterable[Any]:
    """Return something to iterate over, one image at a time."""
    if isinstance(values, str | bytes | Mapping) or values is None:
        raise InvalidType(f"expected {what} as arrays, got {type(values).__name__}; read the files first")
    if not isinstance(values, np.ndarray) and not hasattr(values, "__array__") and not hasattr(values, "__dlpack__"):
        if not isinstance(values, Iterable):
            raise InvalidType(
                f"expected {what} as an array or an iterable of arrays, got {type(values).__name__}; pass (N, H, W)"
            )
        if not _is_nested_image(values):
            return values
    array = as_array(values, what)
    if array.ndim == 2:
        return array[np.newaxis]
    if array.ndim == 3 or (array.ndim == 4 and array.shape[1] == 1):
        return array
    raise InvalidInput(f"expected {what} of shape (N, H, W) or (N, 1, H, W), got {array.shape}; drop the other axes")


def _is_nested_image(values: Iterable[Any]) -> bool:
    """Say whether values are one image as Python lists: rows of numbers."""
    first = values[0] if isinstance(values, list | tuple) and values else None
    return isinstance(first, list | tuple) and bool(first) and isinstance(first[0], int | float)


def _plane(array: NDArray[Any]) -> NDArray[Any]:
    """Return ``(1, H, W)`` as ``(H, W)`` and anything else as it is."""
    return array[0] if array.ndim == 3 and array.shape[0] == 1 else array


def _some_values(array: NDArray[Any]) -> str:
    """Show a few distinct values of a mask."""
    values = np.unique(array)
    shown = ", ".join(str(value) for value in values[:5])
    return f"values {shown}, …, {values[-1]} ({values.size} distinct)" if values.size > 5 else f"values {shown}"
