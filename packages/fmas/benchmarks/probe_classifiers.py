"""Two small classifiers that see high-pass residuals alone: rich statistics with a linear rule, and a small network.

Residuals and co-occurrences follow J. Fridrich and J. Kodovský, "Rich Models for Steganalysis of Digital Images", IEEE
TIFS 2012: differences of first to third order and two square kernels, quantised and truncated, counted in pairs of
neighbours. The network starts from the same kernels, with residuals cut off at sixteen grey levels.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor, nn
from torch.nn import functional

from fmas.types import FloatMap

__all__ = ["KERNELS", "network_probe", "rich_features", "rich_probe"]

CUT_OFF = 16.0
"""Grey levels that a residual is cut off at before the network sees it."""


def _kernels() -> FloatMap:
    """Return ``(K, 5, 5)`` float32 kernels that sum to 0."""
    first, second = [0, 0, -1, 1, 0], [0, 1, -2, 1, 0]
    third = [0, 1, -3, 3, -1]
    lines = [np.diag([0, 0, 1, 0, 0]) @ np.tile(np.array(line, np.float32), (5, 1)) for line in (first, second, third)]
    upright = [line.T for line in lines]
    slanted = [np.diag(np.array([0, 1, -2, 1, 0], np.float32)), np.fliplr(np.diag([0, 1, -2, 1, 0]))]
    square = np.pad(np.array([[-1, 2, -1], [2, -4, 2], [-1, 2, -1]], np.float32), 1)
    wide = np.array(
        [[-1, 2, -2, 2, -1], [2, -6, 8, -6, 2], [-2, 8, -12, 8, -2], [2, -6, 8, -6, 2], [-1, 2, -2, 2, -1]], np.float32
    )
    kernels = [*lines, *upright, *slanted, square, wide]
    return np.stack([kernel / np.abs(kernel).max() for kernel in kernels]).astype(np.float32)


KERNELS = _kernels()


def rich_features(patches: FloatMap) -> NDArray[np.float64]:
    """Return statistics of the residuals.

    Args:
        patches: ``(N, S, S)`` float32, 0..255.

    Returns:
        ``(N, F)`` float64: for each kernel the spread of the residuals overall, in the middle and around it, histograms
        of two quantisations and co-occurrences of neighbours along both axes.
    """
    with torch.inference_mode():
        stack = torch.from_numpy(patches)[:, None]
        residuals = functional.conv2d(stack, torch.from_numpy(KERNELS)[:, None]).numpy()
    count, size = len(patches), residuals.shape[-1]
    middle = slice(size // 4, size - size // 4)
    found = []
    for residual in np.moveaxis(residuals, 1, 0):
        inner = residual[:, middle, middle]
        spreads = [np.abs(part).mean(axis=(1, 2)) for part in (residual, inner)]
        found.append(np.stack([np.log(spreads[0] + 0.1), np.log(spreads[1] + 0.1) - np.log(spreads[0] + 0.1)], axis=1))
        for step in (1.0, 2.0):
            levels = np.clip(np.rint(residual / step), -2, 2).astype(int) + 2
            found.append(_shares(levels.reshape(count, -1), 5))
            found.append(_shares((5 * levels[:, :, :-1] + levels[:, :, 1:]).reshape(count, -1), 25))
            found.append(_shares((5 * levels[:, :-1] + levels[:, 1:]).reshape(count, -1), 25))
    return np.concatenate(found, axis=1)


def rich_probe(
    train: tuple[FloatMap, NDArray[np.bool_]], test: FloatMap, *, folds: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Fit logistic regression to the statistics of the residuals and return its logits for the test patches.

    Args:
        train: Patches ``(N, S, S)`` and which of them are composites, ``(N,)`` bool.
        test: Patches ``(M, S, S)``.
        folds: ``(N,)`` 0 or 1, by photograph: the penalty is the one that carries over best from fold 0 to fold 1.
    """
    features, labels = rich_features(train[0]), train[1]
    centre, spread = features.mean(axis=0), features.std(axis=0) + 1e-6
    features = (features - centre) / spread
    fit, check = folds == 0, folds == 1
    penalties = (1e-3, 1e-2, 1e-1, 1.0)
    hits = [
        np.mean((_decide(features[check], _logistic(features[fit], labels[fit], p)) > 0) == labels[check])
        for p in penalties
    ]
    weights = _logistic(features, labels, penalties[int(np.argmax(hits))])
    return _decide((rich_features(test) - centre) / spread, weights)


def network_probe(
    train: tuple[FloatMap, NDArray[np.bool_]], test: FloatMap, *, epochs: int, seed: int
) -> NDArray[np.float64]:
    """Train a small network on truncated residuals and return its logits, averaged over eight orientations.

    Args:
        train: Patches ``(N, S, S)`` and which of them are composites, ``(N,)`` bool.
        test: Patches ``(M, S, S)``.
        epochs: Passes over the patches.
        seed: Of weights, order and orientation.
    """
    torch.manual_seed(seed)
    network = _Residuals()
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-3)
    patches, labels = torch.from_numpy(train[0])[:, None], torch.from_numpy(train[1]).float()
    size = 64
    steps = epochs * (len(patches) // size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=max(1, steps))
    for _ in range(epochs):
        order = torch.randperm(len(patches))
        for start in range(0, len(patches) - size + 1, size):
            chosen = order[start : start + size]
            turn = int(torch.randint(8, ()))
            loss = functional.binary_cross_entropy_with_logits(
                network(_oriented(patches[chosen], turn)), labels[chosen]
            )
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
    network.eval()
    with torch.inference_mode():
        parts = torch.split(torch.from_numpy(test)[:, None], 512)
        logits = [torch.stack([network(_oriented(part, turn)) for turn in range(8)]).mean(0) for part in parts]
        return torch.cat(logits).numpy().astype(np.float64)


class _Residuals(nn.Module):
    """Residuals, cut off; convolutions; mean and largest over the patch; one logit."""

    kernels: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernels", torch.from_numpy(KERNELS)[:, None])
        layers: list[nn.Module] = []
        for inputs, outputs in ((len(KERNELS), 16), (16, 32), (32, 48)):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
            layers += [nn.AvgPool2d(2)]
        self.body = nn.Sequential(*layers[:-1])
        self.last = nn.Linear(2 * 48, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return a logit for each of ``(N, 1, S, S)``."""
        residuals = functional.conv2d(x, self.kernels).clamp(-CUT_OFF, CUT_OFF) / 4
        found = self.body(residuals)
        logits: Tensor = self.last(torch.cat([found.mean((2, 3)), found.amax((2, 3))], 1))[:, 0]
        return logits


def _oriented(patches: Tensor, turn: int) -> Tensor:
    patches = torch.rot90(patches, turn % 4, (2, 3))
    return patches.flip(3) if turn >= 4 else patches


def _shares(codes: NDArray[np.int64], kinds: int) -> NDArray[np.float64]:
    """Return how often each code occurs in each row, ``(N, kinds)``."""
    rows = np.arange(len(codes))[:, None] * kinds
    counts = np.bincount((codes + rows).ravel(), minlength=len(codes) * kinds)
    return np.asarray(counts.reshape(len(codes), kinds) / codes.shape[1], np.float64)


def _logistic(features: NDArray[np.float64], labels: NDArray[np.bool_], penalty: float) -> NDArray[np.float64]:
    """Return weights and, last, the offset."""
    signs = np.where(labels, 1.0, -1.0)

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        margin = signs * _decide(features, weights)
        slope = -signs / (1 + np.exp(np.clip(margin, -50, 50)))
        gradient = np.append(features.T @ slope / len(signs) + penalty * weights[:-1], slope.mean())
        value = float(np.logaddexp(0, -margin).mean() + 0.5 * penalty * float(weights[:-1] @ weights[:-1]))
        return value, gradient

    start = np.zeros(features.shape[1] + 1)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 200})
    return np.asarray(found.x, np.float64)


def _decide(features: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(features @ weights[:-1] + weights[-1], np.float64)
