"""``WDAM``: one weight per wavelet sub-band, learnt from the sub-bands' mean and maximum."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from wdam.backends import Backend, check_backend
from wdam.errors import DtypeError, OptionError
from wdam.functional import check_input, subband_weights, wdam
from wdam.gate import SUBBANDS
from wdam.wavelets import WaveletLike, filter_bank

__all__ = ["WDAM"]


class WDAM(nn.Module):
    """Reweight the four wavelet sub-bands of a feature map (arXiv 2603.02964).

    ``w = sigmoid(MLP(mean(DWT(x))) + MLP(max(DWT(x))))`` with one shared two-layer perceptron without biases, then
    ``y = IDWT(w * DWT(x))``, plus ``x`` when ``residual``. Mean and maximum run over each sub-band of each channel, so
    the perceptron reads ``4 * channels`` numbers; it has ``max(1, 4 * channels // reduction)`` hidden units and answers
    four. At 256 channels and the default reduction that is 65,792 parameters.

    With ``scale`` there is one more parameter ``s``, zero at first: ``y = x + s * IDWT(w * DWT(x))``. A fresh module
    then returns its input, so that it can be put into a trained network without disturbing it. The paper has none.

    The layers of ``mlp`` hold the weights and are never called: hooks on them do not run.

    Args:
        channels: ``C`` of the feature maps.
        reduction: How much narrower than its input the hidden layer is.
        wavelet: Any discrete wavelet: a name that ``pywt.wavelist(kind="discrete")`` lists, a ``pywt.Wavelet`` or four
            filters. Haar is fused, others are composed of :func:`wdam.dwt2` and :func:`wdam.idwt2`.
        residual: Whether to add the input to the result, as the paper does inside a ResNet block.
        scale: Whether to learn a scale, zero at first. Needs ``residual``.
        backend: ``auto``, ``torch`` or ``cuda``; see :func:`wdam.backends.choose_route`. May be set later, too.

    Shape:
        ``(N, C, H, W)`` of float64, float32, float16 or bfloat16, any ``H, W >= 1`` and layout, to the same shape and
        dtype. For an odd size the last row or column is replicated, pooling includes it, and the result is cropped.

    Raises:
        DtypeError: If ``channels`` or ``reduction`` is not an integer.
        OptionError: If one of them is below 1, the backend or the wavelet does not exist, or a scale has no residual.

    Examples:
        >>> import torch
        >>> WDAM(8)(torch.zeros(2, 8, 15, 17)).shape
        torch.Size([2, 8, 15, 17])
    """

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 16,
        wavelet: WaveletLike = "haar",
        residual: bool = True,
        scale: bool = False,
        backend: Backend = "auto",
    ) -> None:
        super().__init__()
        _check_positive("channels", channels)
        _check_positive("reduction", reduction)
        check_backend(backend)
        if scale and not residual:
            raise OptionError(
                "expected residual=True with scale=True, got residual=False; "
                "a scale that starts at zero would erase the input: leave one of them out"
            )
        self.channels = channels
        self.residual = residual
        self.backend: Backend = backend
        self.wavelet = filter_bank(wavelet)
        hidden = max(1, SUBBANDS * channels // reduction)
        first = nn.Linear(SUBBANDS * channels, hidden, bias=False)
        second = nn.Linear(hidden, SUBBANDS, bias=False)
        self.mlp = nn.Sequential(first, nn.ReLU(), second)
        self.scale = nn.Parameter(torch.zeros(())) if scale else None

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` with its sub-bands reweighted, ``(N, C, H, W)`` to the same shape; see the class."""
        check_input(x, self.channels)
        return wdam(
            x,
            *self._weights(),
            scale=self.scale,
            residual=self.residual,
            wavelet=self.wavelet,
            backend=self.backend,
        )

    def subband_weights(self, x: Tensor) -> Tensor:
        """Return what the module would multiply the sub-bands of ``x`` by, to explain a decision.

        Args:
            x: ``(N, C, H, W)`` floating point.

        Returns:
            ``(N, 4)`` float32 (float64 for float64), each in ``[0, 1]``; axis 1 is ``LL, LH, HL, HH``.

        Raises:
            DtypeError: If ``x`` is not floating point.
            ShapeError: If ``x`` has another rank or number of channels, or no pixels.
        """
        check_input(x, self.channels)
        return subband_weights(x, *self._weights(), wavelet=self.wavelet)

    def extra_repr(self) -> str:
        """Return what ``print(model)`` shows besides the perceptron."""
        scale = "" if self.scale is None else ", scale=True"
        backend = "" if self.backend == "auto" else f", backend={self.backend!r}"
        return f"channels={self.channels}, wavelet={self.wavelet.name!r}, residual={self.residual}{scale}{backend}"

    def _weights(self) -> tuple[Tensor, Tensor]:
        """Return the perceptron's two matrices."""
        first, _, second = self.mlp
        return cast("Tensor", first.weight), cast("Tensor", second.weight)


def _check_positive(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise DtypeError(f"expected {name} as an integer, got {value!r}; pass a positive integer")
    if value < 1:
        raise OptionError(f"expected {name} >= 1, got {value}; pass a positive integer")
