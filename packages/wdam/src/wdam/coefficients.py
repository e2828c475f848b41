"""Check what is transformed and reconstructed, fill in what is left out and cut what odd sizes gained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias, TypeGuard

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from wdam.blocks import is_left_open, is_traced
from wdam.errors import DtypeError, OptionError, ShapeError
from wdam.wavelets import FilterBank, Mode

__all__ = ["HALF_TYPES", "check_tensor", "complete_bands", "crop", "describe", "drop_gained", "is_sequence"]

Bands: TypeAlias = tuple[Tensor, Tensor, Tensor, Tensor]

HALF_TYPES = (torch.float16, torch.bfloat16)
DTYPES = (torch.float64, torch.float32, *HALF_TYPES)


def is_sequence(value: object) -> TypeGuard[Sequence[Any]]:
    """Return whether ``value`` can be a list of coefficients."""
    return isinstance(value, Sequence) and not isinstance(value, str)


def describe(value: object) -> str:
    """Return the kind and length of a value that is not built as it should be."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"a {type(value).__name__} of {len(value)}"
    return type(value).__name__


def check_tensor(x: object, name: str) -> Tensor:
    """Return ``x`` if it can be transformed.

    Args:
        x: What the caller passed.
        name: What the message calls it.

    Raises:
        DtypeError: If it is no tensor of float64, float32, float16 or bfloat16.
        ShapeError: If it has fewer than two axes, or no pixels in the last two; empty leading axes are fine.
    """
    if not isinstance(x, Tensor):
        raise DtypeError(f"expected {name} as a torch.Tensor, got {type(x).__name__}; convert it with torch.as_tensor")
    if x.dtype not in DTYPES:
        how = "transform x.real and x.imag apart" if x.is_complex() else "convert it with .float()"
        raise DtypeError(f"expected {name} of float64, float32, float16 or bfloat16, got {x.dtype}; {how}")
    if x.ndim < 2 or 0 in x.shape[-2:]:
        raise ShapeError(
            f"expected {name} of shape (..., H, W) with H, W >= 1, got {tuple(x.shape)}; "
            f"the last two axes are the image and must hold pixels"
        )
    return x


def complete_bands(approximation: object, details: object, bank: FilterBank, mode: Mode) -> Bands:
    """Check the coefficients of one level and put zeros where there are none.

    Args:
        approximation: ``cA`` or ``None``.
        details: ``(cH, cV, cD)``, each of which may be ``None``.
        bank: The filters, which say how short coefficients may be.
        mode: The mode of the decomposition.

    Raises:
        DtypeError: If a coefficient is no floating-point tensor, or dtypes or devices differ.
        OptionError: If ``details`` are not three, or all four are ``None``.
        ShapeError: If shapes differ or are too small for the wavelet.
    """
    if not isinstance(details, Sequence) or len(details) != 3:
        raise OptionError(f"expected details as (cH, cV, cD), got {describe(details)}; pass None for each that is zero")
    bands = dict(zip(("cA", "cH", "cV", "cD"), (approximation, *details), strict=True))
    given = {name: check_tensor(band, name) for name, band in bands.items() if band is not None}
    if not given:
        raise OptionError(
            "expected at least one coefficient of a level, got None for all; pass zeros of the size meant"
        )
    first = next(iter(given.values()))
    for name, band in given.items():
        _check_alike(name, band, first)
    shortest = 1 if mode == "periodization" else bank.length // 2
    if first.shape[-2] < shortest or first.shape[-1] < shortest:
        raise ShapeError(
            f"expected coefficients of at least {shortest} x {shortest} for {bank.name!r} in mode {mode}, got "
            f"{tuple(first.shape)}; pass the wavelet and the mode of the decomposition"
        )
    ll, lh, hl, hh = (given[name] if name in given else torch.zeros_like(first) for name in bands)
    return ll, lh, hl, hh


def _check_alike(name: str, band: Tensor, first: Tensor) -> None:
    if band.shape != first.shape:
        raise ShapeError(
            f"expected the coefficients of a level to have one shape, got {tuple(first.shape)} and {tuple(band.shape)} "
            f"for {name}; pass those of one dwt2"
        )
    if band.dtype != first.dtype or band.device != first.device:
        raise DtypeError(
            f"expected the coefficients of a level to have one dtype and device, got {first.dtype} on {first.device} "
            f"and {band.dtype} on {band.device} for {name}; convert them with .to()"
        )


def drop_gained(approximation: object, details: object) -> object:
    """Cut the row and the column that the approximation may have more than the details of its level."""
    if not isinstance(approximation, Tensor) or not isinstance(details, Sequence):
        return approximation  # nothing to cut, or refused in a moment
    for detail in details:
        if isinstance(detail, Tensor) and min(detail.ndim, approximation.ndim) >= 2:
            height, width = detail.shape[-2:]
            if is_left_open(height, width):
                return _cut(approximation, height, width)  # whether it fits cannot be known yet
            if 0 <= approximation.shape[-2] - height <= 1 and 0 <= approximation.shape[-1] - width <= 1:
                return _cut(approximation, height, width)
    return approximation


def crop(x: Tensor, shape: tuple[int, int] | None) -> Tensor:
    """Cut the sample that an odd size gained.

    Args:
        x: ``(..., H, W)``, a reconstruction.
        shape: ``(H, W)`` of what was decomposed, or ``None`` to leave ``x`` as it is.

    Raises:
        DtypeError: If ``shape`` is not two integers.
        ShapeError: If ``shape`` is not within one sample of the reconstruction.
    """
    if shape is None:
        return x
    if not is_traced():  # a tracer's numbers are tensors
        _check_shape(shape)
    height, width = shape
    if is_left_open(height, width, *x.shape[-2:]):
        return _cut(x, height, width)  # not to be known yet
    if not (x.shape[-2] - 1 <= height <= x.shape[-2] and x.shape[-1] - 1 <= width <= x.shape[-1]):
        raise ShapeError(
            f"expected shape within one of the reconstructed {tuple(x.shape[-2:])}, got {tuple(shape)}; "
            f"pass x.shape[-2:] of what was decomposed"
        )
    return _cut(x, height, width)


def _check_shape(shape: object) -> None:
    if not is_sequence(shape) or len(shape) != 2 or not all(isinstance(size, int | torch.SymInt) for size in shape):
        raise DtypeError(f"expected shape as two integers (H, W), got {shape!r}; pass x.shape[-2:]")


def _cut(x: Tensor, height: int, width: int) -> Tensor:
    """Return the first rows and columns of ``x``."""
    if is_left_open(height, width, *x.shape[-2:]):  # neither a view nor a pad can be proved to fit every size
        row, column = torch.arange(height, device=x.device), torch.arange(width, device=x.device)
        return x.index_select(-2, row).index_select(-1, column)
    if is_traced():  # a negative pad, unlike a view, gives one graph for odd and even sizes
        return F.pad(x, (0, width - x.shape[-1], 0, height - x.shape[-2]))
    return x[..., :height, :width]
