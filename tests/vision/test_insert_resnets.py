"""The ResNets of torchvision, timm and transformers, with random weights: WDAM sits where the paper has it."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("torchvision", reason="torchvision is not installed; run `nox -s vision`")
pytest.importorskip("timm", reason="timm is not installed; run `nox -s vision`")
pytest.importorskip("transformers", reason="transformers is not installed; run `nox -s vision`")

import timm
import torchvision
from torchvision.models.feature_extraction import create_feature_extractor
from transformers import ResNetConfig, ResNetModel

from wdam import WDAM
from wdam.insertion import insert, insertions, remove


def of_torchvision(name: str, **options: Any) -> Callable[[], nn.Module]:
    return lambda: torchvision.models.get_model(name, weights=None, **options)


def of_timm(name: str, **options: Any) -> Callable[[], nn.Module]:
    return lambda: timm.create_model(name, pretrained=False, **options)


def of_transformers(layer_type: str) -> Callable[[], nn.Module]:
    config = ResNetConfig(embedding_size=16, hidden_sizes=[16, 32, 64, 128], depths=[2, 1, 1, 1], layer_type=layer_type)
    return lambda: ResNetModel(config)


def torchvision_basic(block: Any, x: Tensor) -> Tensor:
    out = block.bn2(block.conv2(block.relu(block.bn1(block.conv1(x)))))
    return block.relu(block.wdam(out + (x if block.downsample is None else block.downsample(x))))


def torchvision_bottleneck(block: Any, x: Tensor) -> Tensor:
    out = block.relu(block.bn2(block.conv2(block.relu(block.bn1(block.conv1(x))))))
    out = block.bn3(block.conv3(out))
    return block.relu(block.wdam(out + (x if block.downsample is None else block.downsample(x))))


def timm_basic(block: Any, x: Tensor) -> Tensor:
    out = block.aa(block.act1(block.drop_block(block.bn1(block.conv1(x)))))
    out = block.bn2(block.conv2(out))
    return block.act2(block.wdam(timm_sum(block, out, x)))


def timm_bottleneck(block: Any, x: Tensor) -> Tensor:
    out = block.act1(block.bn1(block.conv1(x)))
    out = block.aa(block.act2(block.drop_block(block.bn2(block.conv2(out)))))
    out = block.bn3(block.conv3(out))
    return block.act3(block.wdam(timm_sum(block, out, x)))


def timm_sum(block: Any, out: Tensor, x: Tensor) -> Tensor:
    out = out if block.se is None else block.se(out)
    out = out if block.drop_path is None else block.drop_path(out)
    return out + (x if block.downsample is None else block.downsample(x))


def transformers_layer(block: Any, x: Tensor) -> Tensor:
    return block.activation(block.wdam(block.layer(x) + block.shortcut(x)))


RESNETS = {
    "torchvision resnet18": (of_torchvision("resnet18"), "layer1.*", torchvision_basic, [64] * 2),
    "torchvision wide_resnet50_2": (of_torchvision("wide_resnet50_2"), "layer1.*", torchvision_bottleneck, [256] * 3),
    "torchvision resnet18 to be quantised": (
        lambda: torchvision.models.quantization.resnet18(weights=None, quantize=False),
        "layer1.*", torchvision_basic, [64] * 2,
    ),
    "timm resnet18": (of_timm("resnet18"), "layer[12].*", timm_basic, [64, 64, 128, 128]),
    "timm wide_resnet50_2": (of_timm("wide_resnet50_2"), "layer1.*", timm_bottleneck, [256] * 3),
    "timm with drop path, SE and blur": (
        of_timm("seresnetaa50d", drop_path_rate=0.2), "layer2.*", timm_bottleneck, [512] * 4
    ),
    "timm features": (of_timm("resnet18", features_only=True), "layer1.*", timm_basic, [64] * 2),
    "transformers basic": (of_transformers("basic"), "encoder.stages.0.layers.*", transformers_layer, [16] * 2),
    "transformers bottleneck": (
        of_transformers("bottleneck"), "encoder.stages.0.layers.*", transformers_layer, [16] * 2
    ),
}  # fmt: skip


@pytest.fixture(params=RESNETS)
def case(request: pytest.FixtureRequest) -> tuple[nn.Module, str, Callable[[Any, Tensor], Tensor], list[int]]:
    make, pattern, by_hand, channels = RESNETS[request.param]
    torch.manual_seed(0)
    return make().eval(), pattern, by_hand, channels


def first_tensor(result: Any) -> Tensor:
    result = getattr(result, "last_hidden_state", result)
    return result[-1] if isinstance(result, list) else result


def test_equals_the_forward_written_by_hand(case: Any, images: Tensor) -> None:
    model, pattern, by_hand, channels = case
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.no_grad():
        before = first_tensor(model(images))
        names = insert(model, pattern)
        assert [each.channels for each in insertions(model)] == channels
        assert {each.placement for each in insertions(model)} == {"before_activation"}
        after = first_tensor(model(images))
        assert not torch.equal(after, before)

        written = copy.deepcopy(model)
        for name in names:
            block = written.get_submodule(name)
            block.forward = by_hand.__get__(block)
        assert torch.equal(first_tensor(written(images)), after)

        assert remove(model) == names
        assert torch.equal(first_tensor(model(images)), before)
    assert list(model.state_dict()) == list(state)
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())


def test_survives_pickle_and_keeps_pretrained_keys(case: Any, images: Tensor) -> None:
    model, pattern, _, _ = case
    keys = set(model.state_dict())
    names = insert(model, pattern)
    new = set(model.state_dict()) - keys
    assert keys < set(model.state_dict())
    assert {name.partition(".wdam.")[0] for name in new} == set(names)
    with torch.no_grad():
        twin = pickle.loads(pickle.dumps(model))  # noqa: S301 (made on the line itself)
        assert torch.equal(first_tensor(twin(images)), first_tensor(model(images)))


def test_trains(case: Any, images: Tensor) -> None:
    model, pattern, _, _ = case
    insert(model, pattern)
    first_tensor(model.train()(images)).square().mean().backward()
    gradients = [parameter.grad for name, parameter in model.named_parameters() if ".wdam." in name]
    assert gradients
    assert all(gradient is not None for gradient in gradients)
    # A hidden unit may be dead at random weights, but not all of them.
    assert any(gradient.abs().sum() > 0 for gradient in gradients)


@pytest.mark.parametrize("make", [of_torchvision("wide_resnet50_2"), of_timm("wide_resnet50_2")])
def test_the_papers_network_grows_by_019_million(make: Callable[[], nn.Module]) -> None:
    with torch.device("meta"):
        model = make()
    before = sum(parameter.numel() for parameter in model.parameters())
    assert insert(model, "layer1.*") == ["layer1.0", "layer1.1", "layer1.2"]
    added = sum(parameter.numel() for parameter in model.parameters()) - before
    assert added == 3 * 65_792
    assert round(added / 1e6, 2) == 0.2  # the authors' 0.19 M is 0.197 M cut off
    assert int(added / 1e4) == 19


@pytest.mark.parametrize("make", [RESNETS["torchvision resnet18"][0], RESNETS["transformers basic"][0]])
def test_compiles_into_one_graph(make: Callable[[], nn.Module], images: Tensor) -> None:
    model = make().eval()
    insert(model, "layer1.*" if hasattr(model, "layer1") else "encoder.stages.0.layers.*")
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(first_tensor(compiled(images)), first_tensor(model(images)))


def test_torchvisions_feature_extractor(images: Tensor) -> None:
    model: Any = torchvision.models.resnet18(weights=None).eval()
    insert(model, "layer1.*")
    extractor = create_feature_extractor(model, ["layer1"], tracer_kwargs={"leaf_modules": [WDAM]})
    with torch.no_grad():
        expected = model.layer1(model.maxpool(model.relu(model.bn1(model.conv1(images)))))
        assert torch.equal(extractor(images)["layer1"], expected)


OTHERS = {
    "a pre-activation ResNet": (of_timm("resnetv2_50"), "stages.0.blocks.*", "behind", [256] * 3),
    "ResNeXt": (of_timm("resnext50_32x4d"), "layer1.*", "before_activation", [256] * 3),
    "Res2Net": (of_timm("res2net50_26w_4s"), "layer1.*", "before_activation", [256] * 3),
    "RegNet": (of_timm("regnety_002"), "s2.*", "before_activation", [56]),
    "torchvision's RegNet": (
        of_torchvision("regnet_y_400mf"), "trunk_output.block1.*", "before_activation", [48]
    ),
    "ConvNeXt": (of_timm("convnext_atto"), "stages.*", "behind", [40, 80, 160, 320]),
    "torchvision's ConvNeXt": (of_torchvision("convnext_tiny"), "features.1.*", "behind", [96] * 3),
    "EfficientNet": (of_timm("efficientnet_b0"), "blocks.0", "behind", [16]),
    "DenseNet": (of_torchvision("densenet121"), "features.transition1", "behind", [128]),
    "VGG": (of_torchvision("vgg11"), "features", "behind", [512]),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_other_networks(name: str) -> None:
    make, pattern, placement, channels = OTHERS[name]
    model = make().to("meta").eval()
    insert(model, pattern)
    assert [each.channels for each in insertions(model)] == channels
    assert {each.placement for each in insertions(model)} == {placement}
    assert model(torch.empty(2, 3, 224, 224, device="meta")).shape == (2, 1000)


@pytest.mark.parametrize(
    ("name", "pattern", "message"),
    [
        ("vit_tiny_patch16_224", "blocks.*", r"got \(2, 197, 192\); name a block that works on feature maps"),
        ("swin_tiny_patch4_window7_224", "layers.*", r"got \(2, 56, 56, 96\), which seems to be \(N, H, W, C\)"),
    ],
)
def test_networks_without_feature_maps_are_refused(name: str, pattern: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        insert(of_timm(name)(), pattern)


def test_a_wide_example() -> None:
    model = of_torchvision("resnet18")()
    assert insert(model, "layer1.*", example_input=torch.zeros(1, 3, 256, 320)) == ["layer1.0", "layer1.1"]
    assert [each.channels for each in insertions(model)] == [64, 64]
