"""How well held-out pairs are told apart, which decides when to stop and which weights to keep."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from fmas_providers.detectors.cutpaste.sampling import NORMAL, ClassSampler
from fmas_providers.detectors.training.batch import LabelledBatch
from fmas_providers.detectors.training.measures import ranking
from fmas_providers.detectors.training.outcome import Validated
from fmas_providers.detectors.training.pairs import spread

__all__ = ["Validation", "cross_entropy"]

_MOST_PAIRS = 64


def cross_entropy(logits: Tensor, batch: LabelledBatch) -> Tensor:
    """Return the mean loss of a batch: what the paper trains by."""
    return functional.cross_entropy(logits, batch.labels)


class Validation:
    """Scores a network by the cross-entropy of held-out pictures, the same ones at every check.

    Args:
        sampler: Of the held-out pairs.
        device: Where the network is.
        at_once: How many pairs' pictures go through it together.
    """

    def __init__(self, sampler: ClassSampler, *, device: torch.device, at_once: int) -> None:
        self._sampler, self._device, self._at_once = sampler, device, at_once
        self._pairs = spread(sampler.pairs, _MOST_PAIRS)

    def __call__(self, network: nn.Module) -> Validated:
        """Return the negative loss as the score; loss, accuracy and AUROC of normal against the rest to report."""
        logits, labels = [], []
        for first in range(0, len(self._pairs), self._at_once):
            batch = self._sampler.fixed(self._pairs[first : first + self._at_once])
            batch = batch.to(self._device, memory_format=torch.channels_last)
            logits.append(network(batch.pictures).float().cpu())
            labels.append(batch.labels.cpu())
        answers, truth = torch.cat(logits), torch.cat(labels)
        loss = float(functional.cross_entropy(answers, truth))
        accuracy = float((answers.argmax(dim=1) == truth).float().mean())
        measures = {"validation_loss": loss, "accuracy": accuracy}
        anomalous = (truth != NORMAL).numpy()
        if 0 < anomalous.sum() < len(anomalous):
            measures["auroc"] = ranking(1 - answers.double().softmax(dim=1)[:, NORMAL].numpy(), anomalous)
        return Validated(-loss, measures)
