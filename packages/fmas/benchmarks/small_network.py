"""The small segmentation network that every way to make defects trains: same size, steps, augmentation and loss."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from fmas.types import FloatMap, NormalSyntheticMask, RGBImage

__all__ = ["Budget", "SmallUNet", "focal_and_dice", "predict", "train"]

LEVELS = 4
"""Resolutions inside the network: a half, a quarter, an eighth and a sixteenth."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What training costs; the same for all.

    Attributes:
        steps: Updates.
        size: Side of the square that whole photographs are brought to, in pixels, a multiple of 16.
        batch: Pictures per update: half with a defect, half their good twins.
        learning_rate: The largest; it falls as a cosine.
    """

    steps: int = 500
    size: int = 160
    batch: int = 16
    learning_rate: float = 3e-3


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
        pairs: What it learns from; every picture is brought to one size.
        budget: How long.
        seed: Of the weights, the order and the augmentation.
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
    for pictures, truth in _batches(pairs, budget, rng, channels):
        loss = focal_and_dice(network(pictures.contiguous(memory_format=torch.channels_last)), truth)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    network.eval()
    return network


@torch.inference_mode()
def predict(network: SmallUNet, photograph: RGBImage, *, size: int, channels: int) -> FloatMap:
    """Return the logit of a defect for each pixel of a whole photograph, ``(H, W)`` float32.

    Logits, because probabilities tie at 1 where a network is sure, and measures go by ranks.

    Args:
        network: Trained at ``size``.
        photograph: ``(H, W, 3)`` uint8, any size.
        size: What it is brought to, as in training.
        channels: As in training.
    """
    logits = network(_normalised(_squared(photograph, size)[None], channels))[0].numpy()
    height, width = photograph.shape[:2]
    return np.asarray(cv2.resize(logits, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _squared(picture: RGBImage, size: int) -> RGBImage:
    small = cv2.resize(np.ascontiguousarray(picture), (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)


def _batches(
    pairs: Sequence[NormalSyntheticMask], budget: Budget, rng: np.random.Generator, channels: int
) -> Iterator[tuple[Tensor, Tensor]]:
    size = (budget.size, budget.size)
    synthetic = np.stack([_squared(pair.synthetic, budget.size) for pair in pairs])
    normal = np.stack([_squared(pair.normal, budget.size) for pair in pairs])
    # A quarter of a small pixel counts: a hairline must not vanish from the truth.
    shares = (cv2.resize(pair.mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) for pair in pairs)
    masks = np.stack([np.asarray(share) > 0.25 for share in shares])
    order: list[int] = []
    for _ in range(budget.steps):
        while len(order) < budget.batch // 2:
            order += rng.permutation(len(pairs)).tolist()
        chosen, order = order[: budget.batch // 2], order[budget.batch // 2 :]
        pictures = np.concatenate([synthetic[chosen], normal[chosen]])
        truth = np.concatenate([masks[chosen], np.zeros_like(masks[chosen])])
        yield _augmented(_normalised(pictures, channels), torch.from_numpy(truth).float(), rng)


def _normalised(pictures: NDArray[np.uint8], channels: int) -> Tensor:
    """Return ``(N, C, H, W)`` float32 about -2..2 from ``(N, H, W, 3)`` uint8."""
    values = torch.from_numpy(np.ascontiguousarray(pictures[..., :channels])).permute(0, 3, 1, 2)
    return values.float() / 64 - 2


def _augmented(pictures: Tensor, truth: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Flip each picture along both axes by chance; change contrast by up to 20 % and brightness by up to 20 levels."""
    count = len(pictures)
    for axis in (1, 2):
        flips = torch.from_numpy(rng.random(count) < 0.5)
        pictures = torch.where(flips[:, None, None, None], pictures.flip(axis + 1), pictures)
        truth = torch.where(flips[:, None, None], truth.flip(axis), truth)
    gain = torch.from_numpy(rng.uniform(0.8, 1.2, (count, 1, 1, 1))).float()
    shift = torch.from_numpy(rng.uniform(-20, 20, (count, 1, 1, 1)) / 64).float()
    return (pictures + 2) * gain - 2 + shift, truth
