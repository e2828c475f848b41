"""The fused passes against the reference, which other tests hold to PyWavelets."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from wdam import fused, fused_cuda, passes, tiles
from wdam.gate import gate, gate_backward
from wdam.reference import wdam_reference
from wdam.tiles import TilePlan

FLOAT64_TOLERANCE = 1e-12
SIZES = (1, 2, 3, 4, 5, 8, 9)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(20260302)


def arguments(
    generator: torch.Generator, shape: tuple[int, ...], dtype: torch.dtype = torch.float64, *, scaled: bool = False
) -> list[torch.Tensor | None]:
    x = torch.randn(shape, dtype=torch.float64, generator=generator).to(dtype)
    first = torch.randn(3, 4 * shape[1], dtype=torch.float64, generator=generator).to(dtype)
    second = torch.randn(4, 3, dtype=torch.float64, generator=generator).to(dtype)
    return [x, first, second, torch.tensor(0.7, dtype=dtype) if scaled else None]


def reference_gradients(
    values: list[torch.Tensor | None], dy: torch.Tensor, residual: bool
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    leaves = [None if value is None else value.detach().requires_grad_() for value in values]
    x, first, second, scale = leaves
    y = wdam_reference(x, first, second, scale=scale, residual=residual)
    return y.detach(), list(torch.autograd.grad(y, [leaf for leaf in leaves if leaf is not None], dy))


def assert_like_reference(values: list[torch.Tensor | None], residual: bool, tolerance: float) -> None:
    dy = torch.randn(values[0].shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    dy = dy.to(values[0].dtype)
    y, gradients = reference_gradients(values, dy, residual)
    ours, pooled = fused.forward(*values, residual)
    torch.testing.assert_close(ours, y, rtol=0, atol=tolerance)
    found = fused.backward(dy, *values, residual, pooled)
    for ours, theirs in zip((found.x, found.w1, found.w2, found.scale), gradients, strict=False):
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("tile", [1, 50, tiles.TILE])
@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_values_and_gradients_are_the_references(
    layout: torch.memory_format, scaled: bool, tile: int, generator: torch.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fused, "TilePlan", lambda x: TilePlan(x, tile))
    for height, width in product(SIZES, SIZES):
        values = arguments(generator, (3, 2, height, width), scaled=scaled)
        values[0] = values[0].contiguous(memory_format=layout)
        assert_like_reference(values, scaled or (height + width) % 3 != 0, FLOAT64_TOLERANCE)


@pytest.mark.parametrize("height", range(1, 34))
def test_every_size_in_float32(height: int, generator: torch.Generator) -> None:
    for width in range(1, 34):
        x, first, second, _ = arguments(generator, (1, 3, height, width), torch.float32)
        y, _ = fused.forward(x, first, second, None, True)
        # Compared in float64 with the same float32 numbers, so that all of the difference is ours.
        exact = wdam_reference(x.double(), first.double(), second.double())
        largest = max(1.0, float(exact.abs().max()))
        assert float((y.double() - exact).abs().max()) <= 2e-6 * largest


@pytest.mark.parametrize("shape", [(2, 3, 64, 65), (1, 5, 33, 32), (4, 8, 7, 7)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_gradients_in_float32(shape: tuple[int, ...], layout: torch.memory_format, generator: torch.Generator) -> None:
    values = arguments(generator, shape, torch.float32, scaled=True)
    values[0] = values[0].contiguous(memory_format=layout)
    dy = torch.randn(shape, generator=generator)
    _, pooled = fused.forward(*values, True)
    found = fused.backward(dy, *values, True, pooled)
    _, exact = reference_gradients([value.double() for value in values], dy.double(), True)
    for ours, theirs in zip((found.x, found.w1, found.w2, found.scale), exact, strict=True):
        assert float((ours.double() - theirs).abs().max()) <= 2e-6 * max(1.0, float(theirs.abs().max()))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("size", [(32, 32), (31, 17)])
def test_half_types_err_hardly_more_than_by_rounding_the_result(
    dtype: torch.dtype, size: tuple[int, int], generator: torch.Generator
) -> None:
    values = arguments(generator, (4, 6, *size), dtype, scaled=True)
    dy = torch.randn(4, 6, *size, generator=generator).to(dtype)
    exact_y, exact = reference_gradients([value.double() for value in values], dy.double(), True)
    y, pooled = fused.forward(*values, True)
    found = fused.backward(dy, *values, True, pooled)
    assert y.dtype == found.x.dtype == dtype
    for ours, theirs in ((y, exact_y), (found.x, exact[0])):
        rounding = float((theirs.to(dtype).double() - theirs).abs().max())
        assert float((ours.double() - theirs).abs().max()) <= 1.1 * rounding


def adversarial(kind: str, dtype: torch.dtype, generator: torch.Generator) -> torch.Tensor:
    """Return ``(3, 5, 21, 18)`` values that make sums in a half type, or a second rounding, show."""
    x = torch.randn(3, 5, 21, 18, generator=generator)
    if kind == "large mean":
        x = x + 1000
    elif kind == "alternating":  # sub-bands cancel
        x = x + 500 * torch.tensor([1.0, -1.0]).repeat(9)
    elif kind == "few large":
        x[:, :, 4, 5] = 30_000.0
    elif kind == "small":
        x = x * 2.0**-12
    elif kind == "constant":
        x = torch.full_like(x, 1.2001)
    x = x.to(dtype)
    return x.contiguous(memory_format=torch.channels_last) if kind in {"channels last", "large mean"} else x


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    "kind", ["large mean", "alternating", "few large", "small", "constant", "channels last", "normal"]
)
def test_half_types_on_values_that_are_hard(kind: str, dtype: torch.dtype, generator: torch.Generator) -> None:
    x = adversarial(kind, dtype, generator)
    weights = [0.05 * torch.randn(shape, generator=generator) for shape in ((3, 20), (4, 3))]
    values = [x, *weights, None]  # float32 weights, as under autocast
    dy = torch.randn(x.shape, generator=generator).to(dtype)
    exact_y, exact = reference_gradients(
        [None if value is None else value.double() for value in values], dy.double(), True
    )
    y, pooled = fused.forward(*values, True)
    found = fused.backward(dy, *values, True, pooled)
    for ours, theirs in ((y, exact_y), (found.x, exact[0])):
        rounding, error = (theirs.to(dtype).double() - theirs), (ours.double() - theirs)
        assert float(error.abs().max()) <= 1.1 * float(rounding.abs().max())
        assert float(error.square().mean()) <= 1.1**2 * float(rounding.square().mean())


@given(st.integers(0, 2**32 - 1), st.integers(1, 700), st.sampled_from(["normal", "integers", "zeros", "nan"]))
def test_first_maximum_is_the_librarys(seed: int, size: int, kind: str) -> None:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(2, 3, size, generator=generator)
    if kind == "integers":  # many ties
        values = values.round()
    elif kind == "zeros":
        values = torch.zeros_like(values)
    elif kind == "nan":
        values[torch.rand(values.shape, generator=generator) < 0.01] = torch.nan
    largest, place = values.max(-1)
    for view in (values, values.transpose(-1, -2).contiguous().transpose(-1, -2)):
        ours, our_place = passes.first_maximum(view)
        torch.testing.assert_close(ours, largest, rtol=0, atol=0, equal_nan=True)
        assert torch.equal(our_place, place)


@pytest.mark.parametrize("tile", [1, tiles.TILE])
def test_the_first_of_equal_maxima_gets_the_gradient(tile: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "TilePlan", lambda x: TilePlan(x, tile))
    x = torch.zeros(1, 1, 6, 6, dtype=torch.float64)
    x[0, 0, 2:4, 2:4] = 1.0  # block 4
    x[0, 0, 4:6, 0:2] = 1.0  # block 6, the same
    _, pooled = fused.forward(x, torch.ones(1, 4).double(), torch.ones(4, 1).double(), None, True)
    _, argmax = passes.dot_and_argmax(TilePlan(x, tile), x, x)
    assert argmax.tolist() == [[4, 0, 0, 0]]  # constant details: the first block of all
    assert pooled.maximum.tolist() == [[2.0, 0.0, 0.0, 0.0]]
    gradients = fused.backward(
        torch.ones_like(x), x, torch.ones(1, 4).double(), torch.ones(4, 1).double(), None, True, pooled
    )
    _, exact = reference_gradients(
        [x, torch.ones(1, 4).double(), torch.ones(4, 1).double(), None], torch.ones_like(x), True
    )
    torch.testing.assert_close(gradients.x, exact[0], rtol=0, atol=FLOAT64_TOLERANCE)


def test_a_constant_map_has_no_details(generator: torch.Generator) -> None:
    _, first, second, _ = arguments(generator, (1, 2, 1, 1))
    _, pooled = fused.forward(torch.full((1, 2, 5, 7), 3.0).double(), first, second, None, True)
    assert pooled.mean.tolist() == pooled.maximum.tolist() == [[6.0, 6.0] + [0.0] * 6]


@pytest.mark.parametrize("tile", [1, tiles.TILE])
@pytest.mark.parametrize("place", [(0, 0), (3, 2), (4, 4)])
def test_nan_reaches_everything_of_its_sample_and_nothing_of_others(
    place: tuple[int, int], tile: int, generator: torch.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fused, "TilePlan", lambda x: TilePlan(x, tile))
    values = arguments(generator, (2, 2, 5, 5))
    clean, _ = fused.forward(*values, True)
    values[0][0, 1, *place] = torch.nan
    y, pooled = fused.forward(*values, True)
    assert bool(y[0].isnan().all())
    assert bool(pooled.w[0].isnan().all())
    assert torch.equal(y[1], clean[1])


def test_infinity_leaves_nothing_finite_in_its_block(generator: torch.Generator) -> None:
    values = arguments(generator, (2, 2, 6, 6))
    clean, _ = fused.forward(*values, True)
    values[0][0, 1, 2, 2] = torch.inf
    y, _ = fused.forward(*values, True)
    assert not bool(y[0, 1, 2:4, 2:4].isfinite().any())
    assert torch.equal(y[1], clean[1])


@pytest.mark.parametrize("tile", [64, 1000, tiles.TILE])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@given(st.integers(1, 5), st.integers(1, 40), st.integers(1, 20), st.integers(1, 20))
def test_tiles_cover_every_element_once(
    layout: torch.memory_format, tile: int, samples: int, channels: int, height: int, width: int
) -> None:
    x = torch.zeros(samples, channels, height, width).contiguous(memory_format=layout)
    plan = TilePlan(x, tile)
    for group in plan.groups:
        for part in plan.tiles:
            assert part.rows.start % 2 == 0
            part.of(x[group]).add_(1)
    assert bool((x == 1).all())


class CpuPasses:
    """The kernels' interface, in plain PyTorch."""

    def pool(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        plan = TilePlan(x)
        mean = torch.empty(len(x), 4, x.shape[1], dtype=plan.dtype)
        maximum = torch.empty_like(mean)
        passes.pool(plan, x, mean, maximum)
        return mean.flatten(1), maximum.flatten(1), passes.dot_and_argmax(plan, x, x)[1]

    def gate(self, mean: torch.Tensor, maximum: torch.Tensor, w1: torch.Tensor, w2: torch.Tensor) -> tuple:
        return gate(mean, maximum, w1, w2), (mean @ w1.T).relu(), (maximum @ w1.T).relu()

    def reweight(self, x: torch.Tensor, w: torch.Tensor, scale: torch.Tensor | None, residual: bool) -> torch.Tensor:
        y = torch.empty_like(x)
        passes.reweight(TilePlan(x), x, y, passes.mix_of(w, scale, residual))
        return y

    def subband_dot(self, x: torch.Tensor, dy: torch.Tensor) -> torch.Tensor:
        return passes.dot_and_argmax(TilePlan(x), x, dy)[0]

    def gate_backward(self, dw: torch.Tensor, w: torch.Tensor, mean: torch.Tensor, *rest: torch.Tensor) -> tuple:
        maximum, _, _, w1, w2 = rest
        return gate_backward(dw, w, mean, maximum, w1, w2)

    def input_gradient(self, dy: torch.Tensor, w: torch.Tensor, *rest: object) -> torch.Tensor:
        scale, residual, from_mean, from_max, argmax, x = rest
        dx = torch.empty_like(x)
        passes.input_gradient(TilePlan(x), dy, dx, passes.mix_of(w, scale, residual), from_mean, from_max, argmax)
        return dx


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("sliced", [False, True])
def test_the_kernels_passes_are_put_together_rightly(scaled: bool, sliced: bool, generator: torch.Generator) -> None:
    values = arguments(generator, (2, 3, 7, 6), scaled=scaled)
    if sliced:
        values[0] = values[0][:, :, :, ::2]
    dy = torch.randn(values[0].shape, dtype=torch.float64, generator=generator)
    y, gradients = reference_gradients(values, dy, True)
    ours, pooled = fused_cuda.forward(*values, True, passes=CpuPasses())
    torch.testing.assert_close(ours, y, rtol=0, atol=FLOAT64_TOLERANCE)
    found = fused_cuda.backward(dy, *values, True, pooled, passes=CpuPasses())
    for ours, theirs in zip((found.x, found.w1, found.w2, found.scale), gradients, strict=False):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=FLOAT64_TOLERANCE)
