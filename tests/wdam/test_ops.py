from __future__ import annotations

import pytest
import torch

from wdam import ops
from wdam.backends import kernel_obstacle
from wdam.functions import fused_wdam
from wdam.reference import wdam_reference

FLOAT64_TOLERANCE = 1e-12
OBSTACLE = kernel_obstacle()
SHAPES = [(1, 2, 4, 4), (2, 1, 3, 5), (1, 2, 1, 1)]


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(20260302)


def arguments(
    generator: torch.Generator, shape: tuple[int, ...], dtype: torch.dtype = torch.float64, *, scaled: bool
) -> tuple[torch.Tensor | None, ...]:
    x = torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
    first = torch.randn(2, 4 * shape[1], generator=generator, dtype=torch.float64).to(dtype)
    second = torch.randn(4, 2, generator=generator, dtype=torch.float64).to(dtype)
    scale = torch.tensor(0.7, dtype=dtype) if scaled else None
    return tuple(None if value is None else value.requires_grad_() for value in (x, first, second, scale))


# Each call compiles several small graphs, also for sizes it leaves open.
@pytest.mark.parametrize(
    ("shape", "dtype", "scaled"),
    [((2, 2, 3, 5), torch.float64, True), ((2, 2, 4, 6), torch.bfloat16, False)],
)
def test_opcheck(shape: tuple[int, ...], dtype: torch.dtype, scaled: bool, generator: torch.Generator) -> None:
    values = arguments(generator, shape, dtype, scaled=scaled)
    torch.library.opcheck(ops.forward, (*values, True))
    pooled = [part.detach() for part in ops.forward(*values, True)[1:]]
    dy = torch.randn(shape, generator=generator).to(dtype).requires_grad_()
    torch.library.opcheck(ops.backward, (dy, *values, True, *pooled))


def test_opcheck_of_channels_last_and_sliced_input(generator: torch.Generator) -> None:
    x, first, second, _ = arguments(generator, (2, 3, 6, 8), scaled=False)
    for view in (x.detach().contiguous(memory_format=torch.channels_last), x.detach()[:, :, 1:, ::2]):
        values = (view, first, second, None, True)
        torch.library.opcheck(ops.forward, values, test_utils=("test_schema", "test_faketensor"))
        pooled = [part.detach() for part in ops.forward(*values)[1:]]
        gradient = (torch.ones_like(view), *values, *pooled)
        torch.library.opcheck(ops.backward, gradient, test_utils=("test_schema", "test_faketensor"))


@pytest.mark.parametrize("call", [lambda *a: ops.forward(*a)[0], fused_wdam], ids=["operator", "function"])
@pytest.mark.parametrize(("scaled", "residual"), [(False, True), (False, False), (True, True)])
@pytest.mark.parametrize("shape", SHAPES)
def test_derivatives_are_those_of_finite_differences(
    shape: tuple[int, ...], scaled: bool, residual: bool, call: object, generator: torch.Generator
) -> None:
    values = [value for value in arguments(generator, shape, scaled=scaled) if value is not None]

    def compute(
        x: torch.Tensor, first: torch.Tensor, second: torch.Tensor, scale: torch.Tensor | None = None
    ) -> object:
        return call(x, first, second, scale, residual)

    assert torch.autograd.gradcheck(compute, values)
    assert torch.autograd.gradgradcheck(compute, values)


def test_third_derivative(generator: torch.Generator) -> None:
    values = [value for value in arguments(generator, (1, 1, 3, 2), scaled=True) if value is not None]

    def gradient(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        y = fused_wdam(*tensors, True)
        return torch.autograd.grad(y.square().sum(), tensors, create_graph=True)

    assert torch.autograd.gradgradcheck(gradient, values)


def test_a_gradient_that_is_not_wanted_is_none(generator: torch.Generator) -> None:
    x, first, second, _ = arguments(generator, (1, 2, 4, 4), scaled=False)
    y, w, *_ = ops.forward(x.detach(), first, second, None, True)
    assert not w.requires_grad
    y.sum().backward()
    assert x.grad is None
    assert first.grad.shape == first.shape


def test_vmap_over_samples(generator: torch.Generator) -> None:
    x, first, second, scale = (value.detach() for value in arguments(generator, (6, 2, 5, 4), scaled=True))
    stacked = x.unflatten(0, (3, 2))
    expected = wdam_reference(x, first, second, scale=scale).unflatten(0, (3, 2))
    for dim in (0, 2):
        mapped = torch.vmap(lambda part: ops.forward(part, first, second, scale, True)[0], in_dims=dim)
        torch.testing.assert_close(mapped(stacked.movedim(0, dim)), expected, rtol=0, atol=FLOAT64_TOLERANCE)


def test_vmap_over_parameters(generator: torch.Generator) -> None:
    x, first, second, _ = (
        None if value is None else value.detach() for value in arguments(generator, (2, 2, 5, 4), scaled=False)
    )
    firsts = torch.stack([first, -first])
    mapped = torch.vmap(lambda weight: fused_wdam(x, weight, second, None, True))(firsts)
    for index in range(2):
        expected = wdam_reference(x, firsts[index], second)
        torch.testing.assert_close(mapped[index], expected, rtol=0, atol=FLOAT64_TOLERANCE)


def test_gradients_of_single_samples(generator: torch.Generator) -> None:
    x, first, second, scale = (value.detach() for value in arguments(generator, (3, 2, 5, 4), scaled=True))

    def loss(parameters: tuple[torch.Tensor, ...], sample: torch.Tensor) -> torch.Tensor:
        return fused_wdam(sample[None], *parameters, True).square().sum()

    mapped = torch.vmap(torch.func.grad(loss), in_dims=(None, 0))((first, second, scale), x)
    for index, sample in enumerate(x):
        leaves = [value.clone().requires_grad_() for value in (first, second, scale)]
        y = wdam_reference(sample[None], *leaves[:2], scale=leaves[2])
        for ours, theirs in zip(mapped, torch.autograd.grad(y.square().sum(), leaves), strict=True):
            torch.testing.assert_close(ours[index], theirs, rtol=0, atol=FLOAT64_TOLERANCE)


def test_gradient_of_a_sum_over_gradients_of_single_samples(generator: torch.Generator) -> None:
    """A rule for ``vmap`` that called an operator would fail inside an outer ``grad``."""
    x, first, second, _ = (
        None if value is None else value.detach() for value in arguments(generator, (3, 2, 3, 4), scaled=False)
    )

    def penalty(call: object, weight: torch.Tensor) -> torch.Tensor:
        def loss(sample: torch.Tensor) -> torch.Tensor:
            return call(sample[None], weight, second).square().sum()

        return torch.vmap(torch.func.grad(loss))(x).square().sum()

    ours = torch.func.grad(lambda w: penalty(lambda *a: fused_wdam(*a, None, True), w))(first)
    theirs = torch.func.grad(lambda w: penalty(wdam_reference, w))(first)
    torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)


def test_hessian_by_torch_func(generator: torch.Generator) -> None:
    x, first, second, _ = (
        None if value is None else value.detach() for value in arguments(generator, (1, 1, 2, 3), scaled=False)
    )
    ours = torch.func.jacrev(torch.func.grad(lambda s: fused_wdam(x, first, s, None, True).square().sum()))(second)
    theirs = torch.autograd.functional.hessian(lambda s: wdam_reference(x, first, s).square().sum(), second)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=FLOAT64_TOLERANCE)


@pytest.mark.gpu
@pytest.mark.skipif(OBSTACLE is not None, reason=f"no kernel can run: {OBSTACLE}")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("shape", [*SHAPES, (2, 16, 33, 64)])
def test_cuda_equals_the_cpu(shape: tuple[int, ...], dtype: torch.dtype, generator: torch.Generator) -> None:
    values = [value.detach() for value in arguments(generator, shape, dtype, scaled=True)]
    outcomes = []
    for device in ("cpu", "cuda"):
        leaves = [value.to(device).requires_grad_() for value in values]
        y = fused_wdam(*leaves, True)
        outcomes.append([y, *torch.autograd.grad(y.square().sum(), leaves)])
    tolerance = 1e-11 if dtype == torch.float64 else 1e-4
    for cpu, cuda in zip(*outcomes, strict=True):
        torch.testing.assert_close(cuda.cpu(), cpu, rtol=tolerance, atol=tolerance)


@pytest.mark.gpu
@pytest.mark.skipif(OBSTACLE is not None, reason=f"no kernel can run: {OBSTACLE}")
def test_opcheck_on_cuda(generator: torch.Generator) -> None:
    values = [value.detach().cuda().requires_grad_() for value in arguments(generator, (2, 2, 3, 5), scaled=True)]
    torch.library.opcheck(ops.forward, (*values, True))
    pooled = [part.detach() for part in ops.forward(*values, True)[1:]]
    torch.library.opcheck(ops.backward, (torch.ones_like(values[0]), *values, True, *pooled))
