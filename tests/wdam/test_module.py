from __future__ import annotations

import numpy as np
import pytest
import pywt
import torch
from numpy.typing import NDArray

from wdam import WDAM

FLOAT64_TOLERANCE = 1e-12  # the bound; rounding of a few hundred additions of order one stays below 1e-13


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(20260302)


def random_module(channels: int, generator: torch.Generator, *, residual: bool = True) -> WDAM:
    module = WDAM(channels, residual=residual).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return module


def naive_weights(x: NDArray[np.float64], first: NDArray[np.float64], second: NDArray[np.float64]) -> np.ndarray:
    approximation, details = pywt.dwt2(x, "haar", mode="symmetric")
    stacked = np.concatenate([approximation, *details], axis=1)
    logits = sum(np.maximum(pooled @ first.T, 0) @ second.T for pooled in (stacked.mean((2, 3)), stacked.max((2, 3))))
    return 1 / (1 + np.exp(-logits))


def naive_wdam(x: NDArray[np.float64], weights: NDArray[np.float64], *, residual: bool) -> np.ndarray:
    approximation, (horizontal, vertical, diagonal) = pywt.dwt2(x, "haar", mode="symmetric")
    ll, lh, hl, hh = (weights[:, band, None, None, None] for band in range(4))
    restored = pywt.idwt2((ll * approximation, (lh * horizontal, hl * vertical, hh * diagonal)), "haar")
    cropped = restored[..., : x.shape[2], : x.shape[3]]
    return x + cropped if residual else cropped


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("width", range(1, 10))
@pytest.mark.parametrize("height", range(1, 10))
def test_equals_the_naive_composition_on_pywt(
    height: int, width: int, residual: bool, generator: torch.Generator
) -> None:
    module = random_module(5, generator, residual=residual)
    x = torch.randn(2, 5, height, width, dtype=torch.float64, generator=generator)
    first, second = (parameter.detach().numpy() for parameter in module.parameters())
    weights = naive_weights(x.numpy(), first, second)
    with torch.no_grad():
        np.testing.assert_allclose(module.subband_weights(x).numpy(), weights, rtol=0, atol=FLOAT64_TOLERANCE)
        expected = naive_wdam(x.numpy(), weights, residual=residual)
        np.testing.assert_allclose(module(x).numpy(), expected, rtol=0, atol=FLOAT64_TOLERANCE)


@pytest.mark.parametrize(
    ("channels", "reduction", "count"),
    [(256, 16, 65_792), (1, 16, 4 + 4), (5, 16, 20 + 4), (8, 4, 32 * 8 + 8 * 4)],
)
def test_parameter_count(channels: int, reduction: int, count: int) -> None:
    assert sum(parameter.numel() for parameter in WDAM(channels, reduction=reduction).parameters()) == count


def test_zero_perceptron_halves_every_subband() -> None:
    module = WDAM(3).double()
    torch.nn.init.zeros_(module.mlp[0].weight)
    x = torch.arange(3 * 7 * 5, dtype=torch.float64).reshape(1, 3, 7, 5)
    assert module.subband_weights(x).tolist() == [[0.5, 0.5, 0.5, 0.5]]
    torch.testing.assert_close(module(x), 1.5 * x, rtol=0, atol=FLOAT64_TOLERANCE)


def test_max_pooling_sees_the_sign(generator: torch.Generator) -> None:
    module = random_module(2, generator)
    x = torch.randn(1, 2, 6, 6, dtype=torch.float64, generator=generator)
    assert not torch.allclose(module.subband_weights(x), module.subband_weights(-x))


def test_images_of_a_batch_do_not_see_each_other(generator: torch.Generator) -> None:
    module = random_module(3, generator)
    x = torch.randn(4, 3, 5, 8, dtype=torch.float64, generator=generator)
    together = module(x)
    for image in range(4):
        torch.testing.assert_close(module(x[image : image + 1])[0], together[image], rtol=0, atol=FLOAT64_TOLERANCE)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_dtype_and_shape_stay(dtype: torch.dtype) -> None:
    x = torch.ones(2, 4, 3, 5, dtype=dtype)
    result = WDAM(4).to(dtype)(x)
    assert (result.dtype, result.shape) == (dtype, x.shape)


def test_gradients_are_those_of_finite_differences(generator: torch.Generator) -> None:
    module = random_module(2, generator)
    x = torch.randn(2, 2, 3, 5, dtype=torch.float64, generator=generator, requires_grad=True)
    assert torch.autograd.gradcheck(module, (x,))


def test_repr_names_the_options() -> None:
    assert "channels=6, wavelet='haar', residual=False" in repr(WDAM(6, residual=False))


@pytest.mark.parametrize("shape", [(4, 8, 8), (1, 1, 4, 8, 8), (1, 3, 8, 8), (1, 4, 0, 8), (1, 4, 8, 0)])
def test_refuses_other_shapes(shape: tuple[int, ...]) -> None:
    module, x = WDAM(4), torch.zeros(shape)
    for call in (module, module.subband_weights):
        with pytest.raises(ValueError, match=r"expected x of shape \(N, 4, H, W\) .* got .*; create the module"):
            call(x)


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool, torch.complex64])
def test_refuses_other_dtypes(dtype: torch.dtype) -> None:
    with pytest.raises(TypeError, match=r"expected x of a floating-point dtype, got torch\.\w+; convert it"):
        WDAM(4)(torch.zeros(1, 4, 2, 2, dtype=dtype))


@pytest.mark.parametrize("wavelet", ["db2", "Haar", ""])
def test_refuses_other_wavelets(wavelet: str) -> None:
    with pytest.raises(ValueError, match=f"expected wavelet 'haar', got '{wavelet}'; 'haar' is the only one"):
        WDAM(4, wavelet=wavelet)  # type: ignore[arg-type]


@pytest.mark.parametrize(("channels", "reduction", "name"), [(0, 16, "channels"), (4, 0, "reduction")])
def test_refuses_sizes_below_one(channels: int, reduction: int, name: str) -> None:
    with pytest.raises(ValueError, match=f"expected {name} >= 1, got 0; pass a positive integer"):
        WDAM(channels, reduction=reduction)
