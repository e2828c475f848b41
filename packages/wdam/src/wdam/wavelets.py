"""Wavelets as plain numbers: four filters by name, from ``pywt.Wavelet`` or by hand, and the names of the modes."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import pywt

from wdam.errors import DtypeError, WaveletError, nearest
from wdam.tracing import constant_in_graphs

__all__ = ["MODES", "FilterBank", "Mode", "WaveletLike", "filter_bank", "max_level", "resolve_mode"]

Mode: TypeAlias = Literal["periodic", "periodization", "reflect", "symmetric", "zero"]

MODES: tuple[Mode, ...] = ("periodic", "periodization", "reflect", "symmetric", "zero")

HAAR_TAP = math.sqrt(0.5)


@dataclass(frozen=True, slots=True)
class FilterBank:
    """The four filters of a discrete wavelet, in PyWavelets' order, signs and even, equal lengths.

    Plain floats rather than tensors: a graph takes them as constants, and no device ever waits for a copy.

    Attributes:
        name: What error messages and ``repr`` call it.
        dec_lo: Low-pass filter of the decomposition; sums to the square root of two for every built-in wavelet.
        dec_hi: High-pass filter of the decomposition.
        rec_lo: Low-pass filter of the reconstruction.
        rec_hi: High-pass filter of the reconstruction.
        length: Taps in each filter, always even.
        is_haar: Whether these are the filters of ``haar``, by whatever name, so that the butterfly serves.
    """

    name: str
    dec_lo: tuple[float, ...] = field(repr=False)
    dec_hi: tuple[float, ...] = field(repr=False)
    rec_lo: tuple[float, ...] = field(repr=False)
    rec_hi: tuple[float, ...] = field(repr=False)
    # Fields rather than properties: torch.compile reads the fields of a frozen dataclass as constants.
    length: int = field(init=False, repr=False)
    is_haar: bool = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "length", len(self.dec_lo))
        s = HAAR_TAP
        haar = ((s, s), (-s, s), (s, s), (s, -s))
        object.__setattr__(self, "is_haar", (self.dec_lo, self.dec_hi, self.rec_lo, self.rec_hi) == haar)


WaveletLike: TypeAlias = str | FilterBank | pywt.Wavelet | Sequence[Sequence[float]]


def filter_bank(wavelet: WaveletLike) -> FilterBank:
    """Return the filters of a wavelet.

    Args:
        wavelet: A name that ``pywt.wavelist(kind="discrete")`` lists (case does not matter), a ``pywt.Wavelet``, a
            :class:`FilterBank`, or four sequences of numbers ``(dec_lo, dec_hi, rec_lo, rec_hi)``. Shorter filters and
            odd lengths are filled with zeros at the end.

    Raises:
        WaveletError: If there is no such discrete wavelet, or the filters are not four, are empty or not finite.
        DtypeError: If ``wavelet`` is none of these.
    """
    if isinstance(wavelet, FilterBank):
        return wavelet
    if isinstance(wavelet, str):
        bank: FilterBank = _bank_by_name(wavelet)
        return bank
    if isinstance(wavelet, pywt.Wavelet):
        return _from_pywt(wavelet)
    if isinstance(wavelet, Sequence):
        return _from_filters(wavelet)
    raise DtypeError(
        f"expected a wavelet as a name, a pywt.Wavelet or four filters, got {type(wavelet).__name__}; "
        f"pass for example 'haar' or pywt.Wavelet('db2')"
    )


def resolve_mode(mode: str) -> Mode:
    """Return the full name of a signal extension mode.

    Args:
        mode: One of :data:`MODES` or PyWavelets' old short names ``zpd, sym, ppd, per``.

    Raises:
        WaveletError: If it is none of these; other modes of PyWavelets are not offered.
    """
    short_names = ("ppd", "per", "", "sym", "zpd")  # of before PyWavelets 0.4, which it still understands
    for known, short in zip(MODES, short_names, strict=True):
        if mode and mode in (known, short):
            return known
    raise WaveletError(
        f"expected a mode among {', '.join(MODES)}, got {mode!r}; pass one of them{nearest(str(mode), MODES)}"
    )


def max_level(size: int, length: int) -> int:
    """Return ``pywt.dwt_max_level(size, length)``: how often a signal is halved before every sample feels its borders.

    Args:
        size: Samples of the signal, at least 1.
        length: Taps of the filters, at least 2.
    """
    level = 0
    while size >= (length - 1) << (level + 1):
        level += 1
    return level


@constant_in_graphs
def _bank_by_name(name: str) -> FilterBank:
    """Look a name up; a graph takes the answer as a constant instead of tracing into PyWavelets."""
    return _named(name.lower())


@functools.cache
def _named(name: str) -> FilterBank:
    known = pywt.wavelist(kind="discrete")
    if name not in known:
        kind = "the continuous wavelet " if name in pywt.wavelist(kind="continuous") else ""
        raise WaveletError(
            f"expected the name of a discrete wavelet, got {kind}{name!r}; "
            f"take one of pywt.wavelist(kind='discrete'){nearest(name, known)}"
        )
    return _from_pywt(pywt.Wavelet(name))


def _from_pywt(wavelet: pywt.Wavelet) -> FilterBank:
    return FilterBank(wavelet.name, *(tuple(taps) for taps in wavelet.filter_bank))


def _from_filters(filters: Sequence[Any]) -> FilterBank:
    """Check four filters and fill them to one even length."""
    wrong = "expected four filters (dec_lo, dec_hi, rec_lo, rec_hi) of finite numbers, got"
    do = "pass four non-empty sequences of floats, or a name such as 'haar'"
    if len(filters) != 4:
        raise WaveletError(f"{wrong} {len(filters)} entries; {do}")
    try:
        banks = [tuple(float(tap) for tap in taps) for taps in filters]
    except (TypeError, ValueError) as error:
        raise WaveletError(f"{wrong} something else ({error}); {do}") from error
    if any(not taps for taps in banks) or not all(math.isfinite(tap) for taps in banks for tap in taps):
        raise WaveletError(f"{wrong} empty or non-finite ones; {do}")
    longest = max(len(taps) for taps in banks)
    length = longest + longest % 2
    return FilterBank("custom", *(taps + (0.0,) * (length - len(taps)) for taps in banks))
