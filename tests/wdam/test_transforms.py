"""Values and shapes against PyWavelets; the rest of the contract is in ``test_transforms_torch.py``."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import pywt
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from wdam.transforms import dwt2, idwt2, wavedec2, waverec2
from wdam.wavelets import MODES

NAMES = pywt.wavelist(kind="discrete")
# Every pair below is shorter than some filter, odd somewhere, or both; 62 and 102 taps reflect a size 5 many times.
SIZES = [(2, 2), (5, 8), (7, 3), (33, 20)]


def random_maps(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(shape[-2] * 100 + shape[-1])
    return torch.randn(shape, dtype=dtype, generator=generator)


def check(actual: Tensor, expected: NDArray[Any], tolerance: float) -> None:
    """Compare values, relative to the largest, and shapes."""
    assert actual.shape == expected.shape
    scale = max(1.0, float(np.abs(expected).max(initial=0)))
    np.testing.assert_allclose(actual.numpy(), expected, rtol=0, atol=tolerance * scale)


def check_level(x: Tensor, wavelet: Any, mode: str, tolerance: float) -> None:
    """Compare one decomposition and one reconstruction."""
    reference = x.double().numpy()
    approximation, details = dwt2(x, wavelet, mode)
    expected = pywt.dwt2(reference, wavelet, mode)
    for band, band_expected in zip((approximation, *details), (expected[0], *expected[1]), strict=True):
        check(band, band_expected, tolerance)
    # The same coefficients for both: what is compared is one reconstruction, not two roundings.
    coefficients = approximation.double().numpy(), tuple(detail.double().numpy() for detail in details)
    check(idwt2((approximation, details), wavelet, mode), pywt.idwt2(coefficients, wavelet, mode), tolerance)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NAMES)
def test_every_wavelet_in_every_mode_equals_pywt(name: str, mode: str) -> None:
    for size in SIZES:
        check_level(random_maps(2, *size), name, mode, 1e-12)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["haar", "db2", "bior2.2", "rbio3.1", "sym5", "dmey"])
def test_every_size_equals_pywt(name: str, mode: str) -> None:
    smallest = 2 if mode == "reflect" else 1  # pywt refuses to reflect a single sample
    for size in range(smallest, 34):
        check_level(random_maps(size, max(smallest, 34 - size)), name, mode, 1e-12)


@pytest.mark.parametrize("name", ["haar", "db2", "bior6.8", "sym20", "coif17", "dmey"])
@pytest.mark.parametrize("mode", MODES)
def test_float32_is_as_good_as_float32_can_be(name: str, mode: str) -> None:
    check_level(random_maps(3, 31, 40, dtype=torch.float32), name, mode, 2e-6)


def test_a_single_sample_reflects_itself() -> None:
    x = torch.tensor([[3.0]], dtype=torch.float64)
    for name in ("haar", "db4"):
        for band, expected in zip(dwt2(x, name, "reflect"), dwt2(x, name, "symmetric"), strict=True):
            torch.testing.assert_close(band, expected, rtol=0, atol=0)


def test_custom_filters_equal_pywt() -> None:
    filters = ((0.5, 1.0, 0.25, 0.0), (1.0, -1.0, 0.5, 0.125), (0.3, 0.2, 0.1, 0.7), (1.0, 2.0, -1.0, 0.5))
    check_level(random_maps(2, 9, 6), pywt.Wavelet("mine", filter_bank=filters), "symmetric", 1e-12)
    x = random_maps(2, 9, 6)
    ours, theirs = dwt2(x, filters), dwt2(x, pywt.Wavelet("mine", filter_bank=filters))
    assert torch.equal(ours[0], theirs[0])
    assert torch.equal(dwt2(x, [(0.0, 0.0)] * 4)[0], torch.zeros(2, 5, 3, dtype=torch.float64))


@pytest.mark.parametrize("name", NAMES)
def test_every_wavelet_reconstructs_as_well_as_pywt_does(name: str) -> None:
    x = random_maps(2, 21, 34)
    for mode in ("symmetric", "periodization"):
        error = (idwt2(dwt2(x, name, mode), name, mode, shape=(21, 34)) - x).abs().max().item()
        theirs = pywt.idwt2(pywt.dwt2(x.numpy(), name, mode), name, mode)[:, :21, :34]
        # 1e-13: room for another order of summation, which decides where pywt itself is at rounding level.
        assert error <= 1.01 * np.abs(theirs - x.numpy()).max() + 1e-13


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(2, 40),
    width=st.integers(2, 40),
    batch=st.lists(st.integers(1, 3), max_size=3),
    name=st.sampled_from(NAMES),
    mode=st.sampled_from(MODES),
    level=st.integers(0, 3) | st.none(),
)
def test_levels_equal_pywt_and_come_back(
    height: int, width: int, batch: list[int], name: str, mode: str, level: int | None
) -> None:
    x = random_maps(*batch, height, width)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # both warn of levels that are too deep for the sizes
        try:
            expected = pywt.wavedec2(x.numpy(), name, mode, level)
        except ValueError:
            # With filters that shrink to a single sample pywt refuses to reflect; we go on.
            assert mode == "reflect"
            return
        actual = wavedec2(x, name, mode, level)
    assert len(actual) == len(expected)
    flat = [band for entry in actual for band in ((entry,) if isinstance(entry, Tensor) else entry)]
    flat_expected = [band for entry in expected for band in (entry if isinstance(entry, tuple) else (entry,))]
    for band, band_expected in zip(flat, flat_expected, strict=True):
        check(band, band_expected, 1e-12)
    rebuilt = waverec2(actual, name, mode)
    check(rebuilt, pywt.waverec2(expected, name, mode), 1e-12)
    cropped = waverec2(actual, name, mode, shape=(height, width))
    assert torch.equal(cropped, rebuilt[..., :height, :width]) and cropped.shape == x.shape


@pytest.mark.parametrize("absent", [(0,), (1,), (2, 3), (1, 2, 3), (0, 2)])
@pytest.mark.parametrize("name", ["haar", "db3"])
def test_none_stands_for_zeros_as_in_pywt(name: str, absent: tuple[int, ...]) -> None:
    approximation, details = dwt2(random_maps(2, 12, 9), name)
    bands = [None if k in absent else band for k, band in enumerate((approximation, *details))]
    arrays = [None if band is None else band.numpy() for band in bands]
    expected = pywt.idwt2((arrays[0], tuple(arrays[1:])), name)
    check(idwt2((bands[0], bands[1:]), name), expected, 1e-13)


def test_an_approximation_loses_the_row_and_column_it_gained_as_in_pywt() -> None:
    coarse, fine = random_maps(4, 5), random_maps(3, 4)
    expected = pywt.waverec2([coarse.numpy(), (None, fine.numpy(), None)], "haar")
    assert expected.shape == (6, 8)
    check(waverec2([coarse, (None, fine, None)], "haar"), expected, 1e-14)
    check(waverec2([coarse, (None, None, None)], "haar"), pywt.waverec2([coarse.numpy(), (None,) * 3], "haar"), 1e-14)


def test_no_level_is_the_approximation() -> None:
    x = random_maps(4, 5)
    assert waverec2([x]) is x and wavedec2(x, level=0)[0] is x
    assert waverec2([x], shape=(3, 5)).shape == (3, 5)


def test_a_level_that_is_too_deep_warns_as_pywt_does() -> None:
    with pytest.warns(UserWarning, match=r"level 3 is deeper than the 1 .*\(2, 9\) and 'haar' allow") as caught:
        wavedec2(random_maps(2, 9), "haar", level=3)
    assert caught[0].filename == __file__


def test_a_hand_worked_block() -> None:
    approximation, details = dwt2(torch.tensor([[1.0, 2.0], [3.0, 6.0]]))
    assert [band.item() for band in (approximation, *details)] == [6.0, -3.0, -2.0, 1.0]
