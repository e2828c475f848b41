from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch

from wdam import WDAM
from wdam.errors import BackendError, DtypeError, OptionError
from wdam.reference import reference_weights, wdam_reference

FLOAT64_TOLERANCE = 1e-12


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(20260302)


def random_module(channels: int, generator: torch.Generator, **options: object) -> WDAM:
    module = WDAM(channels, **options).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return module


@pytest.mark.parametrize("wavelet", ["haar", "db1", "db2", "bior2.2"])
@pytest.mark.parametrize("options", [{}, {"residual": False}, {"scale": True}, {"backend": "torch"}])
@pytest.mark.parametrize("size", [(1, 1), (6, 9), (16, 16)])
def test_equals_the_reference(
    size: tuple[int, int], options: dict[str, object], wavelet: str, generator: torch.Generator
) -> None:
    module = random_module(5, generator, wavelet=wavelet, **options)
    x = torch.randn(2, 5, *size, dtype=torch.float64, generator=generator)
    first, second = module.mlp[0].weight, module.mlp[2].weight
    expected = wdam_reference(x, first, second, scale=module.scale, residual=module.residual, wavelet=wavelet)
    torch.testing.assert_close(module(x), expected, rtol=0, atol=FLOAT64_TOLERANCE)
    weights = reference_weights(x, first, second, wavelet=wavelet)
    torch.testing.assert_close(module.subband_weights(x), weights, rtol=0, atol=FLOAT64_TOLERANCE)


@pytest.mark.parametrize(
    ("channels", "reduction", "scale", "count"),
    [
        (256, 16, False, 65_792),
        (256, 16, True, 65_793),
        (1, 16, False, 4 + 4),
        (5, 16, False, 20 + 4),
        (8, 4, False, 288),
    ],
)
def test_parameter_count(channels: int, reduction: int, scale: bool, count: int) -> None:
    module = WDAM(channels, reduction=reduction, scale=scale)
    assert sum(parameter.numel() for parameter in module.parameters()) == count


def test_a_fresh_scale_makes_the_identity_and_learns() -> None:
    module = WDAM(3, scale=True)
    x = torch.randn(2, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    y = module(x)
    assert torch.equal(y, x)
    y.square().sum().backward()
    assert module.scale.grad.abs() > 0


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
@pytest.mark.parametrize("wavelet", ["haar", "db2"])
def test_dtype_and_shape_stay(dtype: torch.dtype, wavelet: str) -> None:
    x = torch.ones(2, 4, 3, 5, dtype=dtype)
    for module in (WDAM(4, wavelet=wavelet).to(dtype), WDAM(4, wavelet=wavelet)):
        result = module(x)
        assert (result.dtype, result.shape) == (dtype, x.shape)


def test_training_lowers_a_loss(generator: torch.Generator) -> None:
    module = WDAM(4, scale=True)
    x = torch.randn(4, 4, 8, 8, generator=generator)
    target = 1.5 * x
    optimizer = torch.optim.Adam(module.parameters(), lr=0.05)
    losses = []
    for _ in range(40):
        loss = (module(x) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]


def test_state_dict_has_stable_keys_and_survives(generator: torch.Generator) -> None:
    module = random_module(4, generator, scale=True)
    assert list(module.state_dict()) == ["scale", "mlp.0.weight", "mlp.2.weight"]
    assert list(WDAM(4).state_dict()) == ["mlp.0.weight", "mlp.2.weight"]
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    other = WDAM(4, scale=True).double()
    other.load_state_dict(torch.load(file, weights_only=True))
    x = torch.randn(1, 4, 5, 5, dtype=torch.float64, generator=generator)
    assert torch.equal(other(x), module(x))


@pytest.mark.parametrize("wavelet", ["haar", "db2"])
def test_copies_are_equal_and_independent(wavelet: str, generator: torch.Generator) -> None:
    module = random_module(4, generator, wavelet=wavelet)
    x = torch.randn(1, 4, 5, 5, dtype=torch.float64, generator=generator)
    expected = module(x).detach()
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):  # noqa: S301 - its own bytes
        assert torch.equal(other(x), expected)
        torch.nn.init.zeros_(other.mlp[0].weight)
        assert torch.equal(module(x), expected)


def test_backend_can_be_set_later() -> None:
    module = WDAM(2)
    module.backend = "cuda"
    with pytest.raises(BackendError, match=r"expected a CUDA tensor.*got a tensor on 'cpu'; move module and input"):
        module(torch.zeros(1, 2, 4, 4))


def test_runs_on_the_meta_device() -> None:
    module = WDAM(4).to("meta")
    y = module(torch.empty(2, 4, 5, 7, device="meta"))
    assert (y.device.type, y.shape) == ("meta", (2, 4, 5, 7))


def test_repr_names_the_options() -> None:
    assert "channels=6, wavelet='haar', residual=False" in repr(WDAM(6, residual=False))
    shown = repr(WDAM(6, wavelet="bior2.2", scale=True, backend="torch"))
    assert "channels=6, wavelet='bior2.2', residual=True, scale=True, backend='torch'" in shown


@pytest.mark.parametrize("shape", [(4, 8, 8), (1, 1, 4, 8, 8), (1, 3, 8, 8), (1, 4, 0, 8), (1, 4, 8, 0)])
def test_refuses_other_shapes(shape: tuple[int, ...]) -> None:
    module, x = WDAM(4), torch.zeros(shape)
    for call in (module, module.subband_weights):
        with pytest.raises(ValueError, match=r"expected x of shape \(N, 4, H, W\) .* got .*; create the module"):
            call(x)


@pytest.mark.parametrize("wavelet", ["db99", "harr", ""])
def test_refuses_other_wavelets(wavelet: str) -> None:
    with pytest.raises(ValueError, match=r"expected the name of a discrete wavelet, got .*; take one of"):
        WDAM(4, wavelet=wavelet)


@pytest.mark.parametrize(("argument", "value"), [("channels", 0), ("channels", -1), ("reduction", 0)])
def test_refuses_sizes_below_one(argument: str, value: int) -> None:
    with pytest.raises(OptionError, match=rf"expected {argument} >= 1, got {value}; pass a positive integer"):
        WDAM(**{"channels": 4, argument: value})


@pytest.mark.parametrize(("argument", "value"), [("channels", 4.0), ("channels", True), ("reduction", "16")])
def test_refuses_sizes_that_are_no_integers(argument: str, value: object) -> None:
    with pytest.raises(DtypeError, match=rf"expected {argument} as an integer, got .*; pass a positive integer"):
        WDAM(**{"channels": 4, argument: value})


def test_refuses_options_that_make_no_sense() -> None:
    with pytest.raises(OptionError, match=r"expected residual=True with scale=True, got residual=False; "):
        WDAM(4, scale=True, residual=False)
    with pytest.raises(
        OptionError, match=r"expected backend 'auto', 'torch' or 'cuda', got 'cud'; did you mean 'cuda'\?"
    ):
        WDAM(4, backend="cud")
