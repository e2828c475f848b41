from __future__ import annotations

import numpy as np
import pytest
import pywt
import torch

from wdam.haar import haar_merge, haar_split, merge_subbands, split_subbands
from wdam.wavelets import Mode

SIZES = range(1, 10)


def random_maps(height: int, width: int) -> torch.Tensor:
    return torch.randn(2, 3, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(height * 100))


@pytest.mark.parametrize("width", SIZES)
@pytest.mark.parametrize("height", SIZES)
def test_subbands_are_those_of_pywt(height: int, width: int) -> None:
    x = random_maps(height, width)
    approximation, details = pywt.dwt2(x.numpy(), "haar", mode="symmetric")
    expected = np.stack([approximation, *details], axis=1)
    # float64 rounding of three additions of values of order one.
    np.testing.assert_allclose(split_subbands(x).numpy(), expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("width", SIZES)
@pytest.mark.parametrize("height", SIZES)
def test_merge_undoes_split(height: int, width: int) -> None:
    x = random_maps(height, width)
    restored = merge_subbands(split_subbands(x))
    assert restored.shape[-2:] == (height + height % 2, width + width % 2)
    torch.testing.assert_close(restored[..., :height, :width], x, rtol=0, atol=1e-14)


def test_a_worked_block() -> None:
    block = torch.tensor([[1.0, 2.0], [3.0, 6.0]]).reshape(1, 1, 2, 2)
    assert split_subbands(block).flatten().tolist() == [6.0, -3.0, -2.0, 1.0]


@pytest.mark.parametrize("mode", ["zero", "symmetric", "reflect", "periodic", "periodization"])
def test_every_mode_is_that_of_pywt(mode: Mode) -> None:
    x = random_maps(7, 5)
    expected = pywt.dwt2(x.numpy(), "haar", mode)
    for band, band_expected in zip(haar_split(x, mode), (expected[0], *expected[1]), strict=True):
        np.testing.assert_allclose(band.numpy(), band_expected, rtol=0, atol=1e-14)


def test_split_and_merge_are_transposes_of_each_other() -> None:
    x, bands = random_maps(6, 8), tuple(random_maps(6, 8)[..., ::2, k::2] * (k + 1) for k in (0, 1)) * 2
    inner = sum((a * b).sum() for a, b in zip(haar_split(x, "symmetric"), bands, strict=True))
    torch.testing.assert_close(inner, (x * haar_merge(bands)).sum(), rtol=1e-13, atol=1e-13)
