from __future__ import annotations

import contextlib
import operator
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from torch import Tensor, nn

from wdam.insertion.forwards import UnreadableForwardError, is_activation, read_residual, record


class Double(nn.Module):
    """Stands in for WDAM where a test wants to see what went through it."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * x


def block_of(computation: Callable[[nn.Module, Tensor], Tensor]) -> nn.Module:
    """Return a block with some children whose forward is ``computation``."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)
            self.relu = nn.ReLU()
            self.norm = nn.BatchNorm2d(3)
            self.gate = nn.Sigmoid()
            self.same = nn.Identity()
            self.gain = nn.Parameter(torch.tensor(0.5))
            self.register_buffer("offset", torch.tensor(0.25))

        def forward(self, x: Tensor) -> Tensor:
            return computation(self, x)

    return Block().eval()


RESIDUAL = {
    "a module": lambda m, x: m.relu(m.conv(x) + x),
    "in place": lambda m, x: m.relu(operator.iadd(m.conv(x), x)),
    "torch.add": lambda m, x: m.relu(torch.add(x, m.conv(x))),
    "a method": lambda m, x: m.relu(m.conv(x).add_(x)),
    "a function": lambda m, x: F.relu(m.conv(x) + x),
    "a function in place": lambda m, x: F.relu(m.conv(x) + x, inplace=True),
    "torch.relu": lambda m, x: torch.relu(m.conv(x) + x),
    "a tensor's method": lambda m, x: (m.conv(x) + x).relu(),
    "a keyword": lambda m, x: F.relu(input=m.conv(x) + x),
    "nothing behind it": lambda m, x: m.same(m.relu(m.same(m.conv(x) + x))),
    "gelu": lambda m, x: F.gelu(m.conv(x) + x),
    "one ReLU, called twice": lambda m, x: m.relu(m.conv(m.relu(x)) + x),
    "a parameter and a buffer": lambda m, x: m.relu(m.gain * m.conv(x) + (x - m.offset)),
}
OTHER = {
    "a convolution": lambda m, x: m.conv(x),
    "no addition": lambda m, x: m.relu(m.conv(x)),
    "no activation": lambda m, x: m.conv(x) + x,
    "a number": lambda m, x: m.relu(m.conv(x) + 1.0),
    "something between": lambda m, x: m.relu(m.norm(m.conv(x) + x)),
    "a gate": lambda m, x: m.gate(m.conv(x) + x),
    "a gating function": lambda m, x: torch.sigmoid(m.conv(x) + x),
    "the input itself": lambda m, x: x,
    "two results": lambda m, x: (m.relu(m.conv(x) + x), x),
    "a bias": lambda m, x: m.relu(m.conv(x) + m.gain),
    "a bias, reshaped": lambda m, x: m.relu(m.gain.reshape(1, 1, 1) + m.conv(x)),
    "a subtraction": lambda m, x: m.relu(m.conv(x) - x),
}


@pytest.mark.parametrize("name", RESIDUAL)
def test_finds_the_place_between_sum_and_activation(name: str) -> None:
    block = block_of(RESIDUAL[name])
    found = read_residual(block)
    assert found is not None
    block.add_module("wdam", Double())
    x = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(1))
    activation = F.gelu if name == "gelu" else F.relu
    shortcut = x - 0.25 if "buffer" in name else x
    inner = block.relu(x) if "twice" in name else x
    branch = 0.5 * block.conv(inner) if "parameter" in name else block.conv(inner)
    with torch.no_grad():
        torch.testing.assert_close(found.forward(block, x), activation(2 * (branch + shortcut)))


@pytest.mark.parametrize("name", OTHER)
def test_other_endings_are_no_residual_blocks(name: str) -> None:
    assert read_residual(block_of(OTHER[name])) is None


def counts_and_makes_a_tensor(block: nn.Module, x: Tensor) -> Tensor:
    block.calls = getattr(block, "calls", 0) + 1
    return block.relu(block.conv(x) * torch.tensor(0.5) + x)


@pytest.mark.parametrize("computation", [RESIDUAL["a module"], counts_and_makes_a_tensor])
def test_reading_changes_nothing(computation: Callable[[nn.Module, Tensor], Tensor]) -> None:
    block = block_of(computation).train()
    attributes = dict(vars(block))
    children, state = list(block.named_modules()), {k: v.clone() for k, v in block.state_dict().items()}
    with contextlib.suppress(UnreadableForwardError):
        read_residual(block)
    assert vars(block) == attributes
    assert list(block.named_modules()) == children
    assert block.training
    assert all(torch.equal(state[name], tensor) for name, tensor in block.state_dict().items())


@pytest.mark.parametrize(
    ("computation", "message"),
    [
        (lambda m, x: m.relu(m.conv(x) + x) if x.mean() > 0 else x, "torch.fx cannot follow it"),
        (lambda m, x: m.relu(F.dropout(m.conv(x), 0.5, m.training) + x), "something else in training"),
        (lambda m, x: m.relu(m.conv(x) + x) if m.training else m.conv(x), "something else in training"),
        (lambda m, x: m.relu(m.conv(x) * torch.rand(3, 1, 1) + x), "makes a tensor of its own"),
    ],
)
def test_forwards_that_structure_does_not_tell(
    computation: Callable[[nn.Module, Tensor], Tensor], message: str
) -> None:
    block = block_of(computation)
    with pytest.raises(UnreadableForwardError, match=message):
        read_residual(block)
    assert not block.training


class Frozen(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            out = self.conv(x)
        return self.relu(out + x)


class Decorated(Frozen):
    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.conv(x) + x)


@pytest.mark.parametrize(
    ("kind", "message"), [(Frozen, "it uses no_grad, which"), (Decorated, "it is decorated, which")]
)
def test_contexts_are_not_lost_silently(kind: type[nn.Module], message: str) -> None:
    with pytest.raises(UnreadableForwardError, match=message):
        read_residual(kind())


@pytest.mark.parametrize("options", ["*xs", "**named", "x, mask=None", ""])
def test_only_forwards_of_one_tensor_are_read(options: str) -> None:
    source = f"def forward(self{', ' if options else ''}{options}): return 0"
    space: dict[str, object] = {}
    exec(source, space)  # noqa: S102 (four signatures, spelt above)
    block = type("Block", (nn.Module,), {"forward": space["forward"]})()
    with pytest.raises(UnreadableForwardError, match="instead of one tensor"):
        record(block)


class Sigmoid(nn.Module):
    """As timm's: not torch's, but of the same name and in a module ``activations``."""


Sigmoid.__module__ = "timm.layers.activations"


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (Sigmoid(), False),
        (nn.ReLU(), True),
        (nn.GELU(), True),
        (nn.PReLU(), True),
        (nn.Sigmoid(), False),
        (nn.Softmax2d(), False),
        (nn.MultiheadAttention(4, 1), False),
        (nn.Conv2d(1, 1, 1), False),
        (nn.Dropout(), False),
    ],
)
def test_what_an_activation_is(module: nn.Module, expected: bool) -> None:
    assert is_activation(module) is expected
