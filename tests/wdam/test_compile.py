from __future__ import annotations

import pytest
import torch
from torch._dynamo.testing import CompileCounter, CompileCounterWithBackend

from wdam import WDAM, butterfly
from wdam.reference import wdam_reference

# The compiler itself does what it warns of, whenever it traces a torch.autograd.Function.

FLOAT64_TOLERANCE = 1e-12
SIZES = [(8, 8), (9, 12), (12, 7), (5, 5), (16, 10)]  # every mixture of odd and even


@pytest.fixture(autouse=True)
def fresh_compiler() -> None:
    torch._dynamo.reset()


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(20260302)


def random_module(generator: torch.Generator, **options: object) -> WDAM:
    module = WDAM(4, **options).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return module


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("residual", [True, False])
def test_the_butterfly_equals_the_reference(scaled: bool, residual: bool, generator: torch.Generator) -> None:
    for height in (1, 2, 3, 4, 9):
        for width in (1, 2, 3, 6, 7):
            shapes = [(2, 3, height, width), (2, 12), (4, 2), *([()] if scaled else [])]
            leaves = [torch.randn(shape, dtype=torch.float64, generator=generator).requires_grad_() for shape in shapes]
            scale = leaves[3] if scaled else None
            ours = butterfly.butterfly(*leaves[:3], scale, residual)
            theirs = wdam_reference(*leaves[:3], scale=scale, residual=residual)
            torch.testing.assert_close(ours, theirs, rtol=0, atol=FLOAT64_TOLERANCE)
            dy = torch.randn(ours.shape, dtype=torch.float64, generator=generator)
            gradients = zip(torch.autograd.grad(ours, leaves, dy), torch.autograd.grad(theirs, leaves, dy), strict=True)
            for our, their in gradients:
                torch.testing.assert_close(our, their, rtol=0, atol=FLOAT64_TOLERANCE)


def test_the_butterfly_gives_the_first_of_equal_maxima_the_gradient() -> None:
    x = torch.zeros(1, 1, 6, 6, dtype=torch.float64)
    x[0, 0, 2:4, 2:4] = x[0, 0, 4:6, 0:2] = 1.0
    weights = torch.ones(1, 4, dtype=torch.float64), torch.ones(4, 1, dtype=torch.float64)
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    butterfly.butterfly(ours, *weights, None, True).sum().backward()
    wdam_reference(theirs, *weights).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=0, atol=FLOAT64_TOLERANCE)


@pytest.mark.parametrize("options", [{}, {"scale": True}, {"residual": False}, {"wavelet": "db2"}])
def test_two_graphs_without_a_break_serve_all_sizes(options: dict[str, object], generator: torch.Generator) -> None:
    module = random_module(generator, **options)
    counter = CompileCounter()
    compiled = torch.compile(module, fullgraph=True, backend=counter)
    for size in SIZES:
        x = torch.randn(2, 4, *size, dtype=torch.float64, generator=generator)
        torch.testing.assert_close(compiled(x), module(x), rtol=0, atol=FLOAT64_TOLERANCE)
    assert counter.frame_count <= 2


def test_training_needs_no_more_graphs(generator: torch.Generator) -> None:
    module = random_module(generator)
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(module, fullgraph=True, backend=counter)
    for size in SIZES:
        x = torch.randn(2, 4, *size, dtype=torch.float64, generator=generator)
        outcomes = []
        for call in (compiled, module):
            leaf = x.clone().requires_grad_()
            y = call(leaf)
            outcomes.append([y, *torch.autograd.grad(y.square().sum(), [leaf, *module.parameters()])])
        for ours, theirs in zip(*outcomes, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-11)
    assert counter.frame_count <= 2


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    "shapes",
    [
        [(2, 4, 8, 8), (2, 4, 9, 12), (2, 4, 12, 7), (2, 4, 5, 5)],  # N and C stay
        [(2, 4, 7, 5), (3, 4, 8, 8), (5, 4, 9, 12), (7, 4, 12, 7)],  # the batch changes, too
        [(2, 4, 9, 9), (3, 4, 9, 9), (5, 4, 9, 9), (7, 4, 9, 9)],  # nothing but the batch
    ],
    ids=["sizes", "sizes and batch", "batch"],
)
def test_two_graphs_serve_four_shapes(
    shapes: list[tuple[int, ...]], training: bool, generator: torch.Generator
) -> None:
    module = random_module(generator)
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(module, fullgraph=True, backend=counter)
    counts = []
    for shape in shapes:
        x = torch.randn(shape, dtype=torch.float64, generator=generator, requires_grad=training)
        y = compiled(x)
        torch.testing.assert_close(y, module(x), rtol=0, atol=FLOAT64_TOLERANCE)
        if training:
            (gradient,) = torch.autograd.grad(y.square().sum(), x)
            (expected,) = torch.autograd.grad(module(x).square().sum(), x)
            torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-11)
        counts.append(counter.frame_count)
    assert counts == [1, 2, 2, 2]


def test_inside_a_model_and_under_autocast(generator: torch.Generator) -> None:
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), WDAM(4), torch.nn.ReLU())
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    x = torch.randn(2, 3, 9, 10, generator=generator)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(compiled(x), model(x), rtol=2e-2, atol=2e-2)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.torch.jit.script")  # imported by the compiler's own passes
def test_inductor_agrees(generator: torch.Generator) -> None:
    module = random_module(generator, scale=True).float()
    compiled = torch.compile(module, fullgraph=True)
    x = torch.randn(2, 4, 9, 12, generator=generator)
    outcomes = []
    for call in (compiled, module):
        leaf = x.clone().requires_grad_()
        y = call(leaf)
        outcomes.append([y, *torch.autograd.grad(y.square().sum(), [leaf, *module.parameters()])])
    for ours, theirs in zip(*outcomes, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5 * max(1.0, float(theirs.detach().abs().max())))


@pytest.mark.filterwarnings("ignore:.torch.jit.script")  # imported by the compiler's own passes
@pytest.mark.parametrize("size", [(8, 6), (7, 9), (1, 4)])
@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_an_activation_in_place_may_follow(backend: str, size: tuple[int, int], generator: torch.Generator) -> None:
    module = random_module(generator)
    model = torch.nn.Sequential(module, torch.nn.ReLU(inplace=True))
    x = torch.randn(2, 4, *size, dtype=torch.float64, generator=generator).requires_grad_()
    expected = model(x)
    leaves = [x, *module.parameters()]
    gradients = torch.autograd.grad(expected.square().sum(), leaves)
    got = torch.compile(model, fullgraph=True, backend=backend)(x)
    torch.testing.assert_close(got, expected, rtol=FLOAT64_TOLERANCE, atol=FLOAT64_TOLERANCE)
    for ours, theirs in zip(torch.autograd.grad(got.square().sum(), leaves), gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)
