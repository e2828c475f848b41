"""What PyWavelets cannot be asked: dtypes, layouts, gradients, compilers, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import pywt
import torch
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend

from wdam.errors import DtypeError, OptionError, ShapeError
from wdam.transforms import dwt2, idwt2, wavedec2, waverec2
from wdam.wavelets import MODES, filter_bank

# PyTorch itself uses what it deprecates, the first time it differentiates forwards or compiles.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script.* is deprecated:DeprecationWarning")

NAMES = ["haar", "db2", "bior2.2"]
SHAPES = [(16, 18), (15, 17), (33, 20), (24, 9)]


def random_maps(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(len(shape)))


def split(x: Tensor, name: Any = "haar", mode: str = "symmetric") -> tuple[Tensor, Tensor, Tensor, Tensor]:
    approximation, details = dwt2(x, name, mode)
    return approximation, *details


def merge(bands: tuple[Tensor, ...], name: Any = "haar", mode: str = "symmetric") -> Tensor:
    return idwt2((bands[0], bands[1:]), name, mode)


def there_and_back(x: Tensor, name: Any = "haar", mode: str = "symmetric") -> tuple[Tensor, ...]:
    bands = split(x, name, mode)
    return *bands, idwt2((bands[0], bands[1:]), name, mode, shape=(x.shape[-2], x.shape[-1]))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NAMES)
def test_first_and_second_derivatives(name: str, mode: str) -> None:
    x = random_maps(2, 5, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: split(x, name, mode), x, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(lambda x: split(x, name, mode), x)
    bands = [band.detach().requires_grad_() for band in split(x, name, mode)]
    assert torch.autograd.gradcheck(lambda *bands: merge(bands, name, mode), bands, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(lambda *bands: merge(bands, name, mode), bands)


@pytest.mark.parametrize("name", NAMES)
def test_bands_that_are_not_used_need_no_gradient(name: str) -> None:
    x = random_maps(3, 6, 6).requires_grad_()
    split(x, name)[2].square().sum().backward()
    (expected,) = torch.autograd.grad(torch.stack(split(x, name))[2].square().sum(), x)
    torch.testing.assert_close(x.grad, expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", NAMES)
def test_bands_may_be_changed_in_place(name: str) -> None:
    x = random_maps(3, 6, 6).requires_grad_()
    bands = split(x, name)
    bands[3].zero_()
    merge(bands, name).sum().backward()
    assert x.grad is not None and bool(x.grad.isfinite().all())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", NAMES)
def test_half_types_are_rounded_once(name: str, dtype: torch.dtype) -> None:
    x = random_maps(2, 31, 20).to(dtype)
    bands = split(x, name)
    exact = split(x.double(), name)
    for band, band_exact in zip(bands, exact, strict=True):
        assert band.dtype == dtype
        rounding = (band_exact.to(dtype).double() - band_exact).abs().max()
        assert (band.double() - band_exact).abs().max() <= 1.1 * rounding
    merged, merged_exact = merge(bands, name), merge(tuple(band.double() for band in bands), name)
    assert merged.dtype == dtype
    rounding = (merged_exact.to(dtype).double() - merged_exact).abs().max()
    assert (merged.double() - merged_exact).abs().max() <= 1.1 * rounding


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_changes_nothing(name: str, dtype: torch.dtype) -> None:
    x = random_maps(2, 7, 8, dtype=dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = there_and_back(x, name)
    for actual, expected in zip(inside, there_and_back(x, name), strict=True):
        assert actual.dtype == dtype and torch.equal(actual, expected)


def layouts() -> dict[str, Callable[[Tensor], Tensor]]:
    return {
        "channels_last": lambda x: x.contiguous(memory_format=torch.channels_last),
        "sliced": lambda x: torch.nn.functional.pad(x, (1, 2, 3, 1))[..., 3:-1, 1:-2],
        "transposed": lambda x: x.mT.contiguous().mT,
        "strided": lambda x: x.repeat_interleave(2, dim=-1)[..., ::2],
        "expanded": lambda x: x[:1].expand(x.shape),
    }


@pytest.mark.parametrize("layout", layouts())
@pytest.mark.parametrize("name", NAMES)
def test_layouts_change_nothing(name: str, layout: str) -> None:
    # More than a block of the eager path, so that blocks are cut along a dimension of every layout.
    x = layouts()[layout](random_maps(3, 8, 61, 64))
    expected = there_and_back(x.contiguous(), name)
    for actual, wanted in zip(there_and_back(x, name), expected, strict=True):
        torch.testing.assert_close(actual, wanted, rtol=0, atol=1e-14)


def test_haar_keeps_channels_last() -> None:
    x = random_maps(2, 8, 16, 16).contiguous(memory_format=torch.channels_last)
    assert all(band.is_contiguous(memory_format=torch.channels_last) for band in there_and_back(x))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("leading", [(0,), (2, 0), (0, 3)])
def test_empty_batches_stay_empty(name: str, leading: tuple[int, ...]) -> None:
    x = random_maps(*leading, 7, 6).requires_grad_()
    *bands, rebuilt = there_and_back(x, name)
    expected = pywt.dwt2(torch.zeros(7, 6).numpy(), name)[0].shape
    assert all(band.shape == (*leading, *expected) for band in bands) and rebuilt.shape == x.shape
    rebuilt.sum().backward()
    assert x.grad is not None and x.grad.shape == x.shape


@pytest.mark.parametrize("mode", ["symmetric", "periodization"])
@pytest.mark.parametrize("name", NAMES)
def test_vmap_runs_over_any_dimension(name: str, mode: str) -> None:
    x = random_maps(4, 2, 7, 6)
    expected = there_and_back(x, name, mode)
    for dim in (0, 1, -4):
        mapped = torch.vmap(lambda x: there_and_back(x, name, mode), in_dims=dim, out_dims=dim)(x)
        for actual, wanted in zip(mapped, expected, strict=True):
            torch.testing.assert_close(actual, wanted, rtol=0, atol=0)
    zero = torch.zeros_like(expected[0][0])
    mapped_one = torch.vmap(lambda band: merge((band, zero, zero, zero), name, mode))(expected[0])
    torch.testing.assert_close(mapped_one[2], merge((expected[0][2], zero, zero, zero), name, mode), rtol=0, atol=0)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_of_single_samples(name: str) -> None:
    x = random_maps(3, 5, 6)

    def energy(x: Tensor) -> Tensor:
        return sum((band**3).sum() for band in split(x, name))  # type: ignore[return-value]

    each = torch.vmap(torch.func.grad(energy))(x)
    torch.testing.assert_close(each, torch.func.grad(energy)(x), rtol=0, atol=1e-12)
    hessian = torch.func.hessian(energy)(x[0])
    torch.testing.assert_close(hessian, torch.func.jacrev(torch.func.grad(energy))(x[0]), rtol=0, atol=1e-12)


@pytest.fixture
def fresh_compiler() -> None:
    torch._dynamo.reset()


@pytest.mark.usefixtures("fresh_compiler")
@pytest.mark.parametrize(("name", "mode"), [("haar", "symmetric"), ("db2", "periodization")])
def test_two_graphs_without_breaks_serve_all_sizes(name: str, mode: str) -> None:
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(there_and_back, fullgraph=True, backend=counter)
    for height, width in SHAPES:
        x = random_maps(3, height, width).requires_grad_()
        expected = there_and_back(x, name, mode)
        actual = compiled(x, name, mode)
        for got, wanted in zip(actual, expected, strict=True):
            torch.testing.assert_close(got, wanted, rtol=0, atol=1e-13)
        weight = random_maps(*expected[1].shape)
        (grad,) = torch.autograd.grad((actual[1] * weight).sum(), x)
        (wanted_grad,) = torch.autograd.grad((expected[1] * weight).sum(), x)
        torch.testing.assert_close(grad, wanted_grad, rtol=0, atol=1e-13)
    assert counter.frame_count <= 2  # one for the first size, one for all others


@pytest.mark.usefixtures("fresh_compiler")
def test_levels_compile() -> None:
    def levels(x: Tensor) -> Tensor:
        coefficients = wavedec2(x, filter_bank("db2"), "reflect", level=2)
        return waverec2(coefficients, filter_bank("db2"), "reflect", shape=(x.shape[-2], x.shape[-1]))

    counter = CompileCounterWithBackend("eager")
    compiled = torch.compile(levels, fullgraph=True, backend=counter)
    for height, width in SHAPES:
        x = random_maps(2, 3, height, width)
        torch.testing.assert_close(compiled(x), x, rtol=0, atol=1e-13)
    assert counter.frame_count <= 2


class Lens(nn.Module):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return there_and_back(x, self.name)


@pytest.mark.parametrize("name", ["haar", "db2"])
def test_export_with_sizes_left_open(name: str) -> None:
    sizes = {2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO}
    exported = torch.export.export(Lens(name), (random_maps(2, 3, 16, 18),), dynamic_shapes=(sizes,)).module()
    for height, width in SHAPES:
        x = random_maps(2, 3, height, width)
        for actual, expected in zip(exported(x), there_and_back(x, name), strict=True):
            torch.testing.assert_close(actual, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", ["haar", "db2"])
def test_the_eager_path_walks_in_blocks_and_agrees_with_the_plain_sum(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = random_maps(3, 5, 14, 12)
    whole = there_and_back(x, name)
    monkeypatch.setattr("wdam.blocks.BLOCK", 300)
    for actual, expected in zip(there_and_back(x, name), whole, strict=True):
        assert torch.equal(actual, expected)
    for module in ("haar", "padding", "convolution", "coefficients"):
        monkeypatch.setattr(f"wdam.{module}.is_traced", lambda: True)
    for actual, expected in zip(there_and_back(x, name), whole, strict=True):
        torch.testing.assert_close(actual, expected, rtol=0, atol=1e-13)


X = torch.zeros(2, 6, 6)
BANDS = (torch.zeros(2, 3, 3),) * 3


@pytest.mark.parametrize("transform", [dwt2, wavedec2])
@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        ([[1.0]], DtypeError, r"expected x as a torch.Tensor, got list"),
        (torch.zeros(4, 4, dtype=torch.int64), DtypeError, r"got torch.int64; convert it with .float"),
        (torch.zeros(4, 4, dtype=torch.complex64), DtypeError, r"got torch.complex64; transform x.real"),
        (torch.zeros(4), ShapeError, r"\(\.\.\., H, W\) with H, W >= 1, got \(4,\)"),
        (torch.zeros(2, 0, 4), ShapeError, r"got \(2, 0, 4\)"),
        (torch.zeros(2, 4, 0), ShapeError, r"got \(2, 4, 0\)"),
    ],
)
def test_what_cannot_be_decomposed(
    transform: Callable[[Any], object], x: object, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        transform(x)


@pytest.mark.parametrize(
    ("level", "error", "message"),
    [
        (-1, OptionError, r"level >= 0, got -1"),
        (1.0, DtypeError, r"level as an integer or None, got float"),
        (True, DtypeError, r"got bool"),
    ],
)
def test_levels_that_do_not_exist(level: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        wavedec2(X, level=level)


@pytest.mark.parametrize(
    ("coeffs", "error", "message"),
    [
        (X, OptionError, r"coeffs as \(cA, \(cH, cV, cD\)\), got Tensor"),
        ((X,), OptionError, r"got a tuple of 1"),
        ("ab", OptionError, r"got str"),
        ((X, X), OptionError, r"details as \(cH, cV, cD\), got Tensor"),
        ((BANDS[0], BANDS[:2]), OptionError, r"got a tuple of 2"),
        ((None, (None, None, None)), OptionError, r"got None for all"),
        ((BANDS[0], (BANDS[0], 3.0, None)), DtypeError, r"expected cV as a torch.Tensor, got float"),
        ((X, BANDS), ShapeError, r"one shape, got \(2, 6, 6\) and \(2, 3, 3\) for cH"),
        ((BANDS[0].double(), BANDS), DtypeError, r"got torch.float64 on cpu and torch.float32 on cpu for cH"),
        ((BANDS[0].to("meta"), BANDS), DtypeError, r"got torch.float32 on meta and torch.float32 on cpu for cH"),
    ],
)
def test_what_cannot_be_reconstructed(coeffs: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        idwt2(coeffs)


@pytest.mark.parametrize("size", [(1, 4), (4, 1)])
def test_coefficients_shorter_than_half_a_filter(size: tuple[int, int]) -> None:
    with pytest.raises(ShapeError, match=r"at least 2 x 2 for 'db2' in mode symmetric"):
        idwt2((torch.zeros(size), (None, None, None)), "db2")
    assert idwt2((torch.zeros(size), (None, None, None)), "db2", "periodization").shape == (2 * size[0], 2 * size[1])


@pytest.mark.parametrize(
    ("coeffs", "error", "message"),
    [
        ([], OptionError, r"\[cA_n, \(cH_n, cV_n, cD_n\), ...\], got a list of 0"),
        (X, OptionError, r"got Tensor"),
        ([BANDS, BANDS], OptionError, r"got a list of 2"),
        ([X.long()], DtypeError, r"expected cA of float64"),
        ([X, 1.0], OptionError, r"details as .* got float"),
        ([X, BANDS], ShapeError, r"one shape, got \(2, 6, 6\) and \(2, 3, 3\)"),
        ([BANDS[0], (torch.zeros(3), None, None)], ShapeError, r"expected cH of shape .* got \(3,\)"),
    ],
)
def test_levels_that_cannot_be_reconstructed(coeffs: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        waverec2(coeffs)


@pytest.mark.parametrize("shape", [(7, 6), (6, 4), (4, 6), (6, 7)])
def test_shapes_that_cannot_have_been_decomposed(shape: tuple[int, int]) -> None:
    with pytest.raises(ShapeError, match=r"within one of the reconstructed \(6, 6\), got"):
        idwt2((BANDS[0], BANDS), shape=shape)


@pytest.mark.parametrize("shape", [(5,), "ab", (5.0, 6.0), 7, (4, 5, 6)])
def test_refuses_a_shape_that_is_not_two_integers(shape: object) -> None:
    coefficients = dwt2(torch.zeros(5, 6))
    for call in (idwt2, lambda coeffs, shape: waverec2(list(coeffs), shape=shape)):
        with pytest.raises(DtypeError, match=r"expected shape as two integers \(H, W\), got .*; pass x\.shape\[-2:\]"):
            call(coefficients, shape=shape)
