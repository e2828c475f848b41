from __future__ import annotations

import numpy as np
import pytest
import pywt
import torch
from numpy.typing import NDArray

from wdam.reference import reference_weights, wdam_reference

FLOAT64_TOLERANCE = 1e-12  # the bound; rounding of a few hundred additions of order one stays below 1e-13
CHANNELS, HIDDEN = 3, 2


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(20260302)


def perceptron(generator: torch.Generator, channels: int = CHANNELS) -> tuple[torch.Tensor, torch.Tensor]:
    first = torch.randn(HIDDEN, 4 * channels, dtype=torch.float64, generator=generator)
    return first, torch.randn(4, HIDDEN, dtype=torch.float64, generator=generator)


def naive_weights(
    x: NDArray[np.float64], first: NDArray[np.float64], second: NDArray[np.float64], wavelet: str
) -> NDArray[np.float64]:
    approximation, details = pywt.dwt2(x, wavelet, mode="symmetric")
    stacked = np.concatenate([approximation, *details], axis=1)
    logits = sum(np.maximum(pooled @ first.T, 0) @ second.T for pooled in (stacked.mean((2, 3)), stacked.max((2, 3))))
    return 1 / (1 + np.exp(-logits))


def naive_wdam(
    x: NDArray[np.float64], weights: NDArray[np.float64], wavelet: str, *, residual: bool
) -> NDArray[np.float64]:
    approximation, (horizontal, vertical, diagonal) = pywt.dwt2(x, wavelet, mode="symmetric")
    ll, lh, hl, hh = (weights[:, band, None, None, None] for band in range(4))
    restored = pywt.idwt2((ll * approximation, (lh * horizontal, hl * vertical, hh * diagonal)), wavelet)
    cropped = restored[..., : x.shape[2], : x.shape[3]]
    return x + cropped if residual else cropped


def assert_like_pywt(x: torch.Tensor, generator: torch.Generator, wavelet: str, *, residual: bool) -> None:
    first, second = perceptron(generator)
    weights = naive_weights(x.numpy(), first.numpy(), second.numpy(), wavelet)
    ours = reference_weights(x, first, second, wavelet=wavelet).numpy()
    np.testing.assert_allclose(ours, weights, rtol=0, atol=FLOAT64_TOLERANCE)
    y = wdam_reference(x, first, second, residual=residual, wavelet=wavelet).numpy()
    expected = naive_wdam(x.numpy(), weights, wavelet, residual=residual)
    np.testing.assert_allclose(y, expected, rtol=0, atol=FLOAT64_TOLERANCE)


@pytest.mark.parametrize("height", range(1, 34))
def test_equals_the_naive_composition_on_pywt_at_every_size(height: int, generator: torch.Generator) -> None:
    for width in range(1, 34):
        x = torch.randn(2, CHANNELS, height, width, dtype=torch.float64, generator=generator)
        assert_like_pywt(x, generator, "haar", residual=(height + width) % 3 != 0)


@pytest.mark.parametrize("size", [(1, 1), (7, 10), (16, 16), (5, 33)])
@pytest.mark.parametrize("wavelet", ["db1", "db2", "sym4", "coif1", "bior2.2", "rbio3.1", "bior4.4"])
def test_equals_the_naive_composition_for_other_wavelets(
    wavelet: str, size: tuple[int, int], generator: torch.Generator
) -> None:
    x = torch.randn(2, CHANNELS, *size, dtype=torch.float64, generator=generator)
    assert_like_pywt(x, generator, wavelet, residual=True)


@pytest.mark.parametrize("wavelet", ["haar", "db2"])
def test_gradients_are_those_of_finite_differences(wavelet: str, generator: torch.Generator) -> None:
    x = torch.randn(2, CHANNELS, 4, 5, dtype=torch.float64, generator=generator, requires_grad=True)
    scale = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    first, second = (weight.requires_grad_() for weight in perceptron(generator))

    def call(*tensors: torch.Tensor) -> torch.Tensor:
        return wdam_reference(*tensors[:3], scale=tensors[3], wavelet=wavelet)

    assert torch.autograd.gradcheck(call, (x, first, second, scale))
    assert torch.autograd.gradgradcheck(call, (x, first, second, scale))
