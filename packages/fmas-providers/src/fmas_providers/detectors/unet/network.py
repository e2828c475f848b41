"""The compact encoder-decoder: half the photograph's resolution at its finest, the whole crop in view at its deepest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from fmas_providers.detectors.options import UNetOptions
from wdam import WDAM

__all__ = ["CompactUNet", "build_network"]

_RARE = -4.6
"""First bias of the logits: a pixel is defective with a probability of 0.01, as rarely as it is."""

_WIDEST = 8
"""No level has more than this many times the channels of the finest."""


def build_network(options: UNetOptions, *, pretrained: bool) -> nn.Module:
    """Return a new network with an attribute ``multiple``, as the options want it.

    Args:
        options: Built in, or around a timm encoder when ``encoder`` names one.
        pretrained: Whether that encoder starts from its pretrained weights; they are fetched if they are not here.

    Raises:
        ConfigError: If timm knows no such encoder.
        ComponentError: If its weights are not to be had.
        UsageError: If timm is not installed.
    """
    if options.encoder is not None:
        from fmas_providers.detectors.unet.encoder import EncoderUNet

        return EncoderUNet(options, pretrained=pretrained)
    return CompactUNet(
        width=options.width,
        levels=options.levels,
        stem=options.stem,
        wdam_levels=options.wdam_levels if options.wdam else 0,
    )


class CompactUNet(nn.Module):
    """Marks defects; made for few minutes on a CPU.

    The first convolution already lowers the resolution: its filters see every pixel, so a hairline is not lost, and all
    that follows costs a fraction. Each further level of the encoder halves; the deepest adds a summary of all it sees
    (mean and maximum over the crop) to every place, because an uneven finish can only be told by comparison. The
    decoder adds the levels up instead of concatenating them, and projects before it enlarges: half of the arithmetic
    of a plain U-Net would be spent at its last level.

    Args:
        width: Channels of the finest level; each deeper one has twice as many, up to eight times.
        levels: How many resolutions the encoder has.
        stem: How much smaller than the photograph the finest level is, 2 or 4.
        wdam_levels: How many levels of the encoder look through WDAM, from the finest on; 0 for none.

    Attributes:
        multiple: Of which H and W must be multiples.

    Shape:
        - Input: ``(N, 3, H, W)`` floating point, as ``scoring.normalise`` makes it.
        - Output: ``(N, H, W)``, the logit of a defect for each pixel.
    """

    def __init__(self, *, width: int, levels: int, stem: int = 2, wdam_levels: int = 0) -> None:
        super().__init__()
        self.multiple = stem * 2 ** (levels - 1)
        self._stem = float(stem)
        widths = [width * min(2**level, _WIDEST) for level in range(levels)]
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, stem + 2, stride=stem, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        )
        self.down = nn.ModuleList(
            _Block(
                widths[max(level - 1, 0)], widths[level], convolutions=2 if level else 1, lens=level < wdam_levels
            )
            for level in range(levels)
        )
        self.context = _Context(widths[-1])
        upwards = range(levels - 2, -1, -1)
        self.narrow = nn.ModuleList(nn.Conv2d(widths[level + 1], widths[level], 1) for level in upwards)
        self.up = nn.ModuleList(_Block(widths[level], widths[level], convolutions=1) for level in upwards)
        self.last = nn.Conv2d(width, 1, 1)
        nn.init.constant_(cast("Tensor", self.last.bias), _RARE)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return logits; see the class."""
        x = self.stem(pictures)
        passed: list[Tensor] = []
        for level, block in enumerate(self.down):
            x = block(functional.max_pool2d(x, 2) if level else x)
            passed.append(x)
        x = self.context(x)
        for narrow, block, beside in zip(self.narrow, self.up, reversed(passed[:-1]), strict=True):
            x = block(functional.interpolate(narrow(x), scale_factor=2.0, mode="nearest") + beside)
        logits = functional.interpolate(self.last(x), scale_factor=self._stem, mode="bilinear", align_corners=False)
        return logits[:, 0]

    def wdam_modules(self) -> Mapping[str, WDAM]:
        """Return every WDAM by its name, the finest level first."""
        return {name: module for name, module in self.named_modules() if isinstance(module, WDAM)}


class _Block(nn.Module):
    """Convolutions, each normalised and rectified; WDAM where the paper puts it, before the last rectifier.

    The lens starts as the identity (``scale=True``): it can only help where it learns to.
    """

    def __init__(self, given: int, width: int, *, convolutions: int, lens: bool = False) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(width if number else given, width, 3, padding=1, bias=False) for number in range(convolutions)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for _ in range(convolutions))
        self.lens = WDAM(width, scale=True) if lens else None

    def forward(self, x: Tensor) -> Tensor:
        last = len(self.convolutions) - 1
        for number, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            x = norm(convolution(x))
            if number == last and self.lens is not None:
                x = self.lens(x)
            x = functional.relu(x, inplace=True)
        return x


class _Context(nn.Module):
    """Adds to every place what a small perceptron makes of the mean and the maximum over all places."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(2 * width, width)
        self.second = nn.Linear(width, width)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x: Tensor) -> Tensor:
        seen = torch.cat([x.mean(dim=(2, 3)), x.amax(dim=(2, 3))], dim=1)
        return x + cast("Tensor", self.second(functional.relu(self.first(seen))))[:, :, None, None]
