"""The tiny perceptron that turns pooled sub-bands into one weight per sub-band, and its backward written by hand."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

__all__ = ["SUBBANDS", "accumulation_dtype", "full_precision", "gate", "gate_backward"]

SUBBANDS = 4  # LL, LH, HL, HH


def accumulation_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return what sums over values of ``dtype`` are kept in: float64 for float64, float32 for every other."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which autocast leaves the perceptron's matrix products alone.

    Their inputs are means and maxima over whole feature maps; rounding those to a half type would cost more than the
    few products gain.
    """
    # Some devices, meta among them, know no autocast and raise when asked.
    if torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def gate(mean: Tensor, maximum: Tensor, w1: Tensor, w2: Tensor) -> Tensor:
    """Return ``sigmoid(W2 relu(W1 mean) + W2 relu(W1 max))``, in the dtype of ``mean``.

    Args:
        mean: ``(N, 4C)``, mean of each sub-band of each channel: all channels of LL, then LH, HL, HH.
        maximum: ``(N, 4C)``, their maximum.
        w1: ``(hidden, 4C)``, any floating-point dtype.
        w2: ``(4, hidden)``.

    Returns:
        ``(N, 4)`` in ``[0, 1]``; NaN for a sample whose pooled values hold one.
    """
    with full_precision(mean.device):
        first, second = w1.to(mean.dtype), w2.to(mean.dtype)
        hidden = (mean @ first.T).relu() + (maximum @ first.T).relu()
        return torch.sigmoid(hidden @ second.T)


def gate_backward(  # noqa: PLR0917 - everything the forward knew
    dw: Tensor, w: Tensor, mean: Tensor, maximum: Tensor, w1: Tensor, w2: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Undo :func:`gate`: from the gradient of its result to those of its inputs.

    Args:
        dw: ``(N, 4)``, gradient of the weights.
        w: ``(N, 4)``, what :func:`gate` returned.
        mean: ``(N, 4C)``, as given to :func:`gate`.
        maximum: ``(N, 4C)``.
        w1: ``(hidden, 4C)``.
        w2: ``(4, hidden)``.

    Returns:
        Gradients of ``mean``, ``maximum``, ``w1`` and ``w2``, all in the dtype of ``mean``.
    """
    with full_precision(mean.device):
        first, second = w1.to(mean.dtype), w2.to(mean.dtype)
        hidden_mean, hidden_max = (mean @ first.T).relu(), (maximum @ first.T).relu()
        logits = dw * w * (1 - w)
        hidden = logits @ second
        from_mean, from_max = hidden * (hidden_mean > 0), hidden * (hidden_max > 0)
        return (
            from_mean @ first,
            from_max @ first,
            from_mean.T @ mean + from_max.T @ maximum,
            logits.T @ (hidden_mean + hidden_max),
        )
