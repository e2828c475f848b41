"""What the benchmarks compare with: published methods re-derived, other people's packages where installed, and truth.

Nothing here is copied. `official_pro` follows the published description of MVTec's evaluation (Bergmann et al. 2021,
"The MVTec Anomaly Detection Dataset", section 6, and what is said about its scripts): label the regions, sort *every*
pixel by its score, accumulate false positives and overlaps, keep one point per distinct score, integrate by trapezoids
up to the limit. `brute_force` uses the definitions alone, with integers and fractions, and is slow.

scikit-learn, adeval and anomalib are optional: `installed_anchors` says which are there, and why another is not.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = [
    "Anchor",
    "Maps",
    "Masks",
    "Missing",
    "brute_force",
    "flood_fill",
    "installed_anchors",
    "official_pro",
    "sklearn_measures",
    "widened",
]

Maps = Sequence[NDArray[Any]]
Masks = Sequence[NDArray[np.bool_]]


@dataclass(frozen=True, slots=True)
class Anchor:
    """One implementation to compare with.

    Attributes:
        name: For the table.
        version: Of the package, or how it came to be here.
        measures: The names of what `compute` returns.
        compute: Takes maps and masks of one shape; returns measure -> value.
    """

    name: str
    version: str
    measures: tuple[str, ...]
    compute: Callable[[NDArray[Any], NDArray[np.bool_]], dict[str, float]]


@dataclass(frozen=True, slots=True)
class Missing:
    """An anchor that cannot run here, and why."""

    name: str
    reason: str


def widened(scores: NDArray[Any]) -> NDArray[Any]:
    """Return float16 scores as float32, with one kind of zero only: numpy 2.4 sorts float16 with both kinds wrongly."""
    return np.add(scores, 0.0, dtype=np.float32 if scores.dtype == np.float16 else scores.dtype)


# ---- the official PRO, from its description


def official_pro(maps: Maps, masks: Masks, limit: float) -> float:
    """Return the PRO by sorting every pixel, as MVTec's evaluation is described.

    Args:
        maps: Score maps, each ``(H, W)`` float; sizes may differ.
        masks: Of the same shapes, bool.
        limit: Largest false-positive rate of the integral, in ``(0, 1]``.

    Returns:
        The area up to the limit, divided by the limit.
    """
    scores = np.concatenate([widened(one).ravel() for one in maps])
    false_positives = np.concatenate([~mask.ravel() for mask in masks]).astype(np.int64)
    overlaps = np.zeros(scores.size)
    start, regions = 0, 0
    for mask in masks:
        labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
        sizes = np.bincount(labels.ravel(), minlength=count + 1)
        inside = labels.ravel() > 0
        overlaps[start : start + mask.size][inside] = 1.0 / sizes[labels.ravel()[inside]]
        start += mask.size
        regions += count
    order = np.argsort(scores)[::-1]
    rates = np.cumsum(false_positives[order]) / false_positives.sum()
    recalls = np.cumsum(overlaps[order]) / regions
    ranked = scores[order]
    last_of_its_score = np.append(ranked[1:] != ranked[:-1], True)
    x = np.concatenate([[0.0], rates[last_of_its_score], [1.0]])
    y = np.concatenate([[0.0], np.minimum(recalls[last_of_its_score], 1.0), [1.0]])
    return area_up_to(x, y, limit) / limit


def area_up_to(x: NDArray[np.float64], y: NDArray[np.float64], limit: float) -> float:
    """Return the trapezoids' area left of ``limit``, the curve interpolated linearly there."""
    inside = x <= limit
    last = int(np.count_nonzero(inside)) - 1
    area = float(np.trapezoid(y[inside], x[inside]))
    if x[last] < limit:
        step = (limit - x[last]) / (x[last + 1] - x[last])
        at_limit = y[last] + step * (y[last + 1] - y[last])
        area += (limit - x[last]) * (y[last] + at_limit) / 2
    return area


# ---- the truth, by definition


def flood_fill(mask: NDArray[np.bool_]) -> list[list[tuple[int, int]]]:
    """Return the pixels of each 8-connected region, found by walking from neighbour to neighbour."""
    waiting = {(int(row), int(column)) for row, column in zip(*np.nonzero(mask), strict=True)}
    regions = []
    while waiting:
        region = [waiting.pop()]
        for row, column in region:  # grows while it is walked
            for neighbour in ((row + down, column + right) for down in (-1, 0, 1) for right in (-1, 0, 1)):
                if neighbour in waiting:
                    waiting.remove(neighbour)
                    region.append(neighbour)
        regions.append(region)
    return regions


def brute_force(maps: Maps, masks: Masks, limits: Sequence[float] = (0.3,)) -> dict[str, float]:
    """Return every pixel measure from its definition: count at each threshold, in integers; for small cases only.

    Args:
        maps: Score maps, each ``(H, W)``; sizes may differ.
        masks: Of the same shapes, bool; at least one defect and one normal pixel in all.
        limits: Of the PRO, exact as the binary fractions they are.

    Returns:
        ``pixel_auroc``, ``average_precision``, ``f1_max``, ``threshold`` and ``aupro@LIMIT`` for each limit; every
        value is the exact one rounded once (average precision: a rounded sum of rounded terms, at most 2 ulp off).
    """
    scores = np.concatenate([one.ravel() for one in maps]).astype(np.float64)
    defect = np.concatenate([mask.ravel() for mask in masks])
    positive, negative = scores[defect], scores[~defect]
    regions = [
        np.array([one[place] for place in region], dtype=np.float64)
        for one, mask in zip(maps, masks, strict=True)
        for region in flood_fill(mask)
    ]
    # AUROC: every pair of a defect pixel and a normal one; a tie is half a win.
    wins = sum(int(np.count_nonzero(negative < score)) for score in positive)
    ties = sum(int(np.count_nonzero(negative == score)) for score in positive)
    found = {"pixel_auroc": float(Fraction(2 * wins + ties, 2 * positive.size * negative.size))}

    thresholds = np.unique(scores)[::-1]
    true = [int(np.count_nonzero(positive >= one)) for one in thresholds]
    false = [int(np.count_nonzero(negative >= one)) for one in thresholds]
    steps = zip(true, [0, *true], false, strict=False)
    found["average_precision"] = math.fsum(
        float(Fraction((hit - before) * hit, positive.size * (hit + wrong))) for hit, before, wrong in steps
    )
    f1 = [Fraction(2 * hit, hit + wrong + positive.size) for hit, wrong in zip(true, false, strict=True)]
    best = max(range(len(f1)), key=f1.__getitem__)
    found |= {"f1_max": float(f1[best]), "threshold": float(thresholds[best])}

    common = math.lcm(*(region.size for region in regions))
    overlap = [
        sum(int(np.count_nonzero(region >= one)) * (common // region.size) for region in regions) for one in thresholds
    ]
    for limit in limits:
        area = _exact_area([0, *false], [0, *overlap], Fraction(limit) * negative.size)
        found[f"aupro@{limit:g}"] = float(area / (Fraction(limit) * negative.size * common * len(regions)))
    return found


def _exact_area(x: list[int], y: list[int], limit: Fraction) -> Fraction:
    """Return the area of the trapezoids between the points, up to ``limit``."""
    doubled, rest = 0, Fraction(0)
    for left, right, low, high in zip(x, x[1:], y, y[1:], strict=False):
        if right <= limit:
            doubled += (right - left) * (low + high)
        elif left < limit:
            width = limit - left
            rest += width * (2 * low + width * (high - low) / (right - left)) / 2
    return Fraction(doubled, 2) + rest


# ---- scikit-learn


def sklearn_measures(maps: Maps, masks: Masks) -> dict[str, float]:
    """Return pixel AUROC, average precision and the best F1 by scikit-learn, which refuses infinite scores."""
    from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

    scores = np.concatenate([one.ravel() for one in maps])
    if not np.isfinite(scores).all():
        # Ranks: none of the three can tell a score from a strictly increasing function of it.
        scores = np.unique(scores.astype(np.float64), return_inverse=True)[1]
    scores = widened(scores) if scores.dtype.kind == "f" else scores
    defect = np.concatenate([mask.ravel() for mask in masks])
    precision, recall, _ = precision_recall_curve(defect, scores)
    total = precision + recall
    best = float(np.max(2 * precision * recall / np.where(total > 0, total, 1)))
    return {
        "pixel_auroc": float(roc_auc_score(defect, scores)),
        "average_precision": float(average_precision_score(defect, scores)),
        "f1_max": best,
    }


# ---- what is installed


def installed_anchors(limit: float = 0.3) -> tuple[list[Anchor], list[Missing]]:
    """Return the anchors that run here and those that do not; the first is always the official PRO."""
    present = [
        Anchor(
            f"MVTec's PRO@{limit:g}, re-derived",
            f"numpy {np.__version__}",
            ("aupro",),
            lambda maps, masks: {"aupro": official_pro(list(maps), list(masks), limit)},
        )
    ]
    missing = []
    for name, package, build in (
        ("scikit-learn AUROC", "scikit-learn", _sklearn_auroc),
        ("scikit-learn AP", "scikit-learn", _sklearn_ap),
        ("anomalib AUPRO", "anomalib", _anomalib),
        ("adeval (1,000 steps)", "adeval", _adeval),
    ):
        try:
            measures, compute = build(limit)
            present.append(Anchor(name, f"{package} {version(package)}", measures, compute))
        except ModuleNotFoundError as error:
            missing.append(Missing(name, f"not installed (no module {error.name})"))
        except PackageNotFoundError:
            missing.append(Missing(name, "not installed"))
        except (ImportError, RuntimeError, AttributeError) as error:
            missing.append(Missing(name, f"does not import here: {type(error).__name__}: {error}"[:200]))
    return present, missing


Built = tuple[tuple[str, ...], Callable[[NDArray[Any], NDArray[np.bool_]], dict[str, float]]]


def _sklearn_auroc(_: float) -> Built:
    from sklearn.metrics import roc_auc_score

    return ("pixel_auroc",), lambda maps, masks: {"pixel_auroc": float(roc_auc_score(masks.ravel(), maps.ravel()))}


def _sklearn_ap(_: float) -> Built:
    from sklearn.metrics import average_precision_score

    name = "average_precision"
    return (name,), lambda maps, masks: {name: float(average_precision_score(masks.ravel(), maps.ravel()))}


def _anomalib(limit: float) -> Built:
    keep_alive = _declare_torchvision_operators()
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # foreign libraries
        from anomalib.metrics.aupro import _AUPRO

    def compute(maps: NDArray[Any], masks: NDArray[np.bool_], _: object = keep_alive) -> dict[str, float]:
        metric = _AUPRO(fpr_limit=limit)
        metric.update(torch.from_numpy(maps), torch.from_numpy(masks).to(torch.int32))
        return {"aupro": float(metric.compute())}

    return ("aupro",), compute


def _declare_torchvision_operators() -> object | None:
    """Let torchvision import beside a CPU torch that it was not built for; nothing here calls its operators."""
    import torch

    try:
        import torchvision  # noqa: F401
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    else:
        return None
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library


def _adeval(limit: float) -> Built:
    if limit != 0.3:
        raise ImportError("its limit is fixed at 0.3")
    import adeval

    _restore_trapz(np)

    def compute(maps: NDArray[Any], masks: NDArray[np.bool_]) -> dict[str, float]:
        low, high = float(maps.min()), float(maps.max())
        accumulator = adeval.EvalAccumulator(low, high, low, high)
        for one, mask in zip(maps, masks, strict=True):
            accumulator.add_anomap(one, mask.astype(np.uint8))
            accumulator.add_image(float(one.max()), int(mask.any()))
        accumulator.add_sample([0.0, 1.0], [0, 1])  # its summary wants a third kind of score
        found = accumulator.summary()
        return {
            "pixel_auroc": found["p_auroc"],
            "average_precision": found["p_aupr"],
            "aupro": found["p_aupro"],
            "image_auroc": found["i_auroc"],
        }

    return ("pixel_auroc", "average_precision", "aupro", "image_auroc"), compute


def _restore_trapz(module: ModuleType) -> None:
    """Give numpy 2.4 its old name ``trapz`` back, without which adeval 1.1 stops; the arithmetic is the same."""
    if not hasattr(module, "trapz"):
        module.trapz = np.trapezoid  # type: ignore[attr-defined]
