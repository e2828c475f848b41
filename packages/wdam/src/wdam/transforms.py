"""PyWavelets' two-dimensional transforms for tensors: same names, argument order and return values, differentiable.

They run on any device, keep the dtype and take float16 and bfloat16 through float32 with one rounding at the end, also
under autocast. Values and shapes are PyWavelets'. The last two axes are transformed; ``x.movedim`` brings others there.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TypeAlias

from torch import Tensor

from wdam.backends import is_exporting, kernel_obstacle
from wdam.blocks import is_pushed_forward, is_traced
from wdam.coefficients import HALF_TYPES, check_tensor, complete_bands, crop, describe, drop_gained, is_sequence
from wdam.convolution import filter_merge, filter_split
from wdam.errors import DtypeError, OptionError
from wdam.haar import haar_merge, haar_split
from wdam.wavelets import FilterBank, Mode, WaveletLike, filter_bank, max_level, resolve_mode

__all__ = ["dwt2", "idwt2", "wavedec2", "waverec2"]

Bands: TypeAlias = tuple[Tensor, Tensor, Tensor, Tensor]
Details: TypeAlias = tuple[Tensor, Tensor, Tensor]
OptionalDetails: TypeAlias = Sequence[Tensor | None]


def dwt2(x: Tensor, wavelet: WaveletLike = "haar", mode: str = "symmetric") -> tuple[Tensor, Details]:
    """Decompose the last two axes once, as ``pywt.dwt2`` does.

    Args:
        x: ``(..., H, W)`` of float64, float32, float16 or bfloat16; ``H, W >= 1``, in any layout.
        wavelet: Any discrete wavelet: a name from ``pywt.wavelist(kind="discrete")``, a ``pywt.Wavelet`` or four
            filters ``(dec_lo, dec_hi, rec_lo, rec_hi)``.
        mode: What stands beyond the borders: ``zero``, ``symmetric``, ``reflect``, ``periodic`` or ``periodization``.
            With ``reflect`` a single sample repeats itself, where PyWavelets refuses.

    Returns:
        ``(cA, (cH, cV, cD))``: approximation, and horizontal, vertical and diagonal details; dtype of ``x``. With a
        filter of ``L`` taps a size ``n`` becomes ``(n + L - 1) // 2``, with ``periodization`` ``ceil(n / 2)``.

    Raises:
        DtypeError: If ``x`` is no tensor of these dtypes.
        ShapeError: If ``x`` has fewer than two axes or no pixels.
        WaveletError: If there is no such wavelet or mode.

    Examples:
        >>> import torch
        >>> approximation, (horizontal, vertical, diagonal) = dwt2(torch.tensor([[1.0, 2.0], [3.0, 6.0]]), "haar")
        >>> approximation.item(), horizontal.item(), vertical.item(), diagonal.item()
        (6.0, -3.0, -2.0, 1.0)
    """
    bank, full_mode = filter_bank(wavelet), resolve_mode(mode)
    check_tensor(x, "x")
    ll, lh, hl, hh = _analysis(x, bank, full_mode)
    return ll, (lh, hl, hh)


def idwt2(
    coeffs: tuple[Tensor | None, OptionalDetails],
    wavelet: WaveletLike = "haar",
    mode: str = "symmetric",
    *,
    shape: tuple[int, int] | None = None,
) -> Tensor:
    """Undo :func:`dwt2`, as ``pywt.idwt2`` does.

    Args:
        coeffs: ``(cA, (cH, cV, cD))``, each ``(..., h, w)`` of one shape, dtype and device. ``None`` stands for zeros;
            at least one must be a tensor.
        wavelet: The wavelet of the decomposition.
        mode: The mode of the decomposition.
        shape: ``(H, W)`` of what was decomposed. PyWavelets cannot know whether a size was odd and returns one sample
            more then; with ``shape`` the result is cropped.

    Returns:
        ``(..., 2h - L + 2, 2w - L + 2)`` for a filter of ``L`` taps, ``(..., 2h, 2w)`` with ``periodization``, or
        ``(..., *shape)``; dtype of the coefficients.

    Raises:
        DtypeError: If a coefficient is no floating-point tensor, or dtypes or devices differ.
        OptionError: If ``coeffs`` is not built like that, or holds no tensor.
        ShapeError: If shapes differ, are too small for the wavelet, or ``shape`` cannot have been the input's.
        WaveletError: If there is no such wavelet or mode.

    Examples:
        >>> import torch
        >>> x = torch.rand(3, 15, 17)
        >>> idwt2(dwt2(x, "db2"), "db2").shape, idwt2(dwt2(x, "db2"), "db2", shape=(15, 17)).shape
        (torch.Size([3, 16, 18]), torch.Size([3, 15, 17]))
    """
    bank, full_mode = filter_bank(wavelet), resolve_mode(mode)
    if not is_sequence(coeffs) or len(coeffs) != 2:
        raise OptionError(
            f"expected coeffs as (cA, (cH, cV, cD)), got {describe(coeffs)}; "
            f"pass what dwt2 returns, with None for zeros"
        )
    bands = complete_bands(coeffs[0], coeffs[1], bank, full_mode)
    return crop(_synthesis(bands, bank, full_mode), shape)


def wavedec2(
    x: Tensor, wavelet: WaveletLike = "haar", mode: str = "symmetric", level: int | None = None
) -> list[Tensor | Details]:
    """Decompose the last two axes again and again, as ``pywt.wavedec2`` does.

    Args:
        x: As for :func:`dwt2`.
        wavelet: As for :func:`dwt2`.
        mode: As for :func:`dwt2`.
        level: How often, at least 0. By default as often as ``pywt.dwt_max_level`` allows for the smaller size; more
            often works too but warns, because every coefficient then depends on the borders.

    Returns:
        ``[cA_n, (cH_n, cV_n, cD_n), ..., (cH_1, cV_1, cD_1)]``, coarsest first.

    Raises:
        DtypeError: As for :func:`dwt2`, or if ``level`` is not an integer.
        OptionError: If ``level`` is negative.
        ShapeError: As for :func:`dwt2`.
        WaveletError: As for :func:`dwt2`.

    Examples:
        >>> import torch
        >>> [approximation, coarse, fine] = wavedec2(torch.rand(3, 20, 20), "db2", level=2)
        >>> approximation.shape, coarse[0].shape, fine[0].shape
        (torch.Size([3, 7, 7]), torch.Size([3, 7, 7]), torch.Size([3, 11, 11]))
    """
    bank, full_mode = filter_bank(wavelet), resolve_mode(mode)
    check_tensor(x, "x")
    approximation, details = x, []
    for _ in range(_check_level(level, x, bank)):
        approximation, *bands = _analysis(approximation, bank, full_mode)
        details.append((bands[0], bands[1], bands[2]))
    return [approximation, *reversed(details)]


def waverec2(
    coeffs: Sequence[Tensor | OptionalDetails | None],
    wavelet: WaveletLike = "haar",
    mode: str = "symmetric",
    *,
    shape: tuple[int, int] | None = None,
) -> Tensor:
    """Undo :func:`wavedec2`, as ``pywt.waverec2`` does.

    Args:
        coeffs: ``[cA_n, (cH_n, cV_n, cD_n), ..., (cH_1, cV_1, cD_1)]``. Within a level ``None`` stands for zeros. An
            approximation that is one row or column larger than the details of its level loses it: so the samples that
            odd sizes gained disappear.
        wavelet: The wavelet of the decomposition.
        mode: The mode of the decomposition.
        shape: ``(H, W)`` of what was decomposed, to crop the sample that an odd size gains on the finest level.

    Returns:
        ``(..., H, W)``, one larger where the size was odd unless ``shape`` is given; dtype of the coefficients.

    Raises:
        DtypeError: As for :func:`idwt2`.
        OptionError: If ``coeffs`` is not built like that, or a level holds no tensor.
        ShapeError: As for :func:`idwt2`.
        WaveletError: If there is no such wavelet or mode.

    Examples:
        >>> import torch
        >>> x = torch.rand(3, 15, 17, dtype=torch.float64)
        >>> torch.allclose(waverec2(wavedec2(x, "bior2.2", "reflect"), "bior2.2", "reflect", shape=(15, 17)), x)
        True
    """
    bank, full_mode = filter_bank(wavelet), resolve_mode(mode)
    if not is_sequence(coeffs) or len(coeffs) == 0 or is_sequence(coeffs[0]):
        raise OptionError(
            f"expected coeffs as [cA_n, (cH_n, cV_n, cD_n), ...], got {describe(coeffs)}; pass what wavedec2 returns"
        )
    approximation: object = coeffs[0]
    for details in coeffs[1:]:
        bands = complete_bands(drop_gained(approximation, details), details, bank, full_mode)
        approximation = _synthesis(bands, bank, full_mode)
    return crop(check_tensor(approximation, "cA"), shape)


def _analysis(x: Tensor, bank: FilterBank, mode: Mode) -> Bands:
    """Return ``LL, LH, HL, HH`` of a checked tensor, in its dtype."""
    if _has_kernel(x):
        from wdam.kernels.transform_ops import split

        return split(x, bank.dec_lo[::-1], bank.dec_hi[::-1], mode)
    work = x.float() if x.dtype in HALF_TYPES else x
    ll, lh, hl, hh = haar_split(work, mode) if bank.is_haar else filter_split(work, bank, mode)
    return ll.to(x.dtype), lh.to(x.dtype), hl.to(x.dtype), hh.to(x.dtype)


def _synthesis(bands: Bands, bank: FilterBank, mode: Mode) -> Tensor:
    """Return what checked ``LL, LH, HL, HH`` are the sub-bands of, in their dtype."""
    first = bands[0]
    if _has_kernel(first):
        from wdam.kernels.transform_ops import merge

        periodic = mode == "periodization"
        height, width = (2 * size if periodic else 2 * size - bank.length + 2 for size in first.shape[-2:])
        return merge(bands, bank.rec_lo, bank.rec_hi, mode if periodic else "zero", height, width)
    dtype = first.dtype
    if dtype in HALF_TYPES:
        ll, lh, hl, hh = bands
        bands = ll.float(), lh.float(), hl.float(), hh.float()
    merged = haar_merge(bands) if bank.is_haar else filter_merge(bands, bank, mode)
    return merged.to(dtype)


def _has_kernel(x: Tensor) -> bool:
    """Return whether a CUDA kernel can transform ``x`` here; exported graphs know no operator of ours."""
    return x.is_cuda and not is_exporting() and not is_pushed_forward() and kernel_obstacle() is None


def _check_level(level: int | None, x: Tensor, bank: FilterBank) -> int:
    """Return how often to decompose."""
    if level is None:
        return _useful_level(x, bank)
    if isinstance(level, bool) or not isinstance(level, int):
        raise DtypeError(f"expected level as an integer or None, got {type(level).__name__}; pass for example level=2")
    if level < 0:
        raise OptionError(f"expected level >= 0, got {level}; leave it out to go as deep as the sizes allow")
    if not is_traced() and level > _useful_level(x, bank):
        warnings.warn(
            f"level {level} is deeper than the {_useful_level(x, bank)} that sizes {tuple(x.shape[-2:])} and "
            f"{bank.name!r} allow: all coefficients will experience boundary effects",
            stacklevel=3,
        )
    return level


def _useful_level(x: Tensor, bank: FilterBank) -> int:
    return min(max_level(size, bank.length) for size in x.shape[-2:])
