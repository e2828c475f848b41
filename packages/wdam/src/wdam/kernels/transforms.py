"""The wavelet transforms on CUDA, as functions of tensors; see ``csrc/haar.cu`` and ``csrc/filterbank.cu``.

Filters are in correlation order: PyWavelets' decomposition filters reversed, its reconstruction filters as they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import TypeAlias

import torch
from torch import Tensor

from wdam.kernels import device as gpu
from wdam.kernels.compile import Kernel
from wdam.kernels.layout import MAX_THREADS, SUBBANDS, VECTOR_BYTES, accumulator, ceil_div, cpp_name, vector_width

__all__ = ["MODES", "Bands", "dwt2", "idwt2", "is_haar", "subband_size"]

Bands: TypeAlias = tuple[Tensor, Tensor, Tensor, Tensor]  # LL, LH, HL, HH
Sizes: TypeAlias = tuple[int, int, int, int]  # outer, size, count and inner of filterbank.cu

MODES = {"zero": 0, "symmetric": 1, "reflect": 2, "periodic": 3, "periodization": 4}  # as in wdam_common.cuh


def is_haar(low: Sequence[float], high: Sequence[float]) -> bool:
    """Tell whether filters in correlation order are the Haar wavelet's, for either direction."""
    half = math.sqrt(0.5)
    taps = (*low, *high)
    return len(taps) == SUBBANDS and all(
        math.isclose(tap, want, rel_tol=1e-14) for tap, want in zip(taps, (half, half, half, -half), strict=True)
    )


def subband_size(size: int, length: int, mode: str) -> int:
    """Return how many numbers a sub-band has along an axis, as PyWavelets counts.

    Args:
        size: Of the signal, at least 1.
        length: Taps of a filter.
        mode: A key of :data:`MODES`.
    """
    return (size + 1) // 2 if mode == "periodization" else (size + length - 1) // 2


def dwt2(x: Tensor, low: Sequence[float], high: Sequence[float], mode: str) -> Bands:
    """Transform the last two axes.

    Args:
        x: ``(..., H, W)``, ``H, W >= 1``.
        low: Low-pass filter in correlation order.
        high: High-pass filter, as long.
        mode: What lies behind the edges: a key of :data:`MODES`.

    Returns:
        LL, LH, HL and HH, each ``(..., h, w)`` in the dtype of ``x`` and in memory of its own; sizes as in
        :func:`subband_size`.
    """
    *lead, height, width = x.shape
    rows, columns = (subband_size(size, len(low), mode) for size in (height, width))
    ll, lh, hl, hh = bands = _rooms((*lead, rows, columns), x.dtype, x.device)
    if ll.numel() == 0:
        return bands
    x, planes = x.contiguous(), math.prod(lead)
    if is_haar(low, high):
        vector = _haar_vector(bands, x)
        kernel = Kernel("haar.cu", f"wdam::haar_analysis<{cpp_name(x.dtype)}, {vector}>")
        addresses = (tensor.data_ptr() for tensor in (x, *bands))
        arguments = (*addresses, planes, height, width, MODES[mode])
        units = planes * rows * (columns // vector)
        gpu.run(kernel, ceil_div(units, MAX_THREADS), MAX_THREADS, arguments, x.device)
        return bands
    taps = _taps(tuple(low), tuple(high), accumulator(x.dtype), x.device)
    half = torch.empty((2, *lead, height, columns), dtype=taps.dtype, device=x.device)
    _analyse(x, half[0], half[1], taps, mode, (planes * height, width, columns, 1))
    _analyse(half[0], ll, lh, taps, mode, (planes, height, rows, columns))
    _analyse(half[1], hl, hh, taps, mode, (planes, height, rows, columns))
    return bands


def idwt2(  # noqa: PLR0917 - as the operator's schema
    bands: Bands, low: Sequence[float], high: Sequence[float], mode: str, height: int, width: int
) -> Tensor:
    """Return the transpose of :func:`dwt2` with the same filters and mode.

    With reconstruction filters and mode ``zero`` (or ``periodization``) that is the inverse transform.

    Args:
        bands: LL, LH, HL and HH, each ``(..., h, w)`` wherever it lies; only one that is not contiguous is copied.
        low: Low-pass filter in correlation order.
        high: High-pass filter, as long.
        mode: A key of :data:`MODES`.
        height: ``H`` of the result; ``subband_size(H, ...)`` is ``h``.
        width: ``W`` of the result.

    Returns:
        ``(..., H, W)`` in the dtype of the sub-bands.
    """
    *lead, rows, columns = bands[0].shape
    x = torch.empty((*lead, height, width), dtype=bands[0].dtype, device=bands[0].device)
    if x.numel() == 0:
        return x
    ll, lh, hl, hh = (band.contiguous() for band in bands)
    bands, planes = (ll, lh, hl, hh), math.prod(lead)
    if is_haar(low, high):
        if mode != "zero" and (height % 2 or width % 2):
            return _fold(idwt2(bands, low, high, "zero", 2 * rows, 2 * columns), height, width, mode)
        vector = _haar_vector(bands, x)
        kernel = Kernel("haar.cu", f"wdam::haar_synthesis<{cpp_name(x.dtype)}, {vector}>")
        arguments = (*(tensor.data_ptr() for tensor in (*bands, x)), planes, height, width)
        units = planes * rows * (columns // vector)
        gpu.run(kernel, ceil_div(units, MAX_THREADS), MAX_THREADS, arguments, x.device)
        return x
    taps = _taps(tuple(low), tuple(high), accumulator(x.dtype), x.device)
    half = torch.empty((2, *lead, height, columns), dtype=taps.dtype, device=x.device)
    _synthesise(ll, lh, half[0], taps, mode, (planes, height, rows, columns))
    _synthesise(hl, hh, half[1], taps, mode, (planes, height, rows, columns))
    _synthesise(half[0], half[1], x, taps, mode, (planes * height, width, columns, 1))
    return x


def _analyse(x: Tensor, low: Tensor, high: Tensor, taps: Tensor, mode: str, sizes: Sizes) -> None:  # noqa: PLR0917
    """Filter one axis; ``sizes`` are outer, size, count and inner of filterbank.cu."""
    kernel = Kernel("filterbank.cu", f"wdam::filterbank_analysis<{cpp_name(x.dtype)}, {cpp_name(low.dtype)}>")
    outer, _, count, inner = sizes
    _launch(kernel, (x, low, high, taps), taps, mode, sizes, outer * count * inner)


def _synthesise(  # noqa: PLR0917
    low: Tensor, high: Tensor, x: Tensor, taps: Tensor, mode: str, sizes: Sizes
) -> None:
    kernel = Kernel("filterbank.cu", f"wdam::filterbank_synthesis<{cpp_name(low.dtype)}, {cpp_name(x.dtype)}>")
    outer, size, _, inner = sizes
    _launch(kernel, (low, high, x, taps), taps, mode, sizes, outer * size * inner)


def _launch(  # noqa: PLR0917
    kernel: Kernel, tensors: tuple[Tensor, ...], taps: Tensor, mode: str, sizes: Sizes, results: int
) -> None:
    length = taps.shape[1]
    offset = 1 - length // 2 if mode == "periodization" else 2 - length
    addresses = (tensor.data_ptr() for tensor in tensors)
    arguments = (*addresses, length, offset, MODES[mode], *sizes)
    gpu.run(kernel, ceil_div(results, MAX_THREADS), MAX_THREADS, arguments, taps.device)


@cache
def _taps(low: tuple[float, ...], high: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return both filters on the device, ``(2, L)``, copied there by the first call.

    Kept for good, some hundred bytes for each wavelet: were their memory given back, a kernel on another stream or a
    captured graph might still read it.
    """
    with torch.inference_mode(False):
        return torch.tensor((low, high), dtype=dtype, device=device)


def _copied(size: int, mode: str) -> int:
    """Return which number stands at place ``size``; periodization repeats the last one as symmetric does."""
    return {"reflect": max(size - 2, 0), "periodic": 0}.get(mode, size - 1)


def _rooms(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Bands:
    ll, lh, hl, hh = (torch.empty(shape, dtype=dtype, device=device) for _ in range(SUBBANDS))
    return ll, lh, hl, hh


def _haar_vector(bands: Bands, x: Tensor) -> int:
    """Return how many numbers of each sub-band a thread handles; of ``x`` it moves twice as many."""
    if x.shape[-1] % 2:
        return 1
    width = vector_width(bands[0].shape[-1], *bands)
    while width > 1 and x.data_ptr() % min(VECTOR_BYTES, 2 * width * x.element_size()):
        width //= 2
    return width


def _fold(full: Tensor, height: int, width: int, mode: str) -> Tensor:
    """Crop ``(..., 2h, 2w)`` to ``(..., H, W)``, adding a row or column that was a copy to what it was a copy of."""
    if width % 2:
        full[..., _copied(width, mode)] += full[..., width]
    if height % 2:
        full[..., _copied(height, mode), :] += full[..., height, :]
    return full[..., :height, :width].contiguous()
