"""The CUDA kernels, launched by the code that launches them on a GPU, but run on the CPU by tests/wdam/host_shim."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor

if not sys.platform.startswith("linux"):
    pytest.skip("the host shim needs Linux (ucontext, flock)", allow_module_level=True)

from wdam import fused, fused_cuda
from wdam.errors import DtypeError, ShapeError
from wdam.kernels import device, launch
from wdam.kernels.layout import FeatureMap, vector_width


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

DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
LAYOUTS = (torch.contiguous_format, torch.channels_last)
# Output rounding and, for float32, sums of a few thousand terms.
TOLERANCE = {torch.float64: 1e-13, torch.float32: 2e-6, torch.float16: 2**-11, torch.bfloat16: 2**-8}
SHAPES = (
    (1, 1, 1, 1),
    (2, 3, 1, 7),
    (1, 5, 7, 1),
    (3, 4, 5, 6),
    (2, 8, 8, 8),  # 16-byte vectors in both layouts
    (1, 2, 9, 16),  # ... with an odd height
    (2, 16, 3, 5),
    (1, 12, 7, 7),
    (1, 1, 62, 32),  # a block of threads less one row of units, exactly one, and one row more
    (1, 1, 64, 32),
    (1, 1, 66, 32),
    (1, 8, 2, 254),  # the same for channels-last
    (1, 8, 2, 256),
    (1, 8, 2, 258),
)


@pytest.fixture(params=[False, True], ids=["forwards", "backwards"])
def shim(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return _use(host.HostShim(backwards=request.param), monkeypatch)


@pytest.fixture
def forwards(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return _use(host.HostShim(), monkeypatch)


def _use(shim, monkeypatch):
    monkeypatch.setattr(device, "run", shim.run)
    monkeypatch.setattr(device, "multiprocessors", shim.multiprocessors)
    return shim


def _random(shape: tuple[int, ...], dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def _acc(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32


def _pad(x: Tensor) -> Tensor:
    x = torch.cat([x, x[..., -1:, :]], -2) if x.shape[-2] % 2 else x
    return torch.cat([x, x[..., -1:]], -1) if x.shape[-1] % 2 else x


def _bands(x: Tensor) -> Tensor:
    """Return (N, 4, C, h, w) of an even x."""
    a, b, c, d = x[..., ::2, ::2], x[..., ::2, 1::2], x[..., 1::2, ::2], x[..., 1::2, 1::2]
    # In this order a copied row or column cancels exactly, so that the reference has the kernels' ties.
    return torch.stack([(a + b) + (c + d), (a + b) - (c + d), (a - b) + (c - d), (a - b) - (c - d)], 1) / 2


def _merge(s: Tensor) -> Tensor:
    ll, lh, hl, hh = s.unbind(1)
    out = torch.zeros(*ll.shape[:-2], 2 * ll.shape[-2], 2 * ll.shape[-1], dtype=s.dtype)
    out[..., ::2, ::2] = (ll + lh + hl + hh) / 2
    out[..., ::2, 1::2] = (ll + lh - hl - hh) / 2
    out[..., 1::2, ::2] = (ll - lh + hl - hh) / 2
    out[..., 1::2, 1::2] = (ll - lh - hl + hh) / 2
    return out


def _reference(x: Tensor, w: Tensor, scale: float, residual: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return y, mean, maximum and argmax in float64, differentiable."""
    bands = _bands(_pad(x))
    y = scale * _merge(bands * w[:, :, None, None, None])[..., : x.shape[-2], : x.shape[-1]]
    maximum, where = bands.flatten(-2).max(-1)
    return y + x if residual else y, bands.mean((-2, -1)).flatten(1), maximum.flatten(1), where.flatten(1)


def _close(actual: Tensor, expected: Tensor, dtype: torch.dtype, factor: float = 1.0) -> None:
    error = (actual.double() - expected).abs()
    bound = factor * TOLERANCE[dtype] * expected.abs().clamp(min=1.0)
    assert bool((error <= bound).all()), f"{(error / bound).max().item():.3g} times the bound"


@pytest.mark.parametrize("layout", LAYOUTS, ids=["nchw", "nhwc"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_pass_equals_the_plain_formula(forwards, shape, dtype, layout):
    x = _random(shape, dtype).contiguous(memory_format=layout)
    dy = _random(shape, dtype, 1).contiguous(memory_format=layout)
    w = torch.sigmoid(_random((shape[0], 4), _acc(dtype), 2))
    g_mean, g_max = (_random((shape[0], 4 * shape[1]), _acc(dtype), seed) for seed in (3, 4))
    scale, residual = 0.7, shape[1] % 2 == 0
    exact_x, exact_w = x.double().requires_grad_(), w.double().requires_grad_()
    y, mean, maximum, where = _reference(exact_x, exact_w, scale, residual)
    loss = (y * dy.double()).sum() + (mean * g_mean.double()).sum() + (maximum * g_max.double()).sum()
    loss.backward()
    acc = _acc(dtype)

    got_mean, got_max, got_where = launch.pool(x)
    assert got_mean.dtype == got_max.dtype == acc and got_where.dtype == torch.int32
    _close(got_mean, mean.detach(), acc)
    _close(got_max, maximum.detach(), acc)
    assert torch.equal(got_where.long(), where)

    factor = torch.tensor(scale, dtype=torch.float64)
    got_y = launch.reweight(x, w, factor, residual)
    assert got_y.dtype == dtype and got_y.is_contiguous(memory_format=layout)
    _close(got_y, y.detach(), dtype)

    dot = launch.subband_dot(x, dy)
    _close(scale * dot, exact_w.grad, acc, max(1.0, x[0].numel() ** 0.5))

    dx = launch.input_gradient(dy, w, factor, residual, g_mean, g_max, got_where, x)
    assert dx.dtype == dtype and dx.is_contiguous(memory_format=layout)
    _close(dx, exact_x.grad, dtype, 2.0)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_ties_go_to_the_first_block_and_nan_wins(shim, dtype):
    x = torch.zeros(1, 6, 6, 10, dtype=dtype)
    x[0, 1, 2, 3] = x[0, 1, 4, 9] = 5  # the same maximum in blocks 6 and 14
    x[0, 2, 5, 5] = x[0, 2, 3, 3] = float("nan")  # blocks 12 and 6
    x[0, 3] = float("-inf")
    x[0, 4, 0, 0] = float("inf")
    x[0, 5] = -1
    for layout in LAYOUTS:
        mean, maximum, where = launch.pool(x.contiguous(memory_format=layout))
        bands = _bands(x.double())[0].flatten(-2)  # (4, C, blocks)
        assert where.view(4, 6)[:, 0].tolist() == [0, 0, 0, 0]
        assert where.view(4, 6)[0, 1] == 6 and maximum.view(4, 6)[0, 1] == 2.5
        assert where.view(4, 6)[:, 2].tolist() == [6] * 4
        assert maximum.view(4, 6)[:, 2].isnan().all() and mean.view(4, 6)[:, 2].isnan().all()
        assert where.view(4, 6)[:, 3].tolist() == [0] * 4  # LL is minus infinity, the others NaN, in every block
        assert where.view(4, 6)[:, 4].tolist() == [0] * 4 and (maximum.view(4, 6)[:, 4] == float("inf")).all()
        assert where.view(4, 6)[:, 5].tolist() == [0] * 4
        expected = bands.max(-1).values
        assert torch.equal(maximum.view(4, 6).double().nan_to_num(7e7), expected.nan_to_num(7e7))


@pytest.mark.parametrize("layout", LAYOUTS, ids=["nchw", "nhwc"])
def test_the_winner_of_a_tie_gets_the_gradient(shim, layout):
    x = torch.ones(1, 8, 5, 5, dtype=torch.float32).contiguous(memory_format=layout)
    where = launch.pool(x)[2]
    zeros, ones = torch.zeros(1, 32), torch.ones(1, 32)
    dx = launch.input_gradient(torch.zeros_like(x), torch.zeros(1, 4), None, False, zeros, ones, where, x)
    expected = torch.zeros(1, 8, 5, 5)
    expected[:, :, 0, 0] = 2  # the four sub-bands of block 0 pull pixel a up and cancel elsewhere
    assert torch.equal(dx, expected)


@pytest.mark.parametrize(
    ("shape", "dtype", "multiprocessors", "split"),
    [
        ((1, 3, 4, 6), torch.float32, 2, (False, False)),
        ((1, 1, 130, 65), torch.float64, 2, (True, True)),  # a plane split among blocks of threads
        ((1, 1, 96, 96), torch.float32, 4, (True, True)),
        ((1, 4, 60, 60), torch.float32, 4, (False, False)),  # a block per plane, because planes are few
        ((2, 40, 9, 12), torch.float16, 2, (False, False)),
        ((1, 8, 64, 96), torch.bfloat16, 8, (False, True)),
    ],
    ids=str,
)
@pytest.mark.parametrize("layout", LAYOUTS, ids=["nchw", "nhwc"])
def test_pooling_in_parts_equals_pooling_at_once(monkeypatch, shape, dtype, multiprocessors, split, layout):
    x = (_random(shape) * 4).round().to(dtype).contiguous(memory_format=layout)  # integers: sums are exact, ties many
    shim = _use(host.HostShim(multiprocessors=multiprocessors), monkeypatch)
    got = launch.pool(x)
    # A single channel has both layouts at once and counts as contiguous.
    last = layout == torch.channels_last and shape[1] > 1
    assert any("pool_channels_last" in name for name in shim.launched) == last
    assert any("pool_finish" in name for name in shim.launched) == split[last]
    _, mean, maximum, _ = _reference(x.double(), torch.zeros(shape[0], 4), 0.0, False)
    first = (_bands(_pad(x.double())).flatten(-2) == maximum.view(shape[0], 4, -1, 1)).int().argmax(-1).flatten(1)
    _close(got[0], mean, _acc(dtype))
    assert torch.equal(got[1].double(), maximum) and torch.equal(got[2].long(), first)
    again = _use(host.HostShim(multiprocessors=multiprocessors, backwards=True), monkeypatch)
    assert all(torch.equal(left, right) for left, right in zip(launch.pool(x), got, strict=True)) and again.launched


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(
    ("samples", "channels", "hidden", "large"),
    [
        (1, 1, 1, False),
        (3, 5, 2, False),
        (5, 16, 4, False),
        (2, 70, 17, False),
        (66, 1, 3, False),
        (3, 3, 67, False),
        (2, 512, 130, True),
    ],
)
def test_perceptron_forward_and_backward(shim, dtype, samples, channels, hidden, large):
    mean, maximum = (_random((samples, 4 * channels), dtype, seed) for seed in (0, 1))
    w1, w2 = _random((hidden, 4 * channels), dtype, 2) / channels**0.5, _random((4, hidden), dtype, 3)
    dw = _random((samples, 4), dtype, 4)
    exact = [tensor.double().requires_grad_() for tensor in (mean, maximum, w1, w2)]
    hidden_mean, hidden_max = (exact[0] @ exact[2].T).relu(), (exact[1] @ exact[2].T).relu()
    weights = torch.sigmoid(hidden_mean @ exact[3].T + hidden_max @ exact[3].T)
    expected = torch.autograd.grad((weights * dw.double()).sum(), exact)

    got = launch.gate(mean, maximum, w1, w2)
    assert any("gate_hidden" in name for name in shim.launched) == large
    for actual, wanted in zip(got, (weights, hidden_mean, hidden_max), strict=True):
        assert actual.dtype == dtype
        _close(actual, wanted.detach(), dtype, 10)
    gradients = launch.gate_backward(dw, got[0], mean, maximum, got[1], got[2], w1, w2)
    for actual, wanted in zip(gradients, expected, strict=True):
        assert actual.dtype == dtype
        _close(actual, wanted, dtype, 20)


def test_perceptron_of_half_weights_and_unaligned_means(shim):
    mean, maximum = (_random((2, 13), torch.float32, seed)[:, 1:] for seed in (0, 1))
    w1, w2 = _random((3, 12), torch.float16, 2), _random((4, 3), torch.float16, 3)
    weights = launch.gate(mean, maximum, w1, w2)[0]
    hidden = (mean @ w1.float().T).relu() + (maximum @ w1.float().T).relu()
    _close(weights, torch.sigmoid(hidden @ w2.float().T).double(), torch.float32)
    first = torch.randn(41)[1:].view(2, 20)  # 4 bytes off: the vector instance must not be taken
    launch.gate(first, first, torch.ones(1, 20), torch.ones(4, 1))
    assert shim.launched[-1] == "wdam::gate<float, 1>"


def test_perceptron_passes_nan_on(shim):
    mean = torch.zeros(2, 4)
    mean[1, 2] = float("nan")
    weights = launch.gate(mean, torch.zeros(2, 4), torch.ones(2, 4), torch.ones(4, 2))[0]
    assert torch.equal(weights[0], torch.full((4,), 0.5)) and weights[1].isnan().all()


@pytest.mark.parametrize("offset", range(1, 9))
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("layout", LAYOUTS, ids=["nchw", "nhwc"])
def test_nothing_outside_the_tensors_is_read_or_written(forwards, monkeypatch, offset, dtype, layout):
    shape = (2, 8, 3, 8)

    def inside(fill: float) -> tuple[Tensor, Tensor]:
        buffer = torch.full((2 * 8 * 3 * 8 + 32,), fill, dtype=dtype)
        middle = buffer[offset : offset + 2 * 8 * 3 * 8]
        if layout == torch.channels_last:
            return buffer, middle.view(2, 3, 8, 8).permute(0, 3, 1, 2)
        return buffer, middle.view(shape)

    outputs: list[Tensor] = []

    def empty(self: FeatureMap) -> Tensor:
        buffer, view = inside(123.0)
        outputs.append(buffer)
        return view

    monkeypatch.setattr(FeatureMap, "empty", empty)
    x, dy = inside(float("nan"))[1], inside(float("nan"))[1]
    x.copy_(_random(shape, dtype))
    dy.copy_(_random(shape, dtype, 1))
    w = torch.rand(2, 4, dtype=_acc(dtype))
    y, mean, maximum, _ = _reference(x.double(), w.double(), 1.0, True)
    _close(launch.reweight(x, w, None, True), y, dtype)
    _, _, where = pooled = launch.pool(x)
    _close(pooled[0], mean, _acc(dtype))
    _close(pooled[1], maximum, _acc(dtype))
    assert launch.subband_dot(x, dy).isfinite().all()
    zeros = torch.zeros(2, 32, dtype=_acc(dtype))
    assert launch.input_gradient(dy, w, None, True, zeros, zeros, where, x).isfinite().all()
    for buffer in outputs:
        assert (buffer[:offset] == 123).all() and (buffer[offset + 2 * 8 * 3 * 8 :] == 123).all()
    assert len(outputs) == 2
    width = vector_width(8, x)
    assert width == next(v for v in (8, 4, 2, 1) if v * x.element_size() <= 16 and offset % v == 0)
    assert any(f", {width}, " in name for name in forwards.launched)


def test_strided_and_mixed_layouts(forwards):
    base = _random((2, 6, 10, 12), torch.float32)
    x = base[:, ::2, 1:, ::3]
    w = torch.rand(2, 4)
    y, mean, _, _ = _reference(x.double(), w.double(), 1.0, False)
    _close(launch.reweight(x, w, None, False), y, torch.float32)
    _close(launch.pool(x)[0], mean, torch.float32)
    dy = _random(x.shape, torch.float32, 1)
    same = launch.subband_dot(x.contiguous(), dy)
    assert torch.equal(launch.subband_dot(x, dy.contiguous(memory_format=torch.channels_last)), same)


@pytest.mark.parametrize("layout", LAYOUTS, ids=["nchw", "nhwc"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [*SHAPES, (1, 1, 1, 2), (2, 16, 6, 16)], ids=str)
def test_a_gradient_of_one_number_is_not_written_out(forwards, shape, dtype, layout):
    """As ``y.sum()`` sends back: the same bits as written out, from the instances that read one number."""
    x = _random(shape, dtype).contiguous(memory_format=layout)
    dy = torch.tensor([float("nan"), -1.75, float("nan")], dtype=torch.float64)[1].expand(shape)
    w = torch.sigmoid(_random((shape[0], 4), _acc(dtype), 2))
    g_mean, g_max = (_random((shape[0], 4 * shape[1]), _acc(dtype), seed) for seed in (3, 4))
    where, written = launch.pool(x)[2], dy.to(dtype).contiguous(memory_format=layout).clone()
    results = []
    for given in (dy, written):
        del forwards.launched[:]
        dot = launch.subband_dot(x, given)
        results.append((dot, launch.input_gradient(given, w, None, True, g_mean, g_max, where, x)))
        names = [name for name in forwards.launched if "finish" not in name]
        # A single pixel has no strides to tell.
        assert all(name.endswith(f", {str(given is dy and x.numel() > 1).lower()}>") for name in names)
        assert len(names) == 2
    assert all(torch.equal(left, right) for left, right in zip(*results, strict=True))
    assert results[0][1].is_contiguous(memory_format=layout)


@pytest.mark.parametrize("spread", [(1, 4, 1, 1), (2, 1, 5, 6), (1, 1, 5, 6), (2, 4, 5, 1)], ids=str)
def test_a_gradient_expanded_in_some_dimensions_is(forwards, spread):
    shape = (2, 4, 5, 6)
    x, dy = _random(shape), _random(spread, seed=1).expand(shape)
    assert torch.equal(launch.subband_dot(x, dy), launch.subband_dot(x, dy.contiguous()))
    assert forwards.launched[0].endswith(", false>")


def test_empty_batches_launch_nothing(forwards):
    x, w = torch.zeros(0, 3, 4, 5), torch.zeros(0, 4)
    assert [tuple(t.shape) for t in launch.pool(x)] == [(0, 12)] * 3
    assert launch.reweight(x, w, None, True).shape == x.shape and launch.subband_dot(x, x).shape == (0, 4)
    mean = torch.zeros(0, 12)
    weights, first, second = launch.gate(mean, mean, torch.ones(2, 12), torch.ones(4, 2))
    gradients = launch.gate_backward(w, weights, mean, mean, first, second, torch.ones(2, 12), torch.ones(4, 2))
    assert [tuple(t.shape) for t in gradients] == [(0, 12), (0, 12), (2, 12), (4, 2)]
    assert not gradients[2].any() and not gradients[3].any()
    dx = launch.input_gradient(x, w, None, True, mean, mean, torch.zeros(0, 12, dtype=torch.int32), x)
    assert dx.shape == x.shape and forwards.launched == []


def test_results_do_not_depend_on_the_order_of_threads(monkeypatch):
    x, dy, w = _random((2, 8, 34, 32), torch.float32), _random((2, 8, 34, 32), torch.float32, 1), torch.rand(2, 4)
    results = []
    for backwards in (False, True):
        _use(host.HostShim(backwards=backwards), monkeypatch)
        pooled = launch.pool(x)
        gate = launch.gate(*pooled[:2], _random((5, 32), torch.float32), _random((4, 5), torch.float32))
        results.append((*pooled, *gate, launch.subband_dot(x, dy), launch.reweight(x, w, None, True)))
    assert all(torch.equal(first, second) for first, second in zip(*results, strict=True))


def test_half_conversions_of_the_shim_are_those_of_torch(forwards):
    """One number per sample passes through widen and narrow unchanged, or is rounded by a scale."""
    every = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16)
    for dtype in (torch.float16, torch.bfloat16):
        x = every.view(dtype).view(1, 1, 1, -1)
        same = launch.reweight(x, torch.zeros(1, 4), None, True)
        finite = x.isfinite()
        assert torch.equal(same[finite], x[finite])
        third = launch.reweight(x, torch.full((1, 4), 1.0), torch.tensor(1 / 3), False)
        wanted = (x.float() * torch.tensor(1 / 3)).to(dtype)
        assert torch.equal(third[finite], wanted[finite])


def test_planes_beyond_32_bits_and_unknown_dtypes_are_refused(forwards):
    with pytest.raises(ShapeError, match=r"less than 2\*\*31 blocks"):
        FeatureMap.of(torch.empty(1, 1, 2**17, 2**17, device="meta"))
    with pytest.raises(ShapeError, match=r"\(N, C, H, W\)"):
        FeatureMap.of(torch.zeros(3, 4))
    with pytest.raises(DtypeError, match="float16, bfloat16, float32 or float64"):
        launch.pool(torch.zeros(1, 1, 2, 2, dtype=torch.int32))


@pytest.mark.parametrize("summed", [False, True], ids=["", "sum"])
@pytest.mark.parametrize("layout", LAYOUTS, ids=["nchw", "nhwc"])
@pytest.mark.parametrize("scaled", [False, True])
def test_the_whole_module_on_the_kernels_equals_the_cpu_operators(shim, layout, scaled, summed):
    """What a CUDA tensor runs through, pass by pass, against what a CPU tensor runs through."""
    x = _random((2, 6, 7, 10)).contiguous(memory_format=layout)
    dy = torch.ones((), dtype=x.dtype).expand(x.shape) if summed else _random(x.shape, seed=1)
    w1, w2, scale = _random((3, 24), seed=2), _random((4, 3), seed=3), torch.tensor(0.3, dtype=torch.float64)
    arguments = (x, w1, w2, scale if scaled else None, True)
    y, saved = fused_cuda.forward(*arguments, passes=launch)
    expected_y, expected = fused.forward(*arguments)
    torch.testing.assert_close(y, expected_y, rtol=0, atol=1e-13)
    torch.testing.assert_close(saved.w, expected.w, rtol=0, atol=1e-13)
    gradients = fused_cuda.backward(dy, *arguments, saved, passes=launch)
    assert any(name.startswith("wdam::input_gradient") and name.endswith("true>") for name in shim.launched) == summed
    wanted = fused.backward(dy, *arguments, expected)
    for name in ("x", "w1", "w2", "scale") if scaled else ("x", "w1", "w2"):
        torch.testing.assert_close(getattr(gradients, name), getattr(wanted, name), rtol=1e-12, atol=1e-12)
