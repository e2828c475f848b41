from __future__ import annotations

import numpy as np
import pytest
import torch

from wdam.errors import BackendError, DtypeError, OptionError, ShapeError, WaveletError, WDAMError
from wdam.functional import subband_weights, wdam
from wdam.reference import wdam_reference

FLOAT64_TOLERANCE = 1e-12


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(20260302)


@pytest.fixture
def weights(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    first = torch.randn(3, 16, dtype=torch.float64, generator=generator)
    return first, torch.randn(4, 3, dtype=torch.float64, generator=generator)


def layouts(x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return ``x (2, 4, 6, 8)`` seen through other strides, always the same values."""
    wide = x.repeat_interleave(2, dim=3)
    return {
        "channels last": x.contiguous(memory_format=torch.channels_last),
        "sliced": wide[..., ::2],
        "sliced channels last": x.repeat(1, 2, 1, 1).contiguous(memory_format=torch.channels_last)[:, :4],
        "transposed": x.transpose(2, 3).contiguous().transpose(2, 3),
        "batch last": x.permute(1, 2, 3, 0).contiguous().permute(3, 0, 1, 2),
    }


@pytest.mark.parametrize("layout", ["channels last", "sliced", "sliced channels last", "transposed", "batch last"])
@pytest.mark.parametrize("crop", [0, 1])
def test_layout_does_not_matter(
    layout: str, crop: int, weights: tuple[torch.Tensor, torch.Tensor], generator: torch.Generator
) -> None:
    base = torch.randn(2, 4, 6, 8, dtype=torch.float64, generator=generator)
    x = layouts(base)[layout][:, :, crop:, : 8 - crop].detach().requires_grad_()
    plain = x.detach().contiguous().requires_grad_()
    y, expected = wdam(x, *weights), wdam_reference(plain, *weights)
    torch.testing.assert_close(y, expected, rtol=0, atol=FLOAT64_TOLERANCE)
    dy = layouts(torch.randn(2, 4, 6, 8, dtype=torch.float64, generator=generator))[layout][:, :, crop:, : 8 - crop]
    (ours,), (theirs,) = torch.autograd.grad(y, x, dy), torch.autograd.grad(expected, plain, dy)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=FLOAT64_TOLERANCE)


def test_channels_last_stays(weights: tuple[torch.Tensor, torch.Tensor], generator: torch.Generator) -> None:
    x = torch.randn(2, 4, 5, 7, dtype=torch.float64, generator=generator)
    x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
    y = wdam(x, *weights)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    for tensor in (y, gradient):
        assert tensor.is_contiguous(memory_format=torch.channels_last)


def test_expanded_input(weights: tuple[torch.Tensor, torch.Tensor], generator: torch.Generator) -> None:
    image = torch.randn(1, 4, 5, 6, dtype=torch.float64, generator=generator, requires_grad=True)
    expected = wdam_reference(image.detach().repeat(3, 1, 1, 1), *weights)
    y = wdam(image.expand(3, 4, 5, 6), *weights)
    torch.testing.assert_close(y, expected, rtol=0, atol=FLOAT64_TOLERANCE)
    y.sum().backward()
    assert image.grad.shape == image.shape
    pixel = torch.ones(1, 4, 1, 1, dtype=torch.float64)
    torch.testing.assert_close(
        wdam(pixel.expand(1, 4, 4, 4), *weights), wdam_reference(pixel.repeat(1, 1, 4, 4), *weights)
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_changes_nothing(dtype: torch.dtype, generator: torch.Generator) -> None:
    x = torch.randn(2, 4, 6, 6, generator=generator)
    first, second = torch.randn(3, 16, generator=generator), torch.randn(4, 3, generator=generator)
    for wavelet in ("haar", "db2"):
        for values in (x, x.to(dtype)):
            expected = wdam(values, first, second, wavelet=wavelet)
            with torch.autocast("cpu", dtype=dtype):
                y = wdam(values, first, second, wavelet=wavelet)
                w = subband_weights(values, first, second, wavelet=wavelet)
            assert y.dtype == values.dtype
            assert torch.equal(y, expected)
            assert w.dtype == torch.float32


def test_backward_under_autocast(generator: torch.Generator) -> None:
    x = torch.randn(2, 4, 6, 6, generator=generator, requires_grad=True)
    first = torch.randn(3, 16, generator=generator, requires_grad=True)
    second = torch.randn(4, 3, generator=generator, requires_grad=True)
    expected = torch.autograd.grad(wdam(x, first, second).sum(), (x, first, second))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = torch.autograd.grad(wdam(x, first, second).sum(), (x, first, second))
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("wavelet", ["haar", "db2"])
def test_an_empty_batch(wavelet: str, weights: tuple[torch.Tensor, torch.Tensor]) -> None:
    x = torch.zeros(0, 4, 5, 6, dtype=torch.float64, requires_grad=True)
    first, second = (weight.clone().requires_grad_() for weight in weights)
    scale = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    y = wdam(x, first, second, scale=scale, wavelet=wavelet)
    assert y.shape == x.shape
    assert subband_weights(x, first, second, wavelet=wavelet).shape == (0, 4)
    gradients = torch.autograd.grad(y.sum(), (x, first, second, scale))
    assert gradients[0].shape == x.shape
    assert all(not gradient.any() for gradient in gradients[1:])


def test_training_keeps_the_input_and_little_else(generator: torch.Generator) -> None:
    x = torch.randn(2, 4, 64, 64, generator=generator, requires_grad=True)
    first = torch.randn(3, 16, generator=generator, requires_grad=True)
    second = torch.randn(4, 3, generator=generator, requires_grad=True)
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        wdam(x, first, second)
    assert x.untyped_storage().data_ptr() in kept
    assert sum(kept.values()) <= 1.02 * x.numel() * x.element_size()


def test_results_repeat_bit_by_bit(generator: torch.Generator) -> None:
    x = torch.randn(2, 4, 65, 63, generator=generator, requires_grad=True)
    first = torch.randn(3, 16, generator=generator, requires_grad=True)
    second = torch.randn(4, 3, generator=generator)

    def run() -> list[torch.Tensor]:
        y = wdam(x, first, second)
        return [y.detach(), *torch.autograd.grad(y.square().sum(), (x, first))]

    for ours, again in zip(run(), run(), strict=True):
        assert torch.equal(ours, again)


def test_an_input_that_is_changed_later_is_noticed(weights: tuple[torch.Tensor, torch.Tensor]) -> None:
    x = torch.ones(1, 4, 4, 4, dtype=torch.float64)
    first = weights[0].clone().requires_grad_()
    y = wdam(x, first, weights[1])
    x.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@pytest.mark.parametrize("shape", [(4, 8, 8), (1, 1, 4, 8, 8), (1, 3, 8, 8), (1, 4, 0, 8), (1, 4, 8, 0)])
def test_refuses_other_shapes(shape: tuple[int, ...], weights: tuple[torch.Tensor, torch.Tensor]) -> None:
    for call in (wdam, subband_weights):
        with pytest.raises(ShapeError, match=r"expected x of shape \(N, 4, H, W\) .* got .*; create the module"):
            call(torch.zeros(shape), *weights)


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool, torch.complex64, torch.float8_e4m3fn])
def test_refuses_other_dtypes(dtype: torch.dtype, weights: tuple[torch.Tensor, torch.Tensor]) -> None:
    x = torch.zeros(1, 4, 2, 2, dtype=dtype)
    with pytest.raises(DtypeError, match=r"expected x of dtype float64, .* got torch\.\w+; convert it with x\.float"):
        wdam(x, *weights)
    with pytest.raises(DtypeError, match=r"expected w1 of dtype .* got torch\.int64; convert it with w1\.float"):
        wdam(x.float() if dtype != torch.complex64 else x.real, weights[0].long(), weights[1])


@pytest.mark.parametrize(
    ("first", "second"), [((3, 12), (4, 3)), ((3, 16), (3, 3)), ((3, 16), (4, 2)), ((16,), (4, 3))]
)
def test_refuses_weights_that_do_not_fit(first: tuple[int, ...], second: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"expected .* got .*; "):
        wdam(torch.zeros(1, 4, 2, 2), torch.zeros(first), torch.zeros(second))


def test_refuses_a_device_that_differs(weights: tuple[torch.Tensor, torch.Tensor]) -> None:
    with pytest.raises(OptionError, match=r"expected x and w2 on one device, got cpu and meta; move one"):
        wdam(torch.zeros(1, 4, 2, 2).double(), weights[0], weights[1].to("meta"))


@pytest.mark.parametrize("shape", [(1,), (1, 1, 1), (1, 1, 1, 1)])
def test_a_scale_may_have_axes(
    shape: tuple[int, ...], weights: tuple[torch.Tensor, torch.Tensor], generator: torch.Generator
) -> None:
    x = torch.randn(2, 4, 5, 6, dtype=torch.float64, generator=generator)
    scale = torch.full(shape, 0.5, dtype=torch.float64, requires_grad=True)
    y = wdam(x, *weights, scale=scale)
    torch.testing.assert_close(y, wdam(x, *weights, scale=scale.detach().reshape(())), rtol=0, atol=0)
    y.sum().backward()
    assert scale.grad.shape == shape


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("value", [0.5, [1.0], None, np.zeros((1, 4, 2, 2))])
def test_refuses_what_is_no_tensor(value: object, place: int, weights: tuple[torch.Tensor, torch.Tensor]) -> None:
    arguments = [torch.zeros(1, 4, 2, 2).double(), *weights, torch.ones(())]
    if place == 3 and value is None:
        return  # no scale
    arguments[place] = value
    name = ("x", "w1", "w2", "scale")[place]
    with pytest.raises(DtypeError, match=rf"expected {name} as a torch\.Tensor, got \w+; convert it with torch\.as_"):
        wdam(*arguments[:3], scale=arguments[3])


def test_refuses_no_channels() -> None:
    with pytest.raises(ShapeError, match=r"expected w1 of shape \(hidden, 4 \* channels\) .* got \(3, 0\) and"):
        wdam(torch.zeros(1, 0, 4, 4), torch.zeros(3, 0), torch.zeros(4, 3))


def test_refuses_scales_that_make_no_sense(weights: tuple[torch.Tensor, torch.Tensor]) -> None:
    x = torch.zeros(1, 4, 2, 2).double()
    with pytest.raises(ShapeError, match=r"expected scale of one element, got \(2,\); pass"):
        wdam(x, *weights, scale=torch.ones(2))
    with pytest.raises(OptionError, match=r"expected residual=True with a scale, got residual=False; "):
        wdam(x, *weights, scale=torch.ones(()), residual=False)


def test_refuses_unknown_wavelets_and_backends(weights: tuple[torch.Tensor, torch.Tensor]) -> None:
    x = torch.zeros(1, 4, 2, 2).double()
    with pytest.raises(WaveletError, match=r"expected .*got 'harr'; .*'haar'"):
        wdam(x, *weights, wavelet="harr")
    with pytest.raises(OptionError, match=r"expected backend .*got 'triton'"):
        wdam(x, *weights, backend="triton")
    with pytest.raises(BackendError, match=r"expected a CUDA tensor.*got a tensor on 'cpu'; "):
        wdam(x, *weights, backend="cuda")


@pytest.mark.parametrize(
    ("error", "builtin"),
    [(BackendError, RuntimeError), (DtypeError, TypeError), (OptionError, ValueError), (ShapeError, ValueError)],
)
def test_errors_are_also_builtin_ones(error: type[Exception], builtin: type[Exception]) -> None:
    assert issubclass(error, WDAMError)
    assert issubclass(error, builtin)
