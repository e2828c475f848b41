from __future__ import annotations

import math

import pytest
import pywt

from wdam.errors import DtypeError, WaveletError
from wdam.wavelets import MODES, FilterBank, filter_bank, max_level, resolve_mode

NAMES = pywt.wavelist(kind="discrete")
S = math.sqrt(0.5)


@pytest.mark.parametrize("name", NAMES)
def test_every_discrete_wavelet_has_the_filters_of_pywt(name: str) -> None:
    bank, expected = filter_bank(name), pywt.Wavelet(name)
    assert [bank.dec_lo, bank.dec_hi, bank.rec_lo, bank.rec_hi] == [tuple(taps) for taps in expected.filter_bank]
    assert bank.length == expected.dec_len
    assert bank == filter_bank(expected)
    assert bank.is_haar == (name in {"haar", "db1", "bior1.1", "rbio1.1"})


def test_names_ignore_case_as_in_pywt() -> None:
    assert filter_bank("DB2") == filter_bank("db2")


def test_a_bank_passes_through() -> None:
    bank = filter_bank("sym4")
    assert filter_bank(bank) is bank


def test_four_filters_make_a_bank() -> None:
    assert filter_bank([[S, S], [-S, S], [S, S], [S, -S]]).is_haar


def test_short_and_odd_filters_are_filled_with_zeros() -> None:
    bank = filter_bank(((1, 2, 3), (1,), (1, 2), (4, 5, 6)))
    assert bank == FilterBank("custom", (1, 2, 3, 0), (1, 0, 0, 0), (1, 2, 0, 0), (4, 5, 6, 0))


@pytest.mark.parametrize(
    ("wavelet", "message"),
    [
        ("harr", r"discrete wavelet, got 'harr'.*did you mean 'haar'"),
        ("morl", r"got the continuous wavelet 'morl'"),
        (((1.0, 1.0), (1.0, -1.0)), r"four filters .* got 2 entries"),
        (((1.0,), (1.0,), (), (1.0,)), r"got empty or non-finite"),
        (((1.0,), (1.0,), (math.nan,), (1.0,)), r"got empty or non-finite"),
        (((1.0,), (1.0,), ("one",), (1.0,)), r"got something else .*one"),
        (((1.0,), (1.0,), 1.0, (1.0,)), r"got something else .*float"),
    ],
)
def test_unknown_wavelets_are_refused(wavelet: object, message: str) -> None:
    with pytest.raises(WaveletError, match=message):
        filter_bank(wavelet)  # type: ignore[arg-type]


def test_another_type_is_refused() -> None:
    with pytest.raises(DtypeError, match=r"expected a wavelet as a name.*got int"):
        filter_bank(3)  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", MODES)
def test_modes_keep_their_names(mode: str) -> None:
    assert resolve_mode(mode) == mode


@pytest.mark.parametrize("short", ["zpd", "sym", "ppd", "per"])
def test_short_modes_are_those_of_pywt(short: str) -> None:
    with pytest.warns(DeprecationWarning, match=rf"{short} has been renamed to"):
        number = pywt.Modes.from_object(short)
    assert pywt.Modes.from_object(resolve_mode(short)) == number


@pytest.mark.parametrize(
    ("mode", "hint"), [("symetric", "'symmetric'"), ("smooth", ""), ("", ""), ("Zero", "'zero'"), (None, ""), ([], "")]
)
def test_unknown_modes_list_the_known_and_the_nearest(mode: object, hint: str) -> None:
    with pytest.raises(WaveletError, match=rf"periodic, periodization, reflect, symmetric, zero, got .*{hint}"):
        resolve_mode(mode)  # type: ignore[arg-type]


@pytest.mark.parametrize("length", [2, 4, 10, 62])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 9, 61, 62, 122, 1000])
def test_levels_are_those_of_pywt(size: int, length: int) -> None:
    assert max_level(size, length) == pywt.dwt_max_level(size, length)
