"""Is it a part on a background, or a texture? What speaks for the one and for the other."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from fmas.builtin.segmenter.background import Background, FloatArray
from fmas.types import BoolMask

__all__ = ["Evidence", "belief", "turned_round", "weigh"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for a part on a background; all but the last two are larger for a part than for a texture.

    Attributes:
        separation: Median distance of the part over the background's own.
        jump: Share of that distance that is gained right at the outline, about 1 for a part and small for a shade.
        sharpness: Steps along the outline over steps in the background elsewhere.
        inside: Share of the inside of the picture that the part covers.
        share: Of the picture's border, that the part covers.
        crossings: How often the part meets the picture's border; a texture's light and dark meet it many times.
        roughness: Markings and relief of the part over those of the background, without noise and slow changes.
    """

    separation: float
    jump: float
    sharpness: float
    inside: float
    share: float
    crossings: int
    roughness: float


def weigh(mask: BoolMask, shadow: BoolMask, background: Background) -> Evidence:
    """Measure what speaks for ``mask`` being a part; ``mask`` is neither empty nor everything."""
    # Not the half-shade around a shadow either, as long as that leaves any ground.
    lit = ~mask & (cv2.dilate(shadow.astype(np.uint8), np.ones((15, 15), np.uint8)) == 0)
    ground = lit if lit.mean() > 0.05 else ~(mask | shadow)
    top, right, bottom, left = mask[0], mask[1:, -1], mask[-1, -2::-1], mask[-2:0:-1, 0]
    round_trip = np.concatenate([top, right, bottom, left])
    distance = background.distance
    solid = mask.astype(np.uint8)
    step = np.asarray(cv2.morphologyEx(distance, cv2.MORPH_GRADIENT, np.ones((5, 5), np.uint8)), np.float32)
    rim = mask & (cv2.erode(solid, np.ones((3, 3), np.uint8), borderValue=1) == 0)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9))
    inner = cv2.erode(solid, kernel, borderValue=1) > 0
    outer = cv2.dilate(solid | shadow, kernel) == 0
    border = np.ones(mask.shape, dtype=bool)
    band = max(2, round(0.025 * min(mask.shape)))
    border[band:-band, band:-band] = False
    few = np.s_[::2, ::2]  # enough for medians and means
    within, without = distance[few][(mask & ~inner)[few]], distance[few][(ground & ~outer)[few]]
    here, there = distance[few][mask[few]], distance[few][ground[few]]
    elsewhere = step[few][outer[few]] if outer[few].any() else step[few][ground[few]]
    typical = _middle(here)
    return Evidence(
        separation=typical / (_middle(there, 90) + 1.0),
        jump=(_middle(within) - _middle(without)) / max(typical, 1.0),
        sharpness=_middle(step[rim], 40) / (_middle(elsewhere, 75) + 1.0),
        inside=float(mask[~border].mean()),
        share=float(mask[border].mean()),
        crossings=int(np.count_nonzero(round_trip & ~np.roll(round_trip, 1))),
        roughness=_unevenness(background.residual[..., 0], inner) / _unevenness(background.residual[..., 0], outer),
    )


def turned_round(evidence: Evidence) -> Evidence:
    """Return the evidence for the ground being the part."""
    return replace(evidence, inside=1 - evidence.inside, share=1 - evidence.share, roughness=1 / evidence.roughness)


def belief(evidence: Evidence) -> float:
    """Return how surely the evidence shows a part, in [0, 1]; half way where rendered parts and textures part."""
    clear = np.interp(evidence.separation, (1.2, 2.0, 3.0, 5.0), (0.0, 0.55, 0.9, 1.0))
    sharp = np.interp(evidence.jump, (0.2, 0.45), (0.0, 1.0)) * np.interp(evidence.sharpness, (0.8, 2.0), (0.0, 1.0))
    few = np.interp(evidence.crossings, (3, 4, 5, 7), (1.0, 0.5, 0.25, 0.0))
    inwards = (evidence.inside - evidence.share) / (evidence.inside + evidence.share)
    least = -0.25 if evidence.crossings <= 1 else -0.1
    inside = np.interp(inwards, (least - 0.15, least, least + 0.1), (0.0, 0.6, 1.0))
    return float(clear * sharp * few * inside)


def _unevenness(lightness: FloatArray, where: BoolMask) -> float:
    """Return the spread of ``lightness`` around the smooth field that fits it best ``where`` it counts."""
    few = cv2.resize(lightness, (48, 48), interpolation=cv2.INTER_AREA)
    chosen = cv2.resize(where.astype(np.uint8), (48, 48), interpolation=cv2.INTER_NEAREST).ravel() > 0
    if np.count_nonzero(chosen) < 12:
        return 1.0
    y, x = np.mgrid[-1:1:48j, -1:1:48j].astype(np.float32).reshape(2, -1)[:, chosen]
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)
    values = few.ravel()[chosen]
    normal = terms.T @ terms + np.float32(0.01) * np.eye(6, dtype=np.float32)
    left = values - terms @ np.linalg.solve(normal, terms.T @ values)
    return float(left.std()) + 0.3


def _middle(values: FloatArray, percent: float = 50) -> float:
    """Return a percentile of ``values``, 0 of none."""
    return float(np.percentile(values, percent)) if values.size else 0.0
