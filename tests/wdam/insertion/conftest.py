"""A small ResNet whose blocks compute exactly what torchvision's, timm's and transformers' do, without those packages.

The real ones are tested in `tests/vision/` (`nox -s vision`).
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

CHANNELS = 8


class Bottleneck(nn.Module):
    """As torchvision's: one ReLU for all three calls, an addition in place."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        width = channels // 2
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = (
            None
            if inputs == channels
            else nn.Sequential(nn.Conv2d(inputs, channels, 1, bias=False), nn.BatchNorm2d(channels))
        )

    def before_the_last_relu(self, x: Tensor) -> Tensor:
        """The reference by hand: everything up to the last ReLU."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        return self.bn3(self.conv3(out)) + (x if self.downsample is None else self.downsample(x))

    def forward(self, x: Tensor) -> Tensor:
        identity = x
        out = self.conv1(x)
        out = self.bn1(out)
        out = self.relu(out)
        out = self.conv2(out)
        out = self.bn2(out)
        out = self.relu(out)
        out = self.conv3(out)
        out = self.bn3(out)
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        out = self.relu(out)
        return out


class TimmBlock(nn.Module):
    """As timm's BasicBlock: an activation of its own for each call, optional attention and drop path."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.act1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.se = None
        self.act2 = nn.PReLU()  # one with a weight: its key must not move
        self.downsample = nn.Identity() if inputs == channels else nn.Conv2d(inputs, channels, 1)
        self.drop_path = nn.Dropout2d(0.1)

    def before_the_last_relu(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(self.act1(self.bn1(self.conv1(x)))))
        return self.drop_path(out) + self.downsample(x)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x
        x = self.conv1(x)
        x = self.bn1(x)
        x = self.act1(x)
        x = self.conv2(x)
        x = self.bn2(x)
        if self.se is not None:
            x = self.se(x)
        if self.drop_path is not None:
            x = self.drop_path(x)
        if self.downsample is not None:
            shortcut = self.downsample(shortcut)
        x += shortcut
        x = self.act2(x)
        return x


class TransformersLayer(nn.Module):
    """As transformers' ResNetBasicLayer: the convolutions in one child, the sum in place."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.shortcut = nn.Identity() if inputs == channels else nn.Conv2d(inputs, channels, 1)
        self.layer = nn.Sequential(
            nn.Sequential(nn.Conv2d(inputs, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU()),
            nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.Identity()),
        )
        self.activation = nn.GELU()

    def before_the_last_relu(self, x: Tensor) -> Tensor:
        return self.layer(x) + self.shortcut(x)

    def forward(self, hidden_state: Tensor) -> Tensor:
        residual = hidden_state
        hidden_state = self.layer(hidden_state)
        residual = self.shortcut(residual)
        hidden_state += residual
        hidden_state = self.activation(hidden_state)
        return hidden_state


class ResNet(nn.Module):
    """Two stages of two blocks each."""

    def __init__(self, block: type[nn.Module]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, CHANNELS, 3, stride=2, padding=1)
        self.layer1 = nn.Sequential(block(CHANNELS, CHANNELS), block(CHANNELS, CHANNELS))
        self.layer2 = nn.Sequential(block(CHANNELS, 2 * CHANNELS), block(2 * CHANNELS, 2 * CHANNELS))
        self.fc = nn.Linear(2 * CHANNELS, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer2(self.layer1(self.conv1(x)))
        return self.fc(x.mean((-2, -1)))


@pytest.fixture(params=[Bottleneck, TimmBlock, TransformersLayer])
def block(request: pytest.FixtureRequest) -> type[nn.Module]:
    """Each kind of residual block."""
    kind: type[nn.Module] = request.param
    return kind


@pytest.fixture
def make_resnet() -> Callable[..., nn.Module]:
    """Make the network, in evaluation mode, always with the same weights and with statistics worth keeping."""

    def make(kind: type[nn.Module] = Bottleneck) -> nn.Module:
        generator = torch.Generator().manual_seed(3)
        model = ResNet(kind)
        with torch.no_grad():
            for tensor in [*model.parameters(), *model.buffers()]:
                if tensor.is_floating_point():
                    tensor.copy_(torch.rand(tensor.shape, generator=generator) - 0.4)
            for module in model.modules():
                if isinstance(module, nn.BatchNorm2d) and module.running_var is not None:
                    module.running_var.abs_().add_(0.5)
        return model.eval()

    return make


@pytest.fixture
def resnet(make_resnet: Callable[..., nn.Module], block: type[nn.Module]) -> nn.Module:
    """The network with each kind of block."""
    return make_resnet(block)


@pytest.fixture
def images() -> Tensor:
    """Two images ``(2, 3, 14, 18)``; the feature maps are 7 x 9, odd on purpose."""
    return torch.randn(2, 3, 14, 18, generator=torch.Generator().manual_seed(5))
