"""Draws ``pro.png``: ``python docs/figures/make_pro_figure.py``; needs ``fmas-evaluate[cli]``, for matplotlib.

Every number comes from ``fmas_evaluate``: the curve, two areas, the overlaps at three thresholds. The score map is
smooth noise of a fixed seed with two raised places, one well found and one badly; the third panel is the formula of one
defect pixel's contribution, evaluated.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")  # before pyplot: a figure for a file needs no screen

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from scipy import ndimage

from fmas_evaluate import aupro, per_region_overlap, pro_curve

TARGET = Path(__file__).with_name("pro.png")
LIMIT, STRICT = 0.3, 0.05
COLOURS = ("#7a1f1f", "#c8553d", "#f2a65a")
INK, AREA, STRICT_AREA = "#1f3a5f", "#c9d6e6", "#7f9cc0"


def scene() -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return a score map and its mask, ``(96, 128)``."""
    noise = ndimage.gaussian_filter(np.random.default_rng(4).standard_normal((96, 128)), 4)
    scores = noise / noise.std()
    down, right = np.mgrid[:96, :128]
    stain = ((down - 60) / 14) ** 2 + ((right - 38) / 18) ** 2 < 1
    scratch = (abs(down - 28 - 0.25 * (right - 90)) < 2.5) & (right > 70) & (right < 115)
    raised = 2.6 * np.exp(-(((down - 58) / 14) ** 2) - ((right - 40) / 16) ** 2) + 1.2 * ndimage.gaussian_filter(
        scratch.astype(np.float64), 2
    )
    return scores + raised, stain | scratch


def draw_map(axes: Axes, scores: NDArray[np.float64], mask: NDArray[np.bool_], thresholds: list[float]) -> None:
    """Draw the scores, what each threshold calls a defect, and the marked regions."""
    axes.imshow(scores, cmap="Greys", alpha=0.6)
    for threshold, colour in zip(thresholds, COLOURS, strict=True):
        axes.contour(scores, [threshold], colors=colour, linewidths=1.2)
    axes.contour(mask, [0.5], colors=INK, linewidths=1.8, linestyles="dashed")
    axes.set_title("scores, three thresholds, two regions (dashed)")
    axes.set_axis_off()


def draw_curve(axes: Axes, scores: NDArray[np.float64], mask: NDArray[np.bool_], thresholds: list[float]) -> None:
    """Draw the PRO curve with both limits, and the thresholds' points on it."""
    whole = pro_curve(scores, mask)
    for limit, colour in ((LIMIT, AREA), (STRICT, STRICT_AREA)):
        part = pro_curve(scores, mask, max_fpr=limit)
        axes.fill_between(part.fpr, part.pro, color=colour, linewidth=0)
    axes.plot(whole.fpr, whole.pro, color=INK)
    for threshold, colour in zip(thresholds, COLOURS, strict=True):
        overlap = float(np.mean(per_region_overlap(scores, mask, threshold=threshold)))
        axes.plot(np.mean(scores[~mask] >= threshold), overlap, "o", color=colour)
    values = "\n".join(f"PRO@{limit:g} = {aupro(scores, mask, max_fpr=limit):.3f}" for limit in (LIMIT, STRICT))
    axes.text(0.97, 0.05, values, ha="right", transform=axes.transAxes)
    axes.set(xlim=(0, 0.6), ylim=(0, 1.02), xlabel="false-positive rate", ylabel="mean overlap of the regions")
    axes.set_title("PRO curve")


def draw_contribution(axes: Axes) -> None:
    """Draw the area under one defect pixel's step, without ties and with."""
    above = np.linspace(0, 0.45, 400)
    for tied, style in ((0.0, "solid"), (0.1, "dashed")):
        reached = above + tied
        ramp = np.maximum(LIMIT - above, 0) ** 2 / (2 * max(tied, 1e-9))
        area = np.where(reached <= LIMIT, LIMIT - (above + reached) / 2, ramp)
        name = "no ties: b = a" if tied == 0 else f"ties: b = a + {tied:g}"
        axes.plot(above, np.where(above < LIMIT, area, 0) / LIMIT, color=INK, linestyle=style, label=name)
    axes.axvline(LIMIT, color=COLOURS[1], linewidth=1, label=f"limit L = {LIMIT:g}")
    axes.set(xlim=(0, 0.45), ylim=(0, 1.02), xlabel="a: share of normal pixels above it", ylabel="$A_L(a, b)\\,/\\,L$")
    axes.set_title("what one defect pixel contributes")
    axes.legend(frameon=False)


def main() -> None:
    """Write the figure."""
    scores, mask = scene()
    thresholds = [float(np.quantile(scores[~mask], 1 - rate)) for rate in (0.02, 0.1, 0.25)]
    plt.rcParams.update({"font.size": 9, "axes.titlesize": 10, "axes.spines.top": False, "axes.spines.right": False})
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
    draw_map(left, scores, mask, thresholds)
    draw_curve(middle, scores, mask, thresholds)
    draw_contribution(right)
    figure.savefig(TARGET, dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    main()
