"""The kernels on a GPU: against the reference, on streams, in CUDA graphs, twice the same, and in little memory."""

from __future__ import annotations

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import pywt
import torch
from torch import Tensor

from wdam import WDAM, dwt2, idwt2
from wdam.kernels import device, launch
from wdam.kernels.transform_ops import merge, split

OBSTACLE = device.obstacle()
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(OBSTACLE is not None, reason=f"no kernel can run: {OBSTACLE}")]

CUDA = torch.device("cuda")
DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
LAYOUTS = (torch.contiguous_format, torch.channels_last)
TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-6, torch.float16: 2**-11, torch.bfloat16: 2**-8}
SHAPES = (
    (1, 1, 1, 1),
    (2, 3, 1, 7),
    (1, 64, 7, 7),
    (3, 16, 15, 17),
    (2, 64, 56, 56),
    (2, 12, 14, 14),
    (1, 3, 512, 384),  # a plane split among blocks
    (70_000, 2, 4, 4),  # more samples than a grid has rows
)


def _random(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    # Made on the CPU: every GPU sees the same numbers, none of which has two maxima or a hidden unit near zero that
    # float32 and float64 would tell apart differently.
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(CUDA, dtype)


def _module(channels: int, dtype: torch.dtype = torch.float32) -> WDAM:
    torch.manual_seed(0)
    return WDAM(channels, backend="cuda").to(CUDA, dtype)


def _exact(module: WDAM, x: Tensor, dy: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Return result and gradients of plain PyTorch in float64 on the CPU."""
    plain = copy.deepcopy(module).cpu().double()
    plain.backend = "torch"
    leaf = x.detach().cpu().double().requires_grad_()
    y = plain(leaf)
    gradients = torch.autograd.grad(y, (leaf, *plain.parameters()), dy.cpu().double())
    return y.detach(), gradients[0], list(gradients[1:])


def _close(actual: Tensor, expected: Tensor, dtype: torch.dtype, factor: float = 1.0) -> None:
    error = (actual.detach().cpu().double() - expected).abs()
    bound = factor * TOLERANCE[dtype] * expected.abs().clamp(min=1.0)
    assert bool((error <= bound).all()), f"{(error / bound).max().item():.3g} times the bound"


@pytest.mark.parametrize("layout", LAYOUTS, ids=["nchw", "nhwc"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_module_equals_plain_pytorch(shape, dtype, layout):
    module = _module(shape[1])  # float32 weights; under autocast features may be half
    module = module.double() if dtype == torch.float64 else module
    seed = 2 if shape[0] > 65_535 else 0  # see `_random`; of so many samples one is near zero for most seeds
    x = _random(*shape, dtype=dtype, seed=seed).contiguous(memory_format=layout).requires_grad_()
    dy = _random(*shape, dtype=dtype, seed=1).contiguous(memory_format=layout)
    y = module(x)
    assert y.dtype == dtype and y.is_contiguous(memory_format=layout)
    gradients = torch.autograd.grad(y, (x, *module.parameters()), dy)
    exact_y, exact_x, exact_weights = _exact(module, x, dy)
    _close(y, exact_y, dtype, 1.1)
    _close(gradients[0], exact_x, dtype, 4)
    accumulator = torch.float64 if dtype == torch.float64 else torch.float32
    size = max(1.0, x.numel() ** 0.5)
    for actual, expected in zip(gradients[1:], exact_weights, strict=True):
        _close(actual, expected, accumulator, 4 * size)


def test_ties_nan_and_infinity():
    x = torch.ones(1, 3, 6, 6, device=CUDA)
    x[0, 1, 3, 3] = float("nan")
    x[0, 2, 0, 5] = float("inf")
    for layout in LAYOUTS:
        _, maximum, where = launch.pool(x.contiguous(memory_format=layout))
        assert where.view(4, 3)[:, 0].tolist() == [0] * 4
        assert where.view(4, 3)[:, 1].tolist() == [4] * 4 and maximum.view(4, 3)[:, 1].isnan().all()
        assert where.view(4, 3)[0, 2] == 2 and maximum.view(4, 3)[0, 2] == float("inf")


def test_current_stream_is_used():
    module, x = _module(64), _random(8, 64, 56, 56)
    expected = module(x)
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        module(torch.empty_like(x).copy_(x))  # fetches memory for this stream, for which the driver might wait
        torch.cuda._sleep(1)
        stream.synchronize()
        torch.cuda._sleep(200_000_000)  # a kernel on another stream would run now, before x is filled
        later = torch.empty_like(x)
        later.copy_(x)
        y = module(later)
        done = stream.record_event()
    assert not done.query()  # nothing waited
    stream.synchronize()
    assert torch.equal(y, expected)


def test_a_thread_that_has_launched_nothing_yet():
    """PyTorch takes memory from its cache without a context; a launch needs one."""
    module, x = _module(64), _random(8, 64, 28, 28)
    with torch.no_grad():
        expected = module(x)
        with ThreadPoolExecutor(1) as pool:
            found = pool.submit(lambda: launch.pool(x)).result()
            y = pool.submit(torch.no_grad()(lambda: module(x))).result()
    torch.cuda.synchronize()
    assert torch.equal(y, expected)
    assert all(torch.equal(left, right) for left, right in zip(found, launch.pool(x), strict=True))


def test_forward_and_backward_in_a_cuda_graph():
    module, x, dy = _module(64), _random(4, 64, 28, 28).requires_grad_(), _random(4, 64, 28, 28, seed=1)

    def step() -> tuple[Tensor, ...]:
        y = module(x)
        return y.detach(), *torch.autograd.grad(y, (x, *module.parameters()), dy)

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        step()  # compiles
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step()
    with torch.no_grad():
        x.copy_(_random(4, 64, 28, 28, seed=2))
    graph.replay()
    torch.cuda.synchronize()
    assert all(torch.equal(left, right) for left, right in zip(captured, step(), strict=True))


@pytest.mark.parametrize("layout", LAYOUTS, ids=["nchw", "nhwc"])
def test_two_runs_are_equal_bit_by_bit(layout):
    module = _module(256)
    x = _random(16, 256, 56, 56).contiguous(memory_format=layout).requires_grad_()
    dy = _random(16, 256, 56, 56, seed=1).contiguous(memory_format=layout)
    first, *rest = (torch.autograd.grad(module(x), (x, *module.parameters()), dy) for _ in range(3))
    for other in rest:
        assert all(torch.equal(left, right) for left, right in zip(first, other, strict=True))


def _extra(work: Callable[[], object]) -> int:
    """Return the most bytes that ``work`` holds beside what was there before."""
    work()  # compiles
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    work()
    return torch.cuda.max_memory_allocated() - before


@pytest.mark.parametrize("layout", LAYOUTS, ids=["nchw", "nhwc"])
def test_peak_memory(layout):
    module = _module(256)
    x = _random(64, 256, 56, 56).contiguous(memory_format=layout)
    size = x.numel() * x.element_size()
    with torch.no_grad():
        assert _extra(lambda: module(x)) / size <= 1.02
    x.requires_grad_()
    dy = torch.ones_like(x)
    for gradient in (dy, dy[0, 0, 0, 0].expand(x.shape)):  # the second as from `y.sum()`

        def train(gradient: Tensor = gradient) -> None:
            torch.autograd.grad(module(x), (x, *module.parameters()), gradient)

        assert _extra(train) / size <= 2.05


@pytest.mark.parametrize("layout", LAYOUTS, ids=["nchw", "nhwc"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_gradient_of_a_sum_equals_that_of_ones(dtype, layout):
    module = _module(16, torch.float64 if dtype == torch.float64 else torch.float32)
    x = _random(3, 16, 15, 18, dtype=dtype).contiguous(memory_format=layout).requires_grad_()
    summed = torch.autograd.grad(module(x).sum(), (x, *module.parameters()))
    ones = torch.autograd.grad(module(x), (x, *module.parameters()), torch.ones_like(x))
    for actual, expected in zip(summed, ones, strict=True):
        # The compiler may join other products and sums; a sum of thousands of products differs in its last bits.
        _close(actual, expected.cpu().double(), actual.dtype, 4 if actual is summed[0] else 4 * x.numel() ** 0.5)


@pytest.mark.parametrize("wavelet", ["haar", "db4"])
def test_peak_memory_of_the_transforms(wavelet):
    """Beside the result a filter bank holds both halves of the first axis in float32; Haar holds nothing."""
    x = _random(16, 64, 128, 128)
    size = x.numel() * x.element_size()
    most = 1.05 if wavelet == "haar" else 2.3
    coefficients = dwt2(x, wavelet)
    assert _extra(lambda: dwt2(x, wavelet)) / size <= most
    assert _extra(lambda: idwt2(coefficients, wavelet)) / size <= most
    leaf = x.requires_grad_()
    bands = (coefficients[0], *coefficients[1])
    results = dwt2(leaf, wavelet)

    def back() -> None:
        torch.autograd.grad((results[0], *results[1]), leaf, bands, retain_graph=True)

    assert _extra(back) / size <= most


@pytest.mark.parametrize("wavelet", ["haar", "bior2.2"])
def test_bands_apart_together_and_shared(wavelet):
    bank, x = pywt.Wavelet(wavelet), _random(2, 3, 30, 34)
    bands = split(x, bank.dec_lo[::-1], bank.dec_hi[::-1], "symmetric")
    height, width = (2 * n - bank.dec_len + 2 for n in bands[0].shape[-2:])
    rebuilt = merge(bands, bank.rec_lo, bank.rec_hi, "zero", height, width)
    ll, lh, hl, hh = torch.stack(bands)
    assert torch.equal(merge((ll, lh, hl, hh), bank.rec_lo, bank.rec_hi, "zero", height, width), rebuilt)
    ll, lh, hl, hh = (band.mT.contiguous().mT for band in bands)
    assert torch.equal(merge((ll, lh, hl, hh), bank.rec_lo, bank.rec_hi, "zero", height, width), rebuilt)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("mode", ["zero", "symmetric", "reflect", "periodic", "periodization"])
@pytest.mark.parametrize("wavelet", ["haar", "db4", "bior2.2", "dmey"])
def test_transforms_equal_pywt(wavelet, mode, dtype):
    bank, x = pywt.Wavelet(wavelet), _random(2, 3, 33, 40, dtype=dtype)
    ll, (lh, hl, hh) = pywt.dwt2(x.double().cpu().numpy(), bank, mode)
    subbands = split(x, bank.dec_lo[::-1], bank.dec_hi[::-1], mode)
    assert all(band.dtype == dtype for band in subbands)
    for actual, expected in zip(subbands, (ll, lh, hl, hh), strict=True):
        _close(actual, torch.from_numpy(expected), dtype, 4)
    back = pywt.idwt2((ll, (lh, hl, hh)), bank, mode)
    height, width = back.shape[-2:]
    behind = mode if mode == "periodization" else "zero"
    _close(merge(subbands, bank.rec_lo, bank.rec_hi, behind, height, width), torch.from_numpy(back), dtype, 16)


def test_an_index_beyond_32_bits():
    """3 billion numbers: the last sample must come out right."""
    free, _ = torch.cuda.mem_get_info()
    if free < 16 << 30:
        pytest.skip("needs 16 GiB of free GPU memory")
    x = torch.zeros(3, 1024, 1024, 1024, dtype=torch.float16, device=CUDA)
    x[2, -1] = _random(1024, 1024, dtype=torch.float16)
    y = launch.reweight(x, torch.zeros(3, 4, device=CUDA), None, True)
    assert torch.equal(y[2, -1], x[2, -1]) and torch.equal(y[0, 0], x[0, 0])
    del y
    mean, _, _ = launch.pool(x)
    torch.testing.assert_close(mean[2, 1023], x[2, -1].float().mean() * 2, rtol=1e-3, atol=1e-6)


def test_every_device_gets_its_own_kernel():
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    x = _random(2, 16, 8, 8)
    expected = launch.pool(x)
    other = launch.pool(x.to("cuda:1"))
    assert all(torch.equal(left, right.to(CUDA)) for left, right in zip(expected, other, strict=True))
