"""The small segmentation network that every way to make defects trains: same size, crops, steps and loss."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from fmas.types import BoolMask, FloatMap, NormalSyntheticMask, RGBImage

__all__ = ["Budget", "SmallUNet", "focal_and_dice", "predict", "train"]

LEVELS = 4
"""Resolutions inside the network: a half, a quarter, an eighth and a sixteenth."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What training costs; the same for all.

    Attributes:
        steps: Updates.
        size: Side of the square crops, in pixels, a multiple of 16.
        batch: Crops per update: half from pictures with a defect, half from their good twins.
        learning_rate: The largest; it falls as a cosine.
    """

    steps: int = 600
    size: int = 160
    batch: int = 16
    learning_rate: float = 2e-3


class SmallUNet(nn.Module):
    """A U-Net of about half a million parameters that works at half the resolution: a few CPU minutes must do.

    Shape:
        - Input: ``(N, C, H, W)`` float32, about -2..2; ``H`` and ``W`` multiples of 16.
        - Output: ``(N, H, W)`` float32, the logit of a defect for each pixel.
    """

    def __init__(self, channels: int, width: int = 12) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, width, 4, stride=2, padding=1)
        widths = [width * 2**level for level in range(LEVELS)]
        self.down = nn.ModuleList(_block(a, b) for a, b in zip([width, *widths], widths, strict=False))
        self.up = nn.ModuleList(_block(widths[n] + widths[n - 1], widths[n - 1]) for n in range(LEVELS - 1, 0, -1))
        self.last = nn.Conv2d(width, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits."""
        x = self.first(x)
        passed: list[Tensor] = []
        for level, block in enumerate(self.down):
            x = block(functional.max_pool2d(x, 2) if level else x)
            passed.append(x)
        for block, beside in zip(self.up, reversed(passed[:-1]), strict=True):
            x = block(torch.cat([functional.interpolate(x, scale_factor=2, mode="nearest"), beside], 1))
        x = functional.interpolate(self.last(x), scale_factor=2, mode="bilinear", align_corners=False)
        return x[:, 0]


def _block(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in (inputs, outputs):
        layers += [nn.Conv2d(width, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def focal_and_dice(logits: Tensor, truth: Tensor) -> Tensor:
    """Return the focal loss (gamma 2) plus one minus the soft Dice coefficient of the batch.

    The focal loss is the mean over defect pixels plus the mean over the others: averaged over all pixels, small defects
    would not count, and a network that answers "nothing anywhere" never leaves that answer.

    Args:
        logits: ``(N, H, W)`` float32.
        truth: ``(N, H, W)`` float32, 0 or 1.
    """
    entropy = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    chance = torch.sigmoid(logits)
    focal = (chance - truth) ** 2 * entropy
    focal = (focal * truth).sum() / truth.sum().clamp(min=1) + (focal * (1 - truth)).sum() / (1 - truth).sum()
    dice = (2 * (chance * truth).sum() + 1) / (chance.sum() + truth.sum() + 1)
    return focal + 1 - dice


def train(pairs: Sequence[NormalSyntheticMask], budget: Budget, seed: int, *, channels: int) -> SmallUNet:
    """Train a new network.

    Args:
        pairs: What it learns from; every picture at its own size.
        budget: How long.
        seed: Of the weights, the crops and the augmentation.
        channels: 1 for grey photographs, 3 for coloured ones.

    Returns:
        The network, in evaluation mode.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = SmallUNet(channels).train()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a third faster on a CPU
    optimiser = torch.optim.AdamW(network.parameters(), lr=budget.learning_rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, budget.learning_rate, total_steps=budget.steps)
    for crops, truth in _batches(pairs, budget, rng, channels):
        loss = focal_and_dice(network(crops.contiguous(memory_format=torch.channels_last)), truth)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    network.eval()
    return network


@torch.inference_mode()
def predict(network: SmallUNet, photograph: RGBImage, *, channels: int) -> FloatMap:
    """Return the logit of a defect for each pixel of a whole photograph, ``(H, W)`` float32.

    Logits, because probabilities tie at 1 where a network is sure, and measures go by ranks.
    """
    height, width = photograph.shape[:2]
    step = 2**LEVELS
    padded = np.pad(photograph, ((0, -height % step), (0, -width % step), (0, 0)), mode="symmetric")
    crop = _normalised(padded[None], channels)
    return np.asarray(network(crop)[0, :height, :width].numpy(), np.float32)


def _batches(
    pairs: Sequence[NormalSyntheticMask], budget: Budget, rng: np.random.Generator, channels: int
) -> Iterator[tuple[Tensor, Tensor]]:
    order: list[int] = []
    for _ in range(budget.steps):
        pictures: list[RGBImage] = []
        masks: list[BoolMask] = []
        while len(pictures) < budget.batch:
            order = order or rng.permutation(len(pairs)).tolist()
            pair = pairs[order.pop()]
            for picture, mask, on_defect in (
                (pair.synthetic, pair.mask, True),
                (pair.normal, np.zeros_like(pair.mask), False),
            ):
                cut, hit = _crop(picture, mask, budget.size, rng, on_defect=on_defect)
                pictures.append(cut)
                masks.append(hit)
        crops, truth = _normalised(np.stack(pictures), channels), torch.from_numpy(np.stack(masks)).float()
        yield _augmented(crops, truth, rng)


def _crop(
    picture: RGBImage, mask: BoolMask, size: int, rng: np.random.Generator, *, on_defect: bool
) -> tuple[RGBImage, BoolMask]:
    """Cut a square that holds a random pixel of the defect, or any square; small pictures are mirrored first."""
    missing = [max(0, size - side) for side in mask.shape]
    if any(missing):
        pad = [(gap // 2, gap - gap // 2) for gap in missing]
        picture, mask = np.pad(picture, [*pad, (0, 0)], mode="symmetric"), np.pad(mask, pad, mode="symmetric")
    starts = []
    target = _random_pixel(mask, rng) if on_defect and mask.any() else None
    for axis, side in enumerate(mask.shape):
        low, high = (0, side - size) if target is None else (max(0, target[axis] - size + 1), target[axis])
        starts.append(int(rng.integers(low, min(high, side - size) + 1)))
    window = tuple(slice(start, start + size) for start in starts)
    return picture[window], mask[window]


def _random_pixel(mask: BoolMask, rng: np.random.Generator) -> tuple[int, int]:
    flat = np.flatnonzero(mask)
    row, column = divmod(int(flat[int(rng.integers(len(flat)))]), mask.shape[1])
    return row, column


def _normalised(pictures: NDArray[np.uint8], channels: int) -> Tensor:
    """Return ``(N, C, H, W)`` float32 about -2..2 from ``(N, H, W, 3)`` uint8."""
    values = torch.from_numpy(np.ascontiguousarray(pictures[..., :channels])).permute(0, 3, 1, 2)
    return values.float() / 64 - 2


def _augmented(crops: Tensor, truth: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Flip each crop along both axes by chance; change contrast by up to 20 % and brightness by up to 20 levels."""
    count = len(crops)
    for axis in (1, 2):
        flips = torch.from_numpy(rng.random(count) < 0.5)
        crops = torch.where(flips[:, None, None, None], crops.flip(axis + 1), crops)
        truth = torch.where(flips[:, None, None], truth.flip(axis), truth)
    gain = torch.from_numpy(rng.uniform(0.8, 1.2, (count, 1, 1, 1))).float()
    shift = torch.from_numpy(rng.uniform(-20, 20, (count, 1, 1, 1)) / 64).float()
    return (crops + 2) * gain - 2 + shift, truth
