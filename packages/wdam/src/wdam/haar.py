"""The one-level Haar transform in plain torch, equal to PyWavelets' ``dwt2(x, "haar", mode="symmetric")``."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["merge_subbands", "split_subbands"]


def split_subbands(x: Tensor) -> Tensor:
    """Split feature maps into their four Haar sub-bands.

    For a 2x2 block ``a b / c d``: ``LL = (a+b+c+d)/2``, ``LH = (a+b-c-d)/2``, ``HL = (a-b+c-d)/2``,
    ``HH = (a-b-c+d)/2``. Signs are PyWavelets' (``LH`` is its ``cH``, ``HL`` its ``cV``, ``HH`` its ``cD``).

    Args:
        x: ``(N, C, H, W)`` floating point, ``H, W >= 1``. An odd last row or column is replicated first.

    Returns:
        ``(N, 4, C, ceil(H/2), ceil(W/2))``, dtype of ``x``; axis 1 is ``LL, LH, HL, HH``.
    """
    if x.shape[-2] % 2:
        x = torch.cat([x, x[..., -1:, :]], dim=-2)
    if x.shape[-1] % 2:
        x = torch.cat([x, x[..., -1:]], dim=-1)
    a, b = x[..., 0::2, 0::2], x[..., 0::2, 1::2]
    c, d = x[..., 1::2, 0::2], x[..., 1::2, 1::2]
    return torch.stack([a + b + c + d, a + b - c - d, a - b + c - d, a - b - c + d], dim=1) / 2


def merge_subbands(subbands: Tensor) -> Tensor:
    """Undo :func:`split_subbands`.

    Args:
        subbands: ``(N, 4, C, h, w)`` floating point; axis 1 is ``LL, LH, HL, HH``.

    Returns:
        ``(N, C, 2h, 2w)``, dtype of ``subbands``; crop it to undo a replicated row or column.
    """
    ll, lh, hl, hh = subbands.unbind(dim=1)
    upper = torch.stack([ll + lh + hl + hh, ll + lh - hl - hh], dim=-1).flatten(-2)
    lower = torch.stack([ll - lh + hl - hh, ll - lh - hl + hh], dim=-1).flatten(-2)
    return torch.stack([upper, lower], dim=-2).flatten(-3, -2) / 2
