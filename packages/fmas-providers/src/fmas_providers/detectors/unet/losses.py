"""What the ``unet`` is punished for: missed and invented defect pixels, and pictures in the wrong order."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["defect_loss", "pixel_loss", "ranking_loss"]

_TOP_FRACTION = 0.001
_FEWEST = 16
"""Of each picture's logits, the highest thousandth stand for the picture, at least 16, as in its image score."""


def defect_loss(logits: Tensor, masks: Tensor, *, ranking: float = 0.3) -> Tensor:
    """Return :func:`pixel_loss` plus ``ranking`` times :func:`ranking_loss`.

    Args:
        logits: ``(N, H, W)`` floating point.
        masks: ``(N, H, W)``, 0 or 1.
        ranking: Weight of the order of whole pictures.

    Returns:
        A scalar, float32.
    """
    loss = pixel_loss(logits, masks)
    return loss + ranking * ranking_loss(logits, masks) if ranking else loss


def pixel_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Return the balanced focal loss plus one minus the soft Dice coefficient of the batch.

    With ``p = sigmoid(logit)``, ``y`` the mask and ``e`` the binary cross-entropy, the focal loss (Lin et al., ICCV
    2017, gamma 2) is ``mean over y=1 of (1-p)^2 e + mean over y=0 of p^2 e``. Averaged over all pixels, small
    defects would not count, and a network that answers "nothing anywhere" never leaves that answer. Dice (Milletari et
    al., 3DV 2016) is ``(2 sum py + 1) / (sum p + sum y + 1)`` over the whole batch, so that pictures without a defect,
    which have no Dice of their own, add what they wrongly mark.

    Args:
        logits: ``(N, H, W)`` floating point.
        masks: ``(N, H, W)``, 0 or 1.

    Returns:
        A scalar, float32.
    """
    logits, truth = logits.float(), masks.float()
    entropy = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    chance = torch.sigmoid(logits)
    focal = (chance - truth).square() * entropy
    defective, good = truth.sum(), (1 - truth).sum()
    balanced = (focal * truth).sum() / defective.clamp(min=1) + (focal * (1 - truth)).sum() / good.clamp(min=1)
    dice = (2 * (chance * truth).sum() + 1) / (chance.sum() + defective + 1)
    return balanced + 1 - dice


def ranking_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Return ``softplus(good - defective)``, averaged over all pairs of a good and a defective picture; 0 if none.

    A picture stands by the mean of its highest logits, as in its image score.

    Args:
        logits: ``(N, H, W)`` floating point.
        masks: ``(N, H, W)``, 0 or 1.
    """
    values = logits.float().flatten(1)
    count = min(max(round(_TOP_FRACTION * values.shape[1]), _FEWEST), values.shape[1])
    scores = values.topk(count, dim=1, sorted=False).values.mean(dim=1)
    defective = (masks.flatten(1).amax(dim=1) > 0).to(scores.dtype)
    pairs = defective[:, None] * (1 - defective)[None, :]
    lead = scores[:, None] - scores[None, :]
    return (pairs * functional.softplus(-lead)).sum() / pairs.sum().clamp(min=1)
