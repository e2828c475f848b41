"""WDAM as functions of tensors: check the arguments, choose the code, run it."""

from __future__ import annotations

import torch
from torch import Tensor

from wdam import ops
from wdam.backends import Backend, check_backend, choose_route, is_exporting
from wdam.butterfly import butterfly, butterfly_forward
from wdam.errors import DtypeError, OptionError, ShapeError
from wdam.functions import fused_wdam
from wdam.gate import SUBBANDS
from wdam.reference import reference_weights, wdam_reference
from wdam.wavelets import WaveletLike, filter_bank

__all__ = ["DTYPES", "subband_weights", "wdam"]

DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


def wdam(
    x: Tensor,
    w1: Tensor,
    w2: Tensor,
    *,
    scale: Tensor | None = None,
    residual: bool = True,
    wavelet: WaveletLike = "haar",
    backend: Backend = "auto",
) -> Tensor:
    """Reweight the sub-bands of ``x``: ``y = x + scale * IDWT(w * DWT(x))``.

    ``w = sigmoid(MLP(mean) + MLP(max))`` with ``MLP(v) = w2 relu(w1 v)`` over the mean and the maximum of each sub-band
    of each channel.

    * Among equal maxima the first block in row-major order receives the gradient.
    * A NaN in a sample makes its four weights NaN and with them all of its result; other samples never notice.
    * An infinity leaves no finite value in its 2x2 block; where the perceptron subtracts infinities, or multiplies one
      with zero, the weights are NaN and all of the sample with them.

    Args:
        x: ``(N, C, H, W)`` of float64, float32, float16 or bfloat16, ``H, W >= 1``, any layout.
        w1: ``(hidden, 4C)``, first layer of the perceptron, any of these dtypes.
        w2: ``(4, hidden)``, second layer.
        scale: A scalar tensor, or None for 1. Needs ``residual``.
        residual: Whether to add ``x``.
        wavelet: Any discrete wavelet; Haar is the fast one.
        backend: ``auto``, ``torch`` or ``cuda``; see :func:`wdam.backends.choose_route`.

    Returns:
        ``(N, C, H, W)``, dtype of ``x``, channels-last if ``x`` is. Everything is computed in float32 (float64 for
        float64), also under autocast, and rounded once.

    Raises:
        BackendError: If ``backend="cuda"`` cannot be had.
        DtypeError: If a tensor is not floating point.
        OptionError: If options exclude each other or do not exist.
        ShapeError: If shapes do not fit together.
    """
    _check_parameters(x, w1, w2, scale, residual=residual)
    check_backend(backend)
    scale = None if scale is None else scale.reshape(())  # more axes would broadcast against the samples
    bank = filter_bank(wavelet)
    if choose_route(backend, x, haar=bank.is_haar) == "operator":
        if torch.compiler.is_compiling():
            y: Tensor = ops.forward(x, w1, w2, scale, residual)[0]
            return y
        return fused_wdam(x, w1, w2, scale, residual)
    if bank.is_haar and is_exporting():
        return butterfly_forward(x, w1, w2, scale, residual)[0]
    if bank.is_haar and torch.compiler.is_compiling():
        return butterfly(x, w1, w2, scale, residual)
    return wdam_reference(x, w1, w2, scale=scale, residual=residual, wavelet=bank)


def subband_weights(x: Tensor, w1: Tensor, w2: Tensor, *, wavelet: WaveletLike = "haar") -> Tensor:
    """Return the weights that :func:`wdam` multiplies the sub-bands of ``x`` with, to explain a decision.

    Args:
        x: As for :func:`wdam`.
        w1: As for :func:`wdam`.
        w2: As for :func:`wdam`.
        wavelet: As for :func:`wdam`.

    Returns:
        ``(N, 4)`` float32 (float64 for float64) in ``[0, 1]``; axis 1 is LL, LH, HL, HH. Differentiable.

    Raises:
        DtypeError: If a tensor is not floating point.
        OptionError: If there is no such wavelet.
        ShapeError: If shapes do not fit together.
    """
    _check_parameters(x, w1, w2, None, residual=True)
    return reference_weights(x, w1, w2, wavelet=filter_bank(wavelet))


def check_input(x: Tensor, channels: int) -> None:
    """Raise unless ``x`` is a floating-point ``(N, channels, H, W)`` with ``H, W >= 1``."""
    _check_tensor("x", x)
    if x.ndim != 4 or x.shape[1] != channels or x.shape[2] < 1 or x.shape[3] < 1:
        raise ShapeError(
            f"expected x of shape (N, {channels}, H, W) with H, W >= 1, got {tuple(x.shape)}; "
            f"create the module with the channels of the layer it follows"
        )
    _check_dtype("x", x)


def _check_tensor(name: str, value: object) -> None:
    if not isinstance(value, Tensor):
        raise DtypeError(
            f"expected {name} as a torch.Tensor, got {type(value).__name__}; convert it with torch.as_tensor"
        )


def _check_dtype(name: str, value: Tensor) -> None:
    if value.dtype not in DTYPES:
        raise DtypeError(
            f"expected {name} of dtype float64, float32, float16 or bfloat16, got {value.dtype}; "
            f"convert it with {name}.float()"
        )


def _check_parameters(x: Tensor, w1: Tensor, w2: Tensor, scale: Tensor | None, *, residual: bool) -> None:
    """Raise unless ``x``, the perceptron and the scale are right and fit each other."""
    named = {"w1": w1, "w2": w2} if scale is None else {"w1": w1, "w2": w2, "scale": scale}
    for name, value in named.items():
        _check_tensor(name, value)
    if w1.ndim != 2 or w2.ndim != 2 or w1.shape[1] % SUBBANDS or w2.shape != (SUBBANDS, w1.shape[0]) or not w1.numel():
        raise ShapeError(
            f"expected w1 of shape (hidden, {SUBBANDS} * channels) and w2 of shape ({SUBBANDS}, hidden), "
            f"got {tuple(w1.shape)} and {tuple(w2.shape)}; pass the weights of two Linear layers without bias"
        )
    check_input(x, w1.shape[1] // SUBBANDS)
    for name, value in named.items():
        _check_dtype(name, value)
        if value.device != x.device:
            raise OptionError(
                f"expected x and {name} on one device, got {x.device} and {value.device}; move one with .to()"
            )
    if scale is not None and scale.numel() != 1:
        raise ShapeError(f"expected scale of one element, got {tuple(scale.shape)}; pass torch.tensor(0.5), say")
    if scale is not None and not residual:
        raise OptionError(
            "expected residual=True with a scale, got residual=False; a scale that starts at zero would erase the input"
        )
