from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from torch import Tensor, nn

from wdam import WDAM
from wdam.errors import DtypeError, ModelError, OptionError
from wdam.insertion import Insertion, WDAMOptions, insert, insertions, remove

LAYER1 = ["layer1.0", "layer1.1"]
Make = Callable[..., nn.Module]


def by_hand(model: Any, images: Tensor) -> Tensor:
    """Run the network with `last_activation(wdam(z))` written out in its first stage."""
    x = model.conv1(images)
    for block in model.layer1:
        last = next(getattr(block, name) for name in ("activation", "act2", "relu") if hasattr(block, name))
        x = last(block.wdam(block.before_the_last_relu(x)))
    return model.fc(model.layer2(x).mean((-2, -1)))


def assert_untouched(model: nn.Module, before: dict[str, Tensor]) -> None:
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)


def copied_state(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def test_equals_the_block_written_by_hand(resnet: nn.Module, images: Tensor) -> None:
    assert insert(resnet, "layer1.*") == LAYER1
    with torch.no_grad():
        # The same operations in the same order, so the same bits.
        assert torch.equal(resnet(images), by_hand(resnet, images))


def test_trains_as_the_block_written_by_hand(make_resnet: Make, block: type[nn.Module], images: Tensor) -> None:
    gradients: list[list[Tensor]] = []
    images = images.double()
    for run in (lambda model, images: model(images), by_hand):
        model = make_resnet(block).double().train()
        insert(model, "layer1.*")
        for name, parameter in model.named_parameters():
            if ".wdam." in name:
                nn.init.constant_(parameter, 0.01)
        torch.manual_seed(0)  # the same drop path in both
        run(model, images).square().sum().backward()
        gradients.append([parameter.grad for parameter in model.parameters() if parameter.grad is not None])
    assert len(gradients[0]) == len(list(model.parameters()))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_weights_and_their_names_stay(resnet: nn.Module) -> None:
    before = copied_state(resnet)
    objects = {name: id(parameter) for name, parameter in resnet.named_parameters()}
    insert(resnet, "layer1.*")
    state = resnet.state_dict()
    new = [name for name in state if name not in before]
    assert {name.partition(".wdam.")[0] for name in new} == set(LAYER1)
    assert all(torch.equal(state[name], tensor) for name, tensor in before.items())
    assert {name: id(parameter) for name, parameter in resnet.named_parameters() if name in objects} == objects
    inserted = resnet.get_submodule("layer1.0")
    assert isinstance(inserted, type(resnet.get_submodule("layer2.0")))  # still an instance of its class


def test_remove_gives_the_old_bits_and_classes(resnet: nn.Module, images: Tensor) -> None:
    before, classes = copied_state(resnet), [type(module) for module in resnet.modules()]
    with torch.no_grad():
        expected = resnet(images)
        insert(resnet, ["layer1.*", "layer2", "conv1"])
        assert not torch.equal(resnet(images), expected)
        assert remove(resnet) == ["conv1", *LAYER1, "layer2"]
        assert torch.equal(resnet(images), expected)
    assert_untouched(resnet, before)
    assert [type(module) for module in resnet.modules()] == classes
    assert remove(resnet) == []
    assert insert(resnet, "layer1.*") == LAYER1  # and it can be put in again


def test_a_scale_of_zero_changes_nothing(resnet: nn.Module, images: Tensor) -> None:
    with torch.no_grad():
        expected = resnet(images)
        insert(resnet, "layer*.1", scale=True)
        torch.testing.assert_close(resnet(images), expected, rtol=1e-6, atol=1e-6)


def test_behind_a_module_it_is_applied_to_the_output(make_resnet: Make, images: Tensor) -> None:
    model: Any = make_resnet()
    with torch.no_grad():
        maps = model.conv1(images)
        assert insert(model, "conv1") == ["conv1"]
        assert torch.equal(model.conv1(images), model.conv1.wdam(maps))


def test_behind_a_residual_block_when_told_so(make_resnet: Make, images: Tensor) -> None:
    model: Any = make_resnet()
    with torch.no_grad():
        maps = model.layer1(model.conv1(images))
        insert(model, "layer1.1", where="behind")
        assert torch.equal(model.layer1(model.conv1(images)), model.layer1[1].wdam(maps))


def test_a_sequence_gets_it_as_its_last_step(make_resnet: Make, images: Tensor) -> None:
    model: Any = make_resnet()
    with torch.no_grad():
        maps = model.layer1(model.conv1(images))
        insert(model, "layer1")
        assert torch.equal(model.layer1(model.conv1(images)), model.layer1.wdam(maps))
        assert isinstance(model.layer1[-1], WDAM)
        remove(model)
        assert len(model.layer1) == 2


def test_a_block_by_itself(make_resnet: Make, block: type[nn.Module]) -> None:
    alone = make_resnet(block).get_submodule("layer2.0")
    assert insert(alone, "") == [""]
    assert [each.placement for each in insertions(alone)] == ["before_activation"]


def test_options_reach_the_module(make_resnet: Make) -> None:
    model: Any = make_resnet()
    insert(model, "layer1.0", reduction=4, residual=False)
    assert sum(parameter.numel() for parameter in model.layer1[0].wdam.parameters()) == 8 * 32 + 4 * 8
    assert model.layer1[0].wdam.residual is False


def test_options_are_those_of_the_module() -> None:
    keyword_only = [
        name for name, each in inspect.signature(WDAM).parameters.items() if each.kind is inspect.Parameter.KEYWORD_ONLY
    ]
    assert sorted(WDAMOptions.__annotations__) == sorted(keyword_only)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("training", [True, False])
def test_the_module_is_as_the_block_is(make_resnet: Make, dtype: torch.dtype, training: bool, images: Tensor) -> None:
    model = make_resnet().to(dtype).train(training)
    insert(model, "layer1.*")
    added = [module for module in model.modules() if isinstance(module, WDAM)]
    assert {parameter.dtype for module in added for parameter in module.parameters()} == {dtype}
    assert {module.training for module in added} == {training}
    assert model(images.to(dtype)).dtype == dtype


def test_on_the_meta_device() -> None:
    with torch.device("meta"):
        model = nn.Sequential(nn.Conv2d(3, 6, 1))
    insert(model, "0")
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}


def test_says_what_it_changed(make_resnet: Make, caplog: pytest.LogCaptureFixture) -> None:
    model = make_resnet()
    with caplog.at_level(logging.INFO, logger="wdam"):
        insert(model, ["layer1.0", "conv1"])
        remove(model)
    assert caplog.messages == [
        "inserted WDAM into conv1 (Conv2d): behind its output, 8 channels, 72 parameters",
        "inserted WDAM into layer1.0 (Bottleneck): before its last activation, 8 channels, 72 parameters",
        "removed WDAM from conv1 (Conv2d)",
        "removed WDAM from layer1.0 (Bottleneck)",
    ]


def test_insertions_tell_what_is_there(make_resnet: Make) -> None:
    model = make_resnet()
    assert insertions(model) == ()
    insert(model, "layer2.*")
    insert(model, "conv1")  # logged and listed besides what was there
    assert insertions(model) == (
        Insertion("conv1", "Conv2d", "behind", 8, 72),
        Insertion("layer2.0", "Bottleneck", "before_activation", 16, 64 * 4 + 4 * 4),
        Insertion("layer2.1", "Bottleneck", "before_activation", 16, 64 * 4 + 4 * 4),
    )
    assert "(layer2): Sequential(\n    (0): BottleneckWithWDAM(" in repr(model)


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("layer1.*", LAYER1),
        ("layer?.0", ["layer1.0", "layer2.0"]),
        ("layer[2].*", ["layer2.0", "layer2.1"]),
        ("**.conv3", ["layer1.0.conv3", "layer1.1.conv3", "layer2.0.conv3", "layer2.1.conv3"]),
        (("layer2.1", "layer1.0"), ["layer1.0", "layer2.1"]),
        (iter(["layer1.1", "layer1.*"]), LAYER1),
        (["layer1", "layer1.0"], ["layer1", "layer1.0"]),
        ("**.layer1", ["layer1"]),
    ],
)
def test_patterns(make_resnet: Make, pattern: Any, names: list[str], images: Tensor) -> None:
    model = make_resnet()
    assert insert(model, pattern) == names
    assert [each.name for each in insertions(model)] == names
    assert model(images).shape == (2, 4)


def test_a_star_does_not_mean_the_model_itself() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1))
    assert insert(model, "*") == ["0", "1"]
    remove(model)
    assert insert(model, "**") == ["", "0", "1"]


def test_a_block_with_two_names_is_one_block(make_resnet: Make, images: Tensor) -> None:
    block: Any = make_resnet().get_submodule("layer1.0")
    for pattern in ("*", "1", ["0", "1"]):
        model = nn.Sequential(block, block)
        assert insert(model, pattern) == ["0"]
        maps = torch.randn(1, 8, 5, 6, generator=torch.Generator().manual_seed(2))
        torch.testing.assert_close(model(maps), block(block(maps)))
        assert remove(model) == ["0"]


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor, shortcut: Tensor | None = None) -> Tensor:
        return self.relu(self.conv(x) + (0 if shortcut is None else shortcut))


class OwnSequence(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([child(x) for child in self], dim=1)


class CopiesItself(nn.Conv2d):
    def __deepcopy__(self, memo: dict[int, Any]) -> nn.Module:
        return CopiesItself(3, 4, 1)


def replaced_forward() -> nn.Module:
    block = nn.Conv2d(3, 4, 1)
    block.forward = lambda x: x  # type: ignore[method-assign, assignment]
    return block


def named_wdam() -> nn.Module:
    block = nn.Sequential(nn.Conv2d(3, 4, 1))
    block.add_module("wdam", nn.Identity())
    return block


UNSUITABLE = [
    (
        lambda: nn.ModuleList([nn.Conv2d(3, 4, 1)]),
        r"got the container '0' \(ModuleList\); name its children, .* '0\.\*'",
    ),
    (lambda: OwnSequence(nn.Conv2d(3, 4, 1)), r"got the container '0' \(OwnSequence\); name its children"),
    (lambda: torch.jit.script(nn.Conv2d(3, 4, 1)), r"whose forward was replaced or scripted; insert WDAM before"),
    (replaced_forward, r"got '0' \(Conv2d\), whose forward was replaced or scripted; insert WDAM before"),
    (named_wdam, r"expected a block without an attribute 'wdam', got '0' \(Sequential\), .*; rename it"),
    (
        lambda: CopiesItself(3, 4, 1),
        r"got '0' \(CopiesItself\), which does it in its own way .*; insert into the model",
    ),
    (TwoInputs, r"got '0' \(TwoInputs\): it takes x: .*, shortcut: .* instead of one tensor; pass where='behind'"),
]


@pytest.mark.filterwarnings("ignore:`torch.jit")
@pytest.mark.parametrize(("make", "message"), UNSUITABLE)
def test_refuses_blocks_that_cannot_have_one(make: Callable[[], nn.Module], message: str) -> None:
    model = nn.Sequential(make(), nn.Conv2d(4, 4, 1))
    with pytest.raises(ModelError, match=message):
        insert(model, ["0", "1"], example_input=torch.zeros(1, 3, 4, 4) if isinstance(model[0], TwoInputs) else None)
    assert insertions(model) == ()  # not even the second one, which could have one


def test_behind_is_possible_where_the_forward_cannot_be_read() -> None:
    model = nn.Sequential(TwoInputs())
    assert insert(model, "0", where="behind", example_input=torch.zeros(1, 3, 4, 4)) == ["0"]
    images = torch.randn(1, 3, 4, 4)
    plain = TwoInputs()
    plain.load_state_dict({k: v for k, v in model[0].state_dict().items() if "wdam" not in k})
    shortcut = torch.randn(1, 4, 4, 4)
    torch.testing.assert_close(model[0](images, shortcut=shortcut), model[0].wdam(plain(images, shortcut)))


def compiled_in_place(model: nn.Module) -> nn.Module:
    model.compile(backend="eager")
    return model


class FSDPModule(nn.Module):
    """As torch's, which changes the class of a sharded module to a subclass of this."""


def sharded(model: nn.Module) -> nn.Module:
    model.__class__ = type("Sharded", (FSDPModule, type(model)), {})
    return model


def wrapped_models(make_resnet: Make) -> Iterator[nn.Module]:
    wrapped: Any
    for wrap in (nn.DataParallel, compiled_in_place, sharded):
        yield wrap(make_resnet())
        yield nn.Sequential(wrap(make_resnet()))
        wrapped = make_resnet()
        wrapped.layer1[0] = wrap(wrapped.layer1[0])
        yield wrapped
    yield torch.compile(make_resnet(), backend="eager")
    yield nn.Sequential(torch.compile(make_resnet(), backend="eager"))


def test_refuses_models_that_are_wrapped(make_resnet: Make) -> None:
    for model in wrapped_models(make_resnet):
        with pytest.raises(ModelError, match=r"not wrapped or compiled yet, got ('[\w.]+' \()?\w+\)?, .*; insert WDAM"):
            insert(model, "**.layer1.*")
        assert insertions(model) == ()


def test_refuses_to_insert_twice(make_resnet: Make, images: Tensor) -> None:
    model = make_resnet()
    insert(model, "layer1.1")
    with torch.no_grad():
        expected = model(images)
        with pytest.raises(ModelError, match=r"got 'layer1.1' \(BottleneckWithWDAM\), which has one; call wdam.remove"):
            insert(model, "layer1.*")
        assert [each.name for each in insertions(model)] == ["layer1.1"]
        assert torch.equal(model(images), expected)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("layr1.*", r"got 'layr1\.\*', which matches none .* nearest names are .*'layer1\.[01]'"),
        (["layer1.*", "layer3.*"], r"got 'layer3\.\*', which matches none"),
        ("zzz", r"the nearest names are 'conv1', 'layer1', 'layer2', 'fc'"),
        ([], r"expected at least one pattern, got none; pass a name"),
    ],
)
def test_refuses_patterns_that_match_nothing(make_resnet: Make, pattern: Any, message: str) -> None:
    model = make_resnet()
    with pytest.raises(ModelError, match=message):
        insert(model, pattern)
    assert insertions(model) == ()


def test_a_model_without_children_says_so() -> None:
    with pytest.raises(ModelError, match="the model has no children"):
        insert(nn.Conv2d(3, 4, 1), "layer1")


def test_refuses_a_place_that_is_not_there(make_resnet: Make) -> None:
    with pytest.raises(ModelError, match=r"forward of 'conv1' \(Conv2d\) to end in `activation\(a \+ b\)`, got one"):
        insert(make_resnet(), "conv1", where="before_activation")
    with pytest.raises(OptionError, match=r"expected where to be one of 'auto', .* got 'after'; leave it out"):
        insert(make_resnet(), "conv1", where="after")  # type: ignore[arg-type]


def test_refuses_options_that_the_module_refuses(make_resnet: Make) -> None:
    model = make_resnet()
    with pytest.raises(ValueError, match="reduction"):
        insert(model, "layer1.*", reduction=0)
    with pytest.raises(TypeError, match="ratio"):
        insert(model, "layer1.*", ratio=16)  # type: ignore[call-arg]
    assert insertions(model) == ()


class Functional(nn.Module):
    """Ends in an activation that is no child."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(F.dropout(self.conv(x), 0.1, self.training) + x)


class InAList(Functional):
    def __init__(self) -> None:
        super().__init__()
        self.ends = nn.ModuleList([nn.ReLU()])

    def forward(self, x: Tensor) -> Tensor:
        return self.ends[0](self.conv(x) + x) if self.training else self.ends[0](x)


@pytest.mark.parametrize("kind", [Functional, InAList])
def test_never_comes_behind_an_activation_unasked(kind: type[nn.Module]) -> None:
    model = nn.Sequential(kind())
    with pytest.raises(ModelError, match=r"shows where its last activation is, .*; pass where='behind'"):
        insert(model, "0")
    assert insert(model, "0", where="behind") == ["0"]


class NormBetween(Functional):
    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x) + x))


class PreActivation(Functional):
    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.relu(self.norm(x))) + x


def test_warns_where_it_cannot_come_right_after_the_sum(caplog: pytest.LogCaptureFixture) -> None:
    blocks = [NormBetween(), NormBetween(), PreActivation()]
    insert(nn.Sequential(*blocks, nn.Conv2d(3, 3, 1)), "*")
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert caplog.messages[0].startswith("WDAM came behind the output of '0', '1' and not where the paper has it: ")
    caplog.clear()
    insert(nn.Sequential(NormBetween()), "*", where="behind")
    assert caplog.messages == []


@pytest.mark.parametrize("without_weights", [nn.ReLU(), nn.MaxPool2d(2)])
def test_a_block_without_weights_is_where_the_model_is(without_weights: nn.Module) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), without_weights).bfloat16()
    insert(model, "1")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert model(torch.zeros(1, 3, 4, 4, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_contexts_around_the_call_do_not_decide() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1))
    with torch.inference_mode(), torch.device("meta"):
        insert(model, "0")
    assert {parameter.device.type for parameter in model.parameters()} == {"cpu"}
    model(torch.ones(1, 3, 4, 4)).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_weights_of_a_type_that_only_stores() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1)).to(torch.float8_e4m3fn)
    insert(model, "0", example_input=None)
    assert model[0].wdam.mlp[0].weight.dtype == torch.float32


@pytest.mark.parametrize(
    ("model", "pattern", "message"),
    [
        ("resnet18", "layer1.*", "expected a torch.nn.Module, got a str; pass the model"),
        (nn.Sequential(nn.Conv2d(3, 4, 1)), 0, "expected patterns as text, got 0; pass names"),
        (nn.Sequential(nn.Conv2d(3, 4, 1)), ["0", None], "expected patterns as text, got None; pass names"),
    ],
)
def test_refuses_what_is_no_model_or_no_name(model: Any, pattern: Any, message: str) -> None:
    with pytest.raises(DtypeError, match=message):
        insert(model, pattern)
