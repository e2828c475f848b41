from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from wdam.errors import ModelError
from wdam.insertion import insert, insertions
from wdam.insertion.channels import channels_from_example, channels_from_weights


class LayerNorm2d(nn.LayerNorm):
    """As torchvision's and timm's: of ``(N, C, H, W)``."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class NeedsContent(nn.Module):
    """Its forward reads a value, which the meta device does not have."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) if float(x.sum()) >= 0 else -self.conv(x)


class CutsPatches(nn.Module):
    """Begins with no layer that tells its input's channels."""

    def __init__(self) -> None:
        super().__init__()
        self.unshuffle = nn.PixelUnshuffle(2)
        self.conv = nn.Conv2d(12, 7, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.unshuffle(x))


@pytest.mark.parametrize(
    ("block", "channels"),
    [
        (nn.Conv2d(3, 5, 3, stride=2), 5),
        (nn.BatchNorm2d(6), 6),
        (nn.GroupNorm(2, 8), 8),
        (LayerNorm2d(9), 9),
        (nn.Sequential(nn.ReLU(), nn.MaxPool2d(2), nn.Dropout2d(), nn.Identity(), nn.Conv2d(4, 2, 1)), 2),
        (nn.Sequential(nn.Sequential(nn.Conv2d(3, 8, 1)), nn.PixelShuffle(2)), 2),
        (nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 6, 3, groups=2), nn.BatchNorm2d(6)).half(), 6),
    ],
)
def test_from_the_weights_of_the_block(block: nn.Module, channels: int) -> None:
    assert channels_from_weights(block, {"": block}) == {"": channels}


@given(sizes=st.lists(st.integers(1, 9), min_size=2, max_size=5))
def test_a_chain_of_convolutions(sizes: list[int]) -> None:
    chain = nn.Sequential(*[nn.Conv2d(one, other, 1) for one, other in pairwise(sizes)])
    blocks = dict(chain.named_children())
    assert list(channels_from_weights(chain, blocks).values()) == sizes[1:]


def test_from_the_weights_of_the_whole_model() -> None:
    model = nn.Sequential(nn.Conv2d(3, 3, 1), CutsPatches(), nn.Tanh())
    assert insert(model, ["1", "2"]) == ["1", "2"]
    assert [each.channels for each in insertions(model)] == [7, 7]


def test_finding_out_changes_nothing(make_resnet: Callable[..., nn.Module], images: Tensor) -> None:
    model = make_resnet().train()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    blocks = {"layer2.0": model.get_submodule("layer2.0")}
    random = torch.get_rng_state()
    model.get_submodule("layer1").eval()
    assert channels_from_weights(model, blocks) == channels_from_example(model, blocks, images) == {"layer2.0": 16}
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())
    assert model.training
    assert not model.get_submodule("layer1.0").training
    assert [module for module in model.modules() if module._forward_hooks] == []
    assert [parameter for parameter in model.parameters() if parameter.grad is not None] == []


@pytest.mark.parametrize(
    "example", [torch.zeros(1, 3, 4, 6), (torch.zeros(1, 3, 4, 6),), {"x": torch.zeros(1, 3, 4, 6)}]
)
def test_from_an_example(example: Any) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = NeedsContent()

        def forward(self, x: Tensor) -> Tensor:
            return self.body(x)

    model = Model()
    with pytest.raises(ModelError, match=r"channels of 'body' \(NeedsContent\) to follow .*; pass example_input="):
        insert(model, "body")
    assert insertions(model) == ()
    insert(model, "body", example_input=example)
    assert [each.channels for each in insertions(model)] == [5]


class Branches(nn.Module):
    """Holds a block that is not used and one that is used for two numbers of channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.unused = nn.Conv2d(4, 4, 1)
        self.shared = nn.Tanh()
        self.flat = nn.Flatten()

    def forward(self, x: Tensor) -> Tensor:
        return self.flat(self.shared(self.conv(self.shared(x))))


class ChannelsLast(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).permute(0, 2, 3, 1)


class ReturnsTwo(ChannelsLast):
    def forward(self, x: Tensor) -> Any:
        return self.conv(x), x


@pytest.mark.parametrize("example", [None, torch.zeros(2, 3, 8, 8)])
@pytest.mark.parametrize(
    ("make", "pattern", "message"),
    [
        (Branches, "unused", "'unused' to be called .*, got no call in a forward pass; choose"),
        (Branches, "shared", r"'shared' to be called .*, got \[3, 4\] channels in one pass; choose"),
        (Branches, "flat", r"'flat' to return a tensor \(N, C, H, W\), got \(2, \d+\); name a block"),
        (lambda: nn.Sequential(ChannelsLast()), "0", r"got \(2, (8, 8|64, 64), 4\), which seems to be \(N, H, W, C\)"),
        (lambda: nn.Sequential(ReturnsTwo()), "0", "got a tuple; name a block that works on feature maps"),
    ],
)
def test_refuses_blocks_without_feature_maps(
    make: Callable[[], nn.Module], pattern: str, message: str, example: Tensor | None
) -> None:
    model = make()
    if pattern == "unused" and example is None:
        assert insert(model, pattern) == ["unused"]  # its weights tell; that nothing reaches it is no mistake of ours
        return
    with pytest.raises(ModelError, match=message):
        insert(model, pattern, example_input=example)
    assert insertions(model) == ()
