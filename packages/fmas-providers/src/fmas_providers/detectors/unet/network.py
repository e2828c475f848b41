"""The network of ``unet``: an encoder-decoder that reads every pixel and does its arithmetic at a quarter of the size.

A strided stem takes the picture down by ``stem``, so that a thin crack is seen pixel by pixel and yet the rest of the
network costs what it would on a picture of a sixteenth of the area. WDAM (arXiv 2603.02964) sits where the paper puts
it in a ResNet block: behind the last normalisation and before the last ReLU, with its own residual.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from fmas_providers.detectors.options import UNetOptions
from wdam import WDAM

__all__ = ["CompactUNet", "build_network"]

_WIDEST = 8
"""No level has more than this many times the channels of the finest."""

_RARE = -2.0
"""First bias of the logits: training starts from "rather no defect", and still has a gradient everywhere."""


def build_network(options: UNetOptions, *, pretrained: bool) -> nn.Module:
    """Return a new network with an attribute ``multiple``, as the options want it.

    Args:
        options: Built in, or around a timm encoder where ``encoder`` names one.
        pretrained: Whether that encoder starts from timm's weights; they are fetched if they are not here.

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
    """Marks defects; 280,000 parameters at width 12 and four levels.

    Args:
        width: Channels of the finest level; each deeper one has twice as many, up to eight times.
        levels: How many resolutions the encoder has.
        stem: How much smaller than the picture the finest level is, 2 or 4.
        wdam_levels: How many levels of the encoder look through WDAM, from the finest on; 0 for none.

    Attributes:
        multiple: Of which H and W must be multiples.

    Shape:
        - Input: ``(N, 3, H, W)`` floating point, as ``scoring.normalise`` makes it.
        - Output: ``(N, H, W)``, the logit of a defect for each pixel.
    """

    def __init__(self, *, width: int, levels: int, stem: int = 4, wdam_levels: int = 0) -> None:
        super().__init__()
        self.multiple = stem * 2 ** (levels - 1)
        widths = [width * min(2**level, _WIDEST) for level in range(levels)]
        self.stem = _stem(width, stem)
        self.down = nn.ModuleList(
            _Block(given, wanted, lens=level < wdam_levels)
            for level, (given, wanted) in enumerate(zip([width, *widths], widths, strict=False))
        )
        self.up = nn.ModuleList(
            _Block(widths[level] + widths[level - 1], widths[level - 1]) for level in range(levels - 1, 0, -1)
        )
        self.last = nn.Conv2d(width, 1, 1)
        self.enlarge = nn.Upsample(scale_factor=stem, mode="bilinear", align_corners=False)
        nn.init.constant_(cast("Tensor", self.last.bias), _RARE)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return logits; see the class."""
        x = self.stem(pictures)
        passed: list[Tensor] = []
        for level, block in enumerate(self.down):
            x = block(functional.max_pool2d(x, 2) if level else x)
            passed.append(x)
        for block, beside in zip(self.up, reversed(passed[:-1]), strict=True):
            x = block(torch.cat([functional.interpolate(x, scale_factor=2.0, mode="nearest"), beside], dim=1))
        return cast("Tensor", self.enlarge(self.last(x))[:, 0])


class _Block(nn.Module):
    """Two convolutions; WDAM, if any, sits before the last ReLU.

    The lens starts as the identity (``scale=True``): it disturbs nothing and can only help where it learns to.
    """

    def __init__(self, given: int, wanted: int, *, lens: bool = False) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv2d(given, wanted, 3, padding=1, bias=False), nn.BatchNorm2d(wanted), nn.ReLU(inplace=True)
        )
        self.second = nn.Sequential(nn.Conv2d(wanted, wanted, 3, padding=1, bias=False), nn.BatchNorm2d(wanted))
        self.lens = WDAM(wanted, scale=True) if lens else None

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(self.first(x))
        return functional.relu(x if self.lens is None else self.lens(x), inplace=True)


def _stem(width: int, factor: int) -> nn.Module:
    """Return convolutions of stride 2 whose filters overlap: every pixel is seen by several."""
    if factor == 2:
        return nn.Conv2d(3, width, 4, stride=2, padding=1)
    return nn.Sequential(
        nn.Conv2d(3, width, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        nn.Conv2d(width, width, 4, stride=2, padding=1),
    )
