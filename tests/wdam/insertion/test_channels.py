from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils import prune

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
        (nn.ConvTranspose2d(5, 3, 2), 3),
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


@pytest.mark.parametrize("channels_of_conv", [16, 7])
def test_a_wide_example_whose_height_is_the_number_of_channels(channels_of_conv: int) -> None:
    model = nn.Sequential(nn.Conv2d(3, channels_of_conv, 3, padding=1))
    assert insert(model, "0", example_input=torch.zeros(1, 3, 16, 20)) == ["0"]
    assert [each.channels for each in insertions(model)] == [channels_of_conv]


class SharedPReLU(nn.Module):
    """Holds one module, with a weight, under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.act1 = nn.PReLU()
        self.conv = nn.Conv2d(3, 4, 1)
        self.norm = nn.BatchNorm2d(4)
        self.act2 = self.act1
        self.calls = 0
        self.constant = torch.ones(4, 1, 1)  # no buffer

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.norm(self.act2(self.conv(self.act1(x))) * self.constant)


def test_shared_modules_keep_their_weights() -> None:
    model = nn.Sequential(SharedPReLU()).train()
    tensors = {name: (id(tensor), tensor.clone()) for name, tensor in model.state_dict(keep_vars=True).items()}
    attributes = {name: id(value) for name, value in vars(model[0]).items()}
    assert channels_from_weights(model, {"0": model[0]}) == {"0": 4}
    after = model.state_dict(keep_vars=True)
    assert list(after) == list(tensors)
    for name, (identity, content) in tensors.items():
        assert id(after[name]) == identity, name
        assert torch.equal(after[name], content)
    assert {name: id(value) for name, value in vars(model[0]).items()} == attributes
    assert model[0].act2 is model[0].act1


@pytest.mark.parametrize("normalise", ["weight_norm", "prune"])
@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm`")
def test_weights_that_a_hook_computes_stay(normalise: str) -> None:
    conv = nn.Conv2d(3, 4, 1)
    if normalise == "weight_norm":
        torch.nn.utils.weight_norm(conv, "weight")
    else:
        prune.l1_unstructured(conv, "weight", amount=0.5)  # type: ignore[no-untyped-call]
    weight = conv.weight
    assert insert(nn.Sequential(nn.Sequential(conv)), "0") == ["0"]
    assert conv.weight is weight


def test_hooks_neither_run_nor_decide() -> None:
    seen: list[torch.device] = []
    model = nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 1)))
    model[0].register_forward_hook(lambda module, args, result: seen.append(result.device))
    hook = model[0].register_forward_hook(lambda module, args, result: result.repeat(1, 2, 1, 1))
    assert channels_from_weights(model, {"0": model[0]}) == {"0": 4}
    assert seen == []
    # WDAM becomes a part of the forward, which hooks come after.
    assert channels_from_example(model, {"0": model[0]}, torch.zeros(1, 3, 4, 4)) == {"0": 4}
    hook.remove()
    model(torch.zeros(1, 3, 4, 4))
    assert seen == [torch.device("cpu")] * 2


def test_lazy_modules_stay_lazy() -> None:
    model = nn.Sequential(nn.LazyConv2d(4, 1))
    with pytest.raises(ModelError, match="pass example_input="):
        insert(model, "0")
    assert type(model[0]) is nn.LazyConv2d
    assert model[0].in_channels == 0
    assert insert(model, "0", example_input=torch.zeros(1, 3, 4, 4)) == ["0"]
    assert model[0].in_channels == 3


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_scripted_modules_need_an_example() -> None:
    model = nn.Sequential(nn.Sequential(torch.jit.script(nn.Conv2d(3, 4, 1))))
    with pytest.raises(ModelError, match="pass example_input="):
        insert(model, "0")
    assert insert(model, "0", example_input=torch.zeros(1, 3, 4, 4)) == ["0"]
