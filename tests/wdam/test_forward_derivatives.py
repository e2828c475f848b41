"""Forward derivatives, and those of second order that are made of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.autograd import forward_ad

from wdam import WDAM, dwt2, idwt2
from wdam.blocks import is_pushed_forward
from wdam.errors import BackendError
from wdam.functional import wdam

# PyTorch's own forward derivatives use what it has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script")

TOLERANCE = 1e-11
Function = Callable[..., torch.Tensor]


@pytest.fixture
def inputs() -> tuple[torch.Tensor, ...]:
    shapes = (1, 2, 3, 4), (3, 8), (4, 3), ()
    generator = torch.Generator().manual_seed(20260302)
    return tuple(torch.randn(shape, dtype=torch.float64, generator=generator) for shape in shapes)


def loss(x: torch.Tensor, first: torch.Tensor, second: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    return wdam(x, first, second, scale=scale).pow(3).sum()


def test_gradcheck_by_forward_derivatives(inputs: tuple[torch.Tensor, ...]) -> None:
    leaves = [value.requires_grad_() for value in inputs]

    def call(x: torch.Tensor, first: torch.Tensor, second: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        return wdam(x, first, second, scale=scale)

    assert torch.autograd.gradcheck(call, leaves, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(call, leaves, check_fwd_over_rev=True)


def test_every_way_to_a_hessian_is_the_same(inputs: tuple[torch.Tensor, ...]) -> None:
    places = tuple(range(4))
    expected = torch.autograd.functional.hessian(loss, inputs)
    assert all(part.abs().max() > 0 for row in expected for part in row)
    for outer, inner in (
        (torch.func.jacfwd, torch.func.jacrev),  # what torch.func.hessian does
        (torch.func.jacfwd, torch.func.jacfwd),
        (torch.func.jacrev, torch.func.jacfwd),
        (torch.func.jacrev, torch.func.jacrev),
    ):
        found = outer(inner(loss, argnums=places), argnums=places)(*inputs)
        for ours, theirs in zip(found, expected, strict=True):
            for our, their in zip(ours, theirs, strict=True):
                torch.testing.assert_close(our, their, rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("wavelet", ["haar", "db2"])
@pytest.mark.parametrize("size", [(4, 6), (3, 5)])
def test_second_forward_derivative_of_the_transforms(size: tuple[int, int], wavelet: str) -> None:
    """PyTorch would lose it inside of a ``torch.autograd.Function`` with a rule of its own."""
    x = torch.randn(1, 2, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def total(x: torch.Tensor) -> torch.Tensor:
        approximation, details = dwt2(x, wavelet)
        merged = idwt2((approximation.square(), details), wavelet, shape=size)
        return merged.pow(3).sum()

    expected = torch.autograd.functional.hessian(total, x)
    for found in (torch.func.hessian(total)(x), torch.func.jacfwd(torch.func.jacfwd(total))(x)):
        torch.testing.assert_close(found, expected, rtol=TOLERANCE, atol=TOLERANCE)


def test_dual_numbers_through_a_module() -> None:
    torch.manual_seed(0)
    module, x = WDAM(2, scale=True).double(), torch.randn(2, 2, 5, 6).double()
    torch.nn.init.ones_(module.scale)
    direction = torch.randn_like(x)
    with forward_ad.dual_level():
        assert is_pushed_forward()
        pushed = forward_ad.unpack_dual(module(forward_ad.make_dual(x, direction))).tangent
    assert not is_pushed_forward()
    step = 1e-6
    expected = (module(x + step * direction) - module(x - step * direction)) / (2 * step)
    torch.testing.assert_close(pushed, expected, rtol=0, atol=1e-8)


def test_a_gradient_pushed_forward_after_the_result_was_made(inputs: tuple[torch.Tensor, ...]) -> None:
    leaves = [value.requires_grad_() for value in inputs]
    y = wdam(*leaves[:3], scale=leaves[3])
    dy, direction = torch.ones_like(y), torch.randn_like(y)
    with forward_ad.dual_level():
        pushed = torch.autograd.grad(y, leaves, forward_ad.make_dual(dy, direction), retain_graph=True)
        tangents = [forward_ad.unpack_dual(gradient).tangent for gradient in pushed]
    expected = torch.autograd.grad(y, leaves, direction)  # a gradient is linear in `dy`
    for ours, theirs in zip(tangents, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=TOLERANCE)


def test_the_kernels_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    from wdam import backends

    class OnDevice:
        device = torch.device("cuda")

    with forward_ad.dual_level():
        assert backends.choose_route("auto", OnDevice(), obstacle=lambda: None) == "plain"
        with pytest.raises(BackendError, match=r"expected .* forward derivative .* got 'cuda', .*'auto' first"):
            backends.choose_route("cuda", OnDevice(), obstacle=lambda: None)
    assert backends.choose_route("cuda", OnDevice(), obstacle=lambda: None) == "operator"
