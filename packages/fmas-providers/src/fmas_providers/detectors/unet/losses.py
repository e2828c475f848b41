"""What the ``unet`` is punished for: missed and invented defect pixels, however few there are."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["defect_loss"]


def defect_loss(logits: Tensor, masks: Tensor, *, focusing: float = 0.0) -> Tensor:
    """Return the balanced focal loss plus one minus the soft Dice coefficient of the batch.

    With ``p = sigmoid(logit)``, ``y`` the mask and ``e`` the binary cross-entropy, the focal loss (Lin et al., ICCV
    2017) is ``mean over y=1 of (1-p)^gamma e + mean over y=0 of p^gamma e``. Averaged over all pixels, small
    defects would not count, and a network that answers "nothing anywhere" never leaves that answer. Dice (Milletari et
    al., 3DV 2016) is ``(2 sum py + 1) / (sum p + sum y + 1)`` over the whole batch, so that pictures without a defect,
    which have no Dice of their own, add what they wrongly mark.

    Args:
        logits: ``(N, H, W)`` floating point.
        masks: ``(N, H, W)``, 0 or 1.
        focusing: Gamma; 0 for cross-entropy, balanced alike.

    Returns:
        A scalar, float32.
    """
    logits, truth = logits.float(), masks.float()
    entropy = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    chance = torch.sigmoid(logits)
    focal = (chance - truth).abs().pow(focusing) * entropy if focusing else entropy
    defective, good = truth.sum(), (1 - truth).sum()
    balanced = (focal * truth).sum() / defective.clamp(min=1) + (focal * (1 - truth)).sum() / good.clamp(min=1)
    dice = (2 * (chance * truth).sum() + 1) / (chance.sum() + defective + 1)
    return balanced + 1 - dice
