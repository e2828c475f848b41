"""WDAM as the paper describes it, step by step and for any wavelet; what everything faster is compared with."""

from __future__ import annotations

import torch
from torch import Tensor

from wdam.gate import accumulation_dtype, gate
from wdam.transforms import dwt2, idwt2
from wdam.wavelets import WaveletLike

__all__ = ["reference_weights", "wdam_reference"]


def wdam_reference(
    x: Tensor,
    w1: Tensor,
    w2: Tensor,
    *,
    scale: Tensor | None = None,
    residual: bool = True,
    wavelet: WaveletLike = "haar",
) -> Tensor:
    """Split, weigh, put together: ``y = x + scale * IDWT(w * DWT(x))``.

    Differentiable as often as wanted. Keeps several tensors of the size of ``x`` for that, which the fused
    operators do not.

    Args:
        x: ``(N, C, H, W)`` of float64, float32, float16 or bfloat16, ``H, W >= 1``.
        w1: ``(hidden, 4C)``, first layer of the perceptron.
        w2: ``(4, hidden)``, second layer.
        scale: A scalar tensor, or None for 1.
        residual: Whether to add ``x``.
        wavelet: Any discrete wavelet that :func:`wdam.dwt2` accepts; mode ``symmetric``.

    Returns:
        ``(N, C, H, W)``, dtype of ``x``; computed in float32 (float64 for float64) and rounded once.
    """
    work = x.to(accumulation_dtype(x.dtype))
    subbands = _subbands(work, wavelet)
    ll, lh, hl, hh = (subbands * _weights(subbands, w1, w2)[:, :, None, None, None]).unbind(dim=1)
    y = idwt2((ll, (lh, hl, hh)), wavelet, shape=(x.shape[2], x.shape[3]))
    if scale is not None:
        y = y * scale.to(y.dtype)
    return (work + y if residual else y).to(x.dtype)


def reference_weights(x: Tensor, w1: Tensor, w2: Tensor, *, wavelet: WaveletLike = "haar") -> Tensor:
    """Return the weights ``(N, 4)`` of LL, LH, HL and HH that :func:`wdam_reference` multiplies with.

    Args:
        x: As for :func:`wdam_reference`.
        w1: As for :func:`wdam_reference`.
        w2: As for :func:`wdam_reference`.
        wavelet: As for :func:`wdam_reference`.
    """
    return _weights(_subbands(x.to(accumulation_dtype(x.dtype)), wavelet), w1, w2)


def _subbands(x: Tensor, wavelet: WaveletLike) -> Tensor:
    """Return ``(N, 4, C, h, w)``."""
    approximation, (horizontal, vertical, diagonal) = dwt2(x, wavelet)
    return torch.stack([approximation, horizontal, vertical, diagonal], dim=1)


def _weights(subbands: Tensor, w1: Tensor, w2: Tensor) -> Tensor:
    """Pool ``(N, 4, C, h, w)`` sub-bands and ask the perceptron, to ``(N, 4)``."""
    pooled = subbands.flatten(1, 2).flatten(-2)  # (N, 4C, h*w), all channels of LL first
    # Unlike `amax`, which shares its gradient among equal values, `max` gives it to the first.
    return gate(pooled.mean(dim=-1), pooled.max(dim=-1).values, w1, w2)
