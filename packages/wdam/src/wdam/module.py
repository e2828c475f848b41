"""``WDAM``: one weight per wavelet sub-band, learnt from the sub-bands' mean and maximum."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from wdam.haar import merge_subbands, split_subbands

__all__ = ["WDAM"]

SUBBANDS = 4  # LL, LH, HL, HH


class WDAM(nn.Module):
    """Reweight the four Haar sub-bands of a feature map (arXiv 2603.02964).

    ``w = sigmoid(MLP(mean(DWT(x))) + MLP(max(DWT(x))))`` with one shared two-layer perceptron without biases, then
    ``y = IDWT(w * DWT(x))``, plus ``x`` when ``residual``. Mean and maximum run over each sub-band of each channel, so
    the perceptron reads ``4 * channels`` numbers; it has ``max(1, 4 * channels // reduction)`` hidden units and answers
    four. At 256 channels and the default reduction that is 65,792 parameters.

    Args:
        channels: ``C`` of the feature maps.
        reduction: How much narrower than its input the hidden layer is.
        wavelet: Only ``"haar"`` so far.
        residual: Whether to add the input to the result, as the paper does inside a ResNet block.

    Shape:
        ``(N, C, H, W)`` floating point, any ``H, W >= 1``, to the same shape. For an odd size the last row or column is
        replicated, pooling includes it, and the result is cropped.

    Raises:
        ValueError: If ``channels`` or ``reduction`` is below 1, or the wavelet is not known.

    Examples:
        >>> import torch
        >>> WDAM(8)(torch.zeros(2, 8, 15, 17)).shape
        torch.Size([2, 8, 15, 17])
    """

    def __init__(
        self, channels: int, *, reduction: int = 16, wavelet: Literal["haar"] = "haar", residual: bool = True
    ) -> None:
        super().__init__()
        for name, value in (("channels", channels), ("reduction", reduction)):
            if value < 1:
                raise ValueError(f"expected {name} >= 1, got {value}; pass a positive integer")
        if wavelet != "haar":
            raise ValueError(f"expected wavelet 'haar', got {wavelet!r}; 'haar' is the only one accepted so far")
        self.channels = channels
        self.residual = residual
        hidden = max(1, SUBBANDS * channels // reduction)
        self.mlp = nn.Sequential(
            nn.Linear(SUBBANDS * channels, hidden, bias=False),
            nn.ReLU(),
            nn.Linear(hidden, SUBBANDS, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` with its sub-bands reweighted, ``(N, C, H, W)`` to the same shape; see the class."""
        self._check(x)
        subbands = split_subbands(x)
        weights = self._weights(subbands)
        weighted = merge_subbands(subbands * weights[:, :, None, None, None])
        cropped = weighted[..., : x.shape[-2], : x.shape[-1]]
        return x + cropped if self.residual else cropped

    def subband_weights(self, x: Tensor) -> Tensor:
        """Return what the module would multiply the sub-bands of ``x`` by, to explain a decision.

        Args:
            x: ``(N, C, H, W)`` floating point.

        Returns:
            ``(N, 4)``, each in ``(0, 1)``; axis 1 is ``LL, LH, HL, HH``.

        Raises:
            TypeError: If ``x`` is not floating point.
            ValueError: If ``x`` has another rank or number of channels, or no pixels.
        """
        self._check(x)
        return self._weights(split_subbands(x))

    def extra_repr(self) -> str:
        """Return what ``print(model)`` shows besides the perceptron."""
        return f"channels={self.channels}, wavelet='haar', residual={self.residual}"

    def _weights(self, subbands: Tensor) -> Tensor:
        """Return ``(N, 4)`` weights in ``(0, 1)`` for sub-bands ``(N, 4, C, h, w)``."""
        pooled = subbands.flatten(1, 2)  # (N, 4C, h, w), all channels of LL first
        logits: Tensor = self.mlp(pooled.mean(dim=(-2, -1))) + self.mlp(pooled.amax(dim=(-2, -1)))
        return torch.sigmoid(logits)

    def _check(self, x: Tensor) -> None:
        if x.ndim != 4 or x.shape[1] != self.channels or 0 in x.shape[2:]:
            raise ValueError(
                f"expected x of shape (N, {self.channels}, H, W) with H, W >= 1, got {tuple(x.shape)}; "
                f"create the module with the channels of the layer it follows"
            )
        if not x.is_floating_point():
            raise TypeError(f"expected x of a floating-point dtype, got {x.dtype}; convert it with x.float()")
