"""Draws ``wdam.png`` with the package's own transforms: ``python docs/figures/make_wdam_figure.py``.

A photograph that scikit-image carries (a coin of ``coins``, no known restrictions) is split into its four sub-bands;
below each stands what the residual module returns when only this sub-band has the weight 1 and the others 0. The first
pair is the photograph and the result of a perceptron of zeros, which weighs every sub-band 1/2. Needs wdam, Pillow and
scikit-image; the same code gives the same picture.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from skimage import data
from torch import Tensor

from wdam.transforms import dwt2, idwt2

TARGET = Path(__file__).with_name("wdam.png")
SIDE = 236
GAP = 12
HEADER = 26
INK = (30, 30, 30)
NAMES = ("LL", "LH", "HL", "HH")
DETAIL_GAIN = 3.0  # details are faint; drawn this much stronger around mid grey, in the sub-bands only


def main() -> None:
    """Write the figure."""
    coin = np.asarray(data.coins())[25:95, 178:248] / 255.0  # type: ignore[no-untyped-call]
    x = torch.from_numpy(coin)
    approximation, details = dwt2(x, "haar")
    upper = [("x", x), (NAMES[0], approximation / 2)]
    upper += [(name, 0.5 + DETAIL_GAIN * band / 2) for name, band in zip(NAMES[1:], details, strict=True)]
    weights = [(0.5, 0.5, 0.5, 0.5), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)]
    lower = [(f"y, w = {label(weight)}", reweighted(x, weight)) for weight in weights]

    sheet = Image.new("RGB", (5 * SIDE + 6 * GAP, 2 * (SIDE + HEADER) + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(15)
    for row, panels in enumerate((upper, lower)):
        top = row * (SIDE + HEADER)
        for column, (title, values) in enumerate(panels):
            left = GAP + column * (SIDE + GAP)
            draw.text((left, top + 5), title, fill=INK, font=font)
            sheet.paste(Image.fromarray(grey(values)), (left, top + HEADER))
    sheet.save(TARGET, optimize=True)


def reweighted(x: Tensor, weights: tuple[float, ...]) -> Tensor:
    """Return ``x + IDWT(w * DWT(x))`` for one map ``(H, W)`` and given weights, in the order LL, LH, HL, HH."""
    approximation, details = dwt2(x, "haar")
    scaled = [weight * band for weight, band in zip(weights, (approximation, *details), strict=True)]
    return x + idwt2((scaled[0], tuple(scaled[1:])), "haar", shape=(x.shape[0], x.shape[1]))


def label(weights: tuple[float, ...]) -> str:
    """Return the weights as text."""
    return f"({', '.join('.5' if weight == 0.5 else str(int(weight)) for weight in weights)})"


def grey(values: Tensor) -> NDArray[np.uint8]:
    """Return ``values`` as a square grey picture; what the module amplifies to above 1 is scaled to white."""
    numbers = values.numpy()
    bright = max(1.0, float(numbers.max()))
    small = Image.fromarray(np.clip(numbers / bright * 255, 0, 255).round().astype(np.uint8))
    return np.asarray(small.resize((SIDE, SIDE), Image.Resampling.NEAREST))


if __name__ == "__main__":
    main()
