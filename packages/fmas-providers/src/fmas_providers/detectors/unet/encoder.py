"""A U-Net around a network of timm: pretrained features where there are weights, and WDAM on the finest of them."""

from __future__ import annotations

import difflib
from types import ModuleType
from typing import Any, cast

import torch
from torch import Tensor, nn

from fmas.errors import ComponentError, ConfigError, UsageError
from fmas.secrecy import one_line
from fmas_providers.detectors.options import UNetOptions
from fmas_providers.detectors.scoring.normalise import OFFSET, SCALE
from wdam import WDAM

__all__ = ["EncoderUNet"]

_GREY_LEVELS = 255.0
_RARE = -4.6
"""First bias of the logits: a pixel is defective with a probability of 0.01, as rarely as it is."""


class EncoderUNet(nn.Module):
    """Encodes with a timm network, decodes with convolutions; pictures ``(N, 3, H, W)`` to logits ``(N, H, W)``.

    Args:
        options: ``encoder``, ``width``, ``wdam`` and ``wdam_levels``.
        pretrained: Whether the encoder starts from timm's weights; they are fetched if they are not here.

    Attributes:
        multiple: Of which H and W must be multiples.

    Raises:
        UsageError: If timm is not installed.
        ConfigError: If it knows no such network, or one that gives no features at several resolutions.
        ComponentError: If the weights are neither here nor to be fetched.
    """

    gain: Tensor
    shift: Tensor

    def __init__(self, options: UNetOptions, *, pretrained: bool) -> None:
        super().__init__()
        self.encoder = _encoder(str(options.encoder), pretrained=pretrained)
        info = cast("Any", self.encoder).feature_info
        channels: list[int] = info.channels()
        self._reductions: list[int] = info.reduction()
        self.multiple = self._reductions[-1]
        self._describe(cast("Any", self.encoder).pretrained_cfg)
        lenses = min(options.wdam_levels, len(channels)) if options.wdam else 0
        self.lenses = nn.ModuleList(WDAM(count, scale=True) for count in channels[:lenses])
        widths = [min(options.width * 2**level, 8 * options.width) for level in range(len(channels))]
        self.deepest = _Block(channels[-1], widths[-1])
        self.decoder = nn.ModuleList(
            _Block(widths[level + 1] + channels[level], widths[level]) for level in range(len(channels) - 2, -1, -1)
        )
        self.full = _Block(widths[0] + 3, options.width)
        self.last = nn.Conv2d(options.width, 1, 1)
        nn.init.constant_(cast("Tensor", self.last.bias), _RARE)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return logits ``(N, H, W)`` of pictures as ``scoring.normalise`` makes them."""
        features: list[Tensor] = list(self.encoder(pictures * self.gain + self.shift))
        for level, lens in enumerate(self.lenses):
            features[level] = lens(features[level])
        decoded = self.deepest(features[-1])
        for block, skipped in zip(self.decoder, reversed(features[:-1]), strict=True):
            decoded = block(torch.cat([_like(decoded, skipped), skipped], dim=1))
        decoded = self.full(torch.cat([_like(decoded, pictures), pictures], dim=1))
        return cast("Tensor", self.last(decoded)[:, 0])

    def _describe(self, described: dict[str, Any]) -> None:
        """Turn our normalisation into the one that the pretrained weights expect."""
        means, deviations = (
            torch.tensor(described[name], dtype=torch.float32)[:, None, None] for name in ("mean", "std")
        )
        self.register_buffer("gain", 1 / (SCALE * _GREY_LEVELS * deviations))
        self.register_buffer("shift", (-OFFSET / (SCALE * _GREY_LEVELS) - means) / deviations)


class _Block(nn.Sequential):
    def __init__(self, given: int, width: int) -> None:
        super().__init__(
            nn.Conv2d(given, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        )


def _like(decoded: Tensor, wanted: Tensor) -> Tensor:
    return nn.functional.interpolate(decoded, size=wanted.shape[-2:], mode="nearest")


def _encoder(name: str, *, pretrained: bool) -> nn.Module:
    timm = _timm()
    if not timm.is_model(name):
        nearest = difflib.get_close_matches(name.partition(".")[0], timm.list_models(), n=1)
        meant = f"did you mean {nearest[0]!r}?" if nearest else "choose one of timm.list_models(), such as resnet18"
        raise ConfigError(f"expected the name of a timm model as detector.encoder, got {name!r}; {meant}")
    try:
        encoder = timm.create_model(name, pretrained=pretrained, features_only=True)
    except (OSError, RuntimeError, ValueError) as error:
        if not pretrained:
            raise _no_features(name, one_line(error)) from error
        raise ComponentError(
            f"expected timm's weights of {name} on this machine, got {one_line(error)}; fetch them once where there is "
            "a network, or start from random weights with pretrained=false"
        ) from error
    reductions = encoder.feature_info.reduction()
    if len(reductions) < 2 or reductions != sorted(set(reductions)):
        raise _no_features(name, f"strides {reductions}")
    return cast("nn.Module", encoder)


def _no_features(name: str, got: str) -> ConfigError:
    return ConfigError(
        f"expected an encoder that gives features at several resolutions, got {name!r} ({got}); choose a ResNet, such "
        "as resnet18"
    )


def _timm() -> ModuleType:
    try:
        import timm
    except ImportError as error:
        raise UsageError(
            "expected timm for detector.encoder, got none installed; pip install 'fmas-providers[cutpaste]', or leave "
            "encoder out"
        ) from error
    return cast("ModuleType", timm)
