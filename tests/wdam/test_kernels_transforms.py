"""The transform kernels against PyWavelets, run on the CPU by tests/wdam/host_shim."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest
import pywt
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

if not sys.platform.startswith("linux"):
    pytest.skip("the host shim needs Linux (ucontext, flock)", allow_module_level=True)

import wdam
from wdam.kernels import device, transforms
from wdam.kernels.transform_ops import analysis, merge, split, synthesis


def _load() -> ModuleType:
    path = Path(__file__).parent / "host_shim" / "host_shim.py"
    spec = importlib.util.spec_from_file_location("wdam_host_shim", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(spec.name, module)
    spec.loader.exec_module(module)
    return module


host = _load()
pytestmark = pytest.mark.skipif(host.COMPILER is None, reason="needs g++ to run the CUDA sources on the CPU")

WAVELETS = ("haar", "db2", "db5", "bior1.3", "bior4.4", "rbio2.2", "sym4", "dmey")
MODES = tuple(transforms.MODES)
SIZES = ((1, 1), (1, 6), (2, 3), (5, 8), (7, 7), (16, 18), (9, 33))


@pytest.fixture(params=[False, True], ids=["forwards", "backwards"])
def shim(request, monkeypatch):
    return _use(host.HostShim(backwards=request.param), monkeypatch)


@pytest.fixture
def forwards(monkeypatch):
    return _use(host.HostShim(), monkeypatch)


def _use(shim, monkeypatch):
    monkeypatch.setattr(device, "run", shim.run)
    return shim


@pytest.fixture
def on_cpu(forwards, monkeypatch):
    """Give the operators a CPU implementation for the time of one test: the kernels, run by the shim."""
    library = torch.library.Library("wdam", "IMPL")
    library.impl("analysis", transforms.dwt2, "CPU")
    library.impl("synthesis", lambda *given: transforms.idwt2(given[:4], *given[4:]), "CPU")
    yield forwards
    library._destroy()


def _random(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def _like(bands: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return other numbers of the same shapes."""
    return tuple(_random(*band.shape, seed=1 + number) for number, band in enumerate(bands))


class _Copies(TorchDispatchMode):
    """Lists every operation of PyTorch that writes numbers somewhere else."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if any(name in str(func) for name in ("stack", "cat", "copy", "clone", "contiguous", "zeros", "add")):
            self.seen.append(str(func))
        return func(*args, **(kwargs or {}))


def _decompose(wavelet: str) -> tuple[list[float], list[float]]:
    bank = pywt.Wavelet(wavelet)
    return bank.dec_lo[::-1], bank.dec_hi[::-1]


def _reconstruct(wavelet: str) -> tuple[list[float], list[float]]:
    bank = pywt.Wavelet(wavelet)
    return bank.rec_lo, bank.rec_hi


@pytest.mark.parametrize(
    ("mode", "size"),
    # PyWavelets refuses to reflect a single number.
    [(mode, size) for mode in MODES for size in SIZES if mode != "reflect" or 1 not in size],
    ids=str,
)
@pytest.mark.parametrize("wavelet", WAVELETS)
def test_both_directions_equal_pywt(forwards, wavelet, mode, size):
    x = _random(2, *size)
    ll, (lh, hl, hh) = pywt.dwt2(x.numpy(), wavelet, mode)
    expected = tuple(torch.from_numpy(band) for band in (ll, lh, hl, hh))
    actual = transforms.dwt2(x, *_decompose(wavelet), mode)
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-13)

    back = torch.from_numpy(pywt.idwt2((ll, (lh, hl, hh)), wavelet, mode))
    behind = mode if mode == "periodization" else "zero"
    again = transforms.idwt2(expected, *_reconstruct(wavelet), behind, back.shape[-2], back.shape[-1])
    torch.testing.assert_close(again, back, rtol=0, atol=1e-13)
    assert any(("haar_" if wavelet == "haar" else "filterbank_") in name for name in forwards.launched)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("wavelet", ["haar", "db3", "bior2.6"])
def test_synthesis_is_the_transpose_of_analysis(shim, wavelet, mode, size):
    low, high = _decompose(wavelet)
    x = _random(2, 3, *size)
    subbands = transforms.dwt2(x, low, high, mode)
    other = _like(subbands)
    left = sum((band * one).sum() for band, one in zip(subbands, other, strict=True))
    right = (x * transforms.idwt2(other, low, high, mode, *size)).sum()
    torch.testing.assert_close(left, right, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("size", [(2, 2), (4, 16), (5, 16), (6, 12), (8, 34), (3, 5)], ids=str)
@pytest.mark.parametrize("wavelet", ["haar", "db2"])
def test_every_dtype_and_vector_width(forwards, wavelet, size, dtype):
    x = _random(3, *size, dtype=dtype)
    low, high = _decompose(wavelet)
    exact = transforms.dwt2(x.double(), low, high, "symmetric")
    rounding = {torch.float16: 2**-11, torch.bfloat16: 2**-8, torch.float32: 1e-6}[dtype]
    subbands = transforms.dwt2(x, low, high, "symmetric")
    assert all(band.dtype == dtype for band in subbands)
    wide = tuple(band.double() for band in subbands)
    torch.testing.assert_close(wide, exact, rtol=1.1 * rounding, atol=1e-5 * rounding + 1e-6)
    back = transforms.idwt2(subbands, *_reconstruct(wavelet), "zero", *(n + n % 2 for n in size))
    exact_back = transforms.idwt2(wide, *_reconstruct(wavelet), "zero", *(n + n % 2 for n in size))
    torch.testing.assert_close(back.double(), exact_back, rtol=1.1 * rounding, atol=1e-5 * rounding + 1e-6)


@pytest.mark.parametrize("offset", [0, 1, 2, 4, 6, 8])
def test_haar_reads_and_writes_only_its_tensors(forwards, offset):
    buffer = torch.full((2 * 4 * 16 + 32,), float("nan"), dtype=torch.float16)
    x = buffer[offset : offset + 128].view(2, 4, 16)
    x.copy_(_random(2, 4, 16))
    subbands = transforms.dwt2(x, *_decompose("haar"), "symmetric")
    torch.testing.assert_close(subbands, transforms.dwt2(x.clone(), *_decompose("haar"), "symmetric"))
    vector = int(forwards.launched[0].split(", ")[1].rstrip(">"))
    assert vector == {0: 8, 8: 8, 4: 2, 2: 1, 6: 1, 1: 1}[offset]


def test_no_planes_launch_nothing(forwards):
    out = transforms.dwt2(torch.zeros(0, 4, 6), *_decompose("db2"), "zero")
    assert [tuple(band.shape) for band in out] == [(0, 3, 4)] * 4
    assert transforms.idwt2(out, *_reconstruct("db2"), "zero", 4, 6).shape == (0, 4, 6)
    assert forwards.launched == []


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # PyTorch's own forward derivatives use it
@pytest.mark.parametrize("wavelet", ["haar", "db2"])
@pytest.mark.parametrize("mode", MODES)
def test_operators_are_differentiable_twice(on_cpu, wavelet, mode):
    low, high = _decompose(wavelet)
    x = _random(3, 4).requires_grad_()

    def sines(transform):
        return lambda t: tuple(band.sin() for band in transform(t, low, high, mode))

    assert torch.autograd.gradgradcheck(sines(analysis), x)
    assert torch.autograd.gradcheck(sines(split), x, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(sines(split), x)
    bands = tuple(band.requires_grad_() for band in _like(split(x, low, high, mode)))
    assert torch.autograd.gradcheck(lambda *t: synthesis(*t, low, high, mode, 3, 4).sin(), bands)
    assert torch.autograd.gradcheck(lambda *t: merge(t, low, high, mode, 3, 4).sin(), bands, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(lambda *t: merge(t, low, high, mode, 3, 4).sin(), bands)


def test_derivatives_of_some_of_the_bands(on_cpu):
    """One result without a gradient counts as zero, and one argument without a tangent."""
    (low, high), dual = _decompose("db2"), _reconstruct("db2")
    x = _random(6, 8).requires_grad_()
    ll, lh, hl, hh = split(x, low, high, "symmetric")
    (gradient,) = torch.autograd.grad(hl.sum(), x)
    zeros, ones = torch.zeros_like(hl), torch.ones_like(hl)
    assert torch.equal(gradient, transforms.idwt2((zeros, zeros, ones, zeros), low, high, "symmetric", 6, 8))
    fixed = tuple(band.detach() for band in (ll, lh, hl, hh))

    def rebuilt(band: Tensor) -> Tensor:
        return merge((fixed[0], band, *fixed[2:]), *dual, "zero", 6, 8)

    tangent = torch.func.jvp(rebuilt, (fixed[1],), (ones,))[1]
    assert torch.equal(tangent, transforms.idwt2((zeros, ones, zeros, zeros), *dual, "zero", 6, 8))


def test_split_and_merge_under_functional_transforms_and_the_compiler(on_cpu):
    (low, high), dual = _decompose("db2"), _reconstruct("db2")
    x = _random(4, 5, 6)

    def loss(t: Tensor) -> Tensor:
        subbands = split(t, low, high, "symmetric")
        return (merge(tuple(band**2 for band in subbands), *dual, "zero", 6, 6) ** 2).sum()

    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(loss(leaf), leaf)
    torch.testing.assert_close(torch.func.grad(loss)(x), expected)
    torch.testing.assert_close(torch.vmap(torch.func.grad(loss))(x), expected)
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    (traced,) = torch.autograd.grad(compiled(leaf), leaf)
    torch.testing.assert_close(traced, expected)


def test_operators_pass_opcheck_and_vmap(on_cpu):
    low, high = _decompose("db2")
    x = _random(3, 2, 5, 7).requires_grad_()
    bands = tuple(band.requires_grad_() for band in analysis(x.detach(), low, high, "reflect"))
    tests = ("test_schema", "test_faketensor", "test_autograd_registration")
    torch.library.opcheck(torch.ops.wdam.analysis.default, (x, low, high, "reflect"), test_utils=tests)
    torch.library.opcheck(torch.ops.wdam.synthesis.default, (*bands, low, high, "reflect", 5, 7), test_utils=tests)
    x, bands = x.detach(), tuple(band.detach() for band in bands)
    for op in (analysis, split):
        mapped = torch.vmap(lambda t, op=op: op(t, low, high, "zero"), in_dims=1)(x)
        looped = zip(*(op(t, low, high, "zero") for t in x.unbind(1)), strict=True)
        assert all(torch.equal(one, torch.stack(many)) for one, many in zip(mapped, looped, strict=True))
    for op in (synthesis, lambda ll, lh, hl, hh, *others: merge((ll, lh, hl, hh), *others)):
        # One band is mapped over its first axis, one not at all, the others over their second.
        first, alone = bands[0].movedim(1, 0), bands[1][:, 0]
        mapped = torch.vmap(lambda *t, op=op: op(*t, low, high, "reflect", 5, 7), in_dims=(0, None, 1, 1))(
            first, alone, *bands[2:]
        )
        looped = [
            op(bands[0][:, i], alone, bands[2][:, i], bands[3][:, i], low, high, "reflect", 5, 7) for i in range(2)
        ]
        assert torch.equal(mapped, torch.stack(looped))


@pytest.mark.parametrize("wavelet", ["haar", "db2"])
def test_bands_are_read_where_they_lie(forwards, wavelet, monkeypatch):
    """Apart, as views of one tensor, one twice, or strided: the same; only what is not contiguous is copied."""
    bands = transforms.dwt2(_random(2, 3, 8, 16, dtype=torch.float32), *_decompose(wavelet), "symmetric")
    assert len({band.untyped_storage().data_ptr() for band in bands}) == 4
    filters = _reconstruct(wavelet)
    sizes = (8, 16) if wavelet == "haar" else tuple(2 * n - 2 for n in bands[0].shape[-2:])
    addresses = []
    run = device.run
    monkeypatch.setattr(device, "run", lambda *call: (addresses.extend(call[3]), run(*call)))
    expected = transforms.idwt2(bands, *filters, "zero", *sizes)
    assert {band.data_ptr() for band in bands} <= set(addresses)
    stacked = torch.stack(bands)
    addresses.clear()
    assert torch.equal(transforms.idwt2(tuple(stacked), *filters, "zero", *sizes), expected)
    assert {band.data_ptr() for band in stacked} <= set(addresses)
    mixed = tuple(band.mT.contiguous().mT if k == 2 else band for k, band in enumerate(bands))
    addresses.clear()
    assert torch.equal(transforms.idwt2(mixed, *filters, "zero", *sizes), expected)
    assert [band.data_ptr() in addresses for band in mixed] == [True, True, False, True]
    same = transforms.idwt2((bands[0],) * 4, *filters, "zero", *sizes)
    assert torch.equal(same, transforms.idwt2(tuple(bands[0].clone() for _ in range(4)), *filters, "zero", *sizes))


@pytest.mark.parametrize(("offset", "vector"), [(0, 8), (8, 8), (4, 4), (2, 2), (6, 2), (1, 1)])
def test_one_band_off_a_boundary_narrows_all_accesses(forwards, offset, vector):
    bands = list(transforms.dwt2(_random(2, 4, 16, dtype=torch.float16), *_decompose("haar"), "symmetric"))
    buffer = torch.full((bands[3].numel() + 32,), float("nan"), dtype=torch.float16)
    moved = buffer[offset : offset + bands[3].numel()].view(bands[3].shape).copy_(bands[3])
    expected = transforms.idwt2(tuple(bands), *_reconstruct("haar"), "zero", 4, 16)
    assert torch.equal(transforms.idwt2((*bands[:3], moved), *_reconstruct("haar"), "zero", 4, 16), expected)
    assert forwards.launched[-1] == f"wdam::haar_synthesis<wdam::Half, {vector}>"


def test_public_transforms_copy_no_band(on_cpu, monkeypatch):
    """Neither stacked before the kernel nor behind it, forwards and backwards."""
    monkeypatch.setattr(wdam.transforms, "_has_kernel", lambda x: True)
    x = _random(2, 3, 8, 16).requires_grad_()
    with _Copies() as copies:
        approximation, details = wdam.dwt2(x, "haar")
        y = wdam.idwt2((approximation, details), "haar")
        (gradient,) = torch.autograd.grad(y, x, _random(2, 3, 8, 16, seed=1))
    assert copies.seen == []
    assert on_cpu.launched == [f"wdam::haar_{name}<double, 2>" for name in ("analysis", "synthesis") * 2]
    torch.testing.assert_close(y, x)
    torch.testing.assert_close(gradient, _random(2, 3, 8, 16, seed=1))


def test_filters_stay_on_the_device(forwards):
    """A kernel on another stream or in a captured graph may read them long after hundreds of others were used."""
    x = _random(2, 2)
    first = transforms._taps((1.0, 2.0), (3.0, 4.0), torch.float64, x.device)
    for number in range(300):
        transforms.dwt2(x, (float(number), 2.0), (3.0, 4.0), "zero")
    assert transforms._taps((1.0, 2.0), (3.0, 4.0), torch.float64, x.device) is first


def test_haar_is_recognised_by_its_numbers():
    assert transforms.is_haar(*_decompose("haar")) and transforms.is_haar(*_reconstruct("db1"))
    assert not transforms.is_haar(*_decompose("db2"))
    assert not transforms.is_haar([0.5, 0.5], [0.5, -0.5])
