"""The transform kernels against PyWavelets, run on the CPU by tests/wdam/host_shim."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import pywt
import torch
from torch import Tensor

if not sys.platform.startswith("linux"):
    pytest.skip("the host shim needs Linux (ucontext, flock)", allow_module_level=True)

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
    library.impl("synthesis", transforms.idwt2, "CPU")
    yield forwards
    library._destroy()


def _random(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


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
    expected = torch.from_numpy(np.stack([ll, lh, hl, hh]))
    actual = transforms.dwt2(x, *_decompose(wavelet), mode)
    assert actual.shape == expected.shape
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
    other = _random(*subbands.shape, seed=1)
    left = (subbands * other).sum()
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
    assert subbands.dtype == dtype
    torch.testing.assert_close(subbands.double(), exact, rtol=1.1 * rounding, atol=1e-5 * rounding + 1e-6)
    back = transforms.idwt2(subbands, *_reconstruct(wavelet), "zero", *(n + n % 2 for n in size))
    exact_back = transforms.idwt2(subbands.double(), *_reconstruct(wavelet), "zero", *(n + n % 2 for n in size))
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
    assert out.shape == (4, 0, 3, 4)
    assert transforms.idwt2(out, *_reconstruct("db2"), "zero", 4, 6).shape == (0, 4, 6)
    assert forwards.launched == []


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # PyTorch's own forward derivatives use it
@pytest.mark.parametrize("wavelet", ["haar", "db2"])
@pytest.mark.parametrize("mode", MODES)
def test_operators_are_differentiable_twice(on_cpu, wavelet, mode):
    low, high = _decompose(wavelet)
    x = _random(3, 4).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda t: analysis(t, low, high, mode).sin(), x)
    assert torch.autograd.gradcheck(lambda t: split(t, low, high, mode).sin(), x, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(lambda t: split(t, low, high, mode).sin(), x)
    subbands = _random(*split(x, low, high, mode).shape).requires_grad_()
    assert torch.autograd.gradcheck(lambda t: synthesis(t, low, high, mode, 3, 4).sin(), subbands)
    assert torch.autograd.gradcheck(lambda t: merge(t, low, high, mode, 3, 4).sin(), subbands, check_forward_ad=True)


def test_split_and_merge_under_functional_transforms_and_the_compiler(on_cpu):
    (low, high), dual = _decompose("db2"), _reconstruct("db2")
    x = _random(4, 5, 6)

    def loss(t: Tensor) -> Tensor:
        subbands = split(t, low, high, "symmetric")
        return (merge(subbands**2, *dual, "zero", 6, 6) ** 2).sum()

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
    subbands = analysis(x.detach(), low, high, "reflect").requires_grad_()
    tests = ("test_schema", "test_faketensor", "test_autograd_registration")
    torch.library.opcheck(torch.ops.wdam.analysis.default, (x, low, high, "reflect"), test_utils=tests)
    torch.library.opcheck(torch.ops.wdam.synthesis.default, (subbands, low, high, "reflect", 5, 7), test_utils=tests)
    mapped = torch.vmap(lambda t: analysis(t, low, high, "zero"), in_dims=1)(x.detach())
    looped = torch.stack([analysis(t, low, high, "zero") for t in x.detach().unbind(1)])
    assert torch.equal(mapped, looped)
    mapped = torch.vmap(lambda t: synthesis(t, low, high, "reflect", 5, 7), in_dims=2)(subbands.detach())
    looped = torch.stack([synthesis(t, low, high, "reflect", 5, 7) for t in subbands.detach().unbind(2)])
    assert torch.equal(mapped, looped)


def test_haar_is_recognised_by_its_numbers():
    assert transforms.is_haar(*_decompose("haar")) and transforms.is_haar(*_reconstruct("db1"))
    assert not transforms.is_haar(*_decompose("db2"))
    assert not transforms.is_haar([0.5, 0.5], [0.5, -0.5])
