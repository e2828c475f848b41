"""A network, pictures and a training so small that dozens of them fit into a test; as a script, one to be killed."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from fmas_providers.detectors.options import TrainingOptions
from fmas_providers.detectors.training.batch import Batch
from fmas_providers.detectors.training.loop import fit
from fmas_providers.detectors.training.outcome import TrainingOutcome, Validated

OPTIONS = TrainingOptions(
    seed=3, batch_size=4, learning_rate=0.02, checks=3, checkpoint_seconds=0.0, device="cpu", threads=1, patience=0
)
STEPS = 9


class TinyNetwork(nn.Module):
    """``(N, 3, H, W)`` -> ``(N, H, W)`` with what makes resuming hard: statistics of batches, and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.Dropout2d(0.2),
            nn.Conv2d(6, 1, 3, padding=1),
        )
        self.register_buffer("number", torch.tensor([7, 8]))

    def forward(self, pictures: Tensor) -> Tensor:
        return self.layers(pictures)[:, 0]


def network(seed: int = 0) -> TinyNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TinyNetwork()


def sample(step: int) -> Batch:
    rng = np.random.default_rng((11, step))
    pictures = rng.normal(size=(4, 3, 12, 10)).astype(np.float32)
    masks = np.zeros((4, 12, 10), np.float32)
    masks[:, 3:6, 4:8] = 1.0
    pictures += 2.0 * masks[:, None]
    return Batch(torch.from_numpy(pictures), torch.from_numpy(masks))


def loss(outputs: Tensor, batch: Batch) -> Tensor:
    return nn.functional.binary_cross_entropy_with_logits(outputs, batch.masks)


def validate(trained: nn.Module) -> Validated:
    batch = sample(10_000)
    return Validated(-float(loss(trained(batch.pictures), batch)), {"mean": float(trained(batch.pictures).mean())})


def train(
    workspace: Path,
    trained: nn.Module | None = None,
    *,
    options: TrainingOptions = OPTIONS,
    steps: int = STEPS,
    identity: str = "one",
    sample: Callable[[int], Batch] = sample,
    loss: Callable[[Tensor, Batch], Tensor] = loss,
    validate: Callable[[nn.Module], Validated] | None = validate,
    progress: Callable[[int, int, Mapping[str, float]], None] | None = None,
) -> tuple[dict[str, Tensor], TrainingOutcome]:
    """Train; return the weights and the outcome."""
    chosen = network() if trained is None else trained
    outcome = fit(
        chosen, sample, loss, validate, options, steps=steps, identity=identity, workspace=workspace, progress=progress
    )
    return {name: value.clone() for name, value in chosen.state_dict().items()}, outcome


def same(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    """Say whether all weights are equal to the last bit."""
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


if __name__ == "__main__":

    def slowly(step: int, _: int, __: Mapping[str, float]) -> None:
        print(step, flush=True)  # noqa: T201
        time.sleep(0.05)

    train(Path(sys.argv[1]), progress=slowly, steps=int(sys.argv[2]))
