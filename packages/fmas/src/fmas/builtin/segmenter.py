"""The built-in segmenter: a part on an even background, or a texture that fills the picture; no model, no training.

How it works, on a copy of at most ``working_size`` pixels a side, in CIE Lab:

1. The border is cut into segments; the plane in (x, y) that most of their median colours agree with is the background
   under uneven light. It is found by trying all triples, so that a part may cover almost half of the border.
2. The distance of every pixel from that background, twice refined over the pixels that belong to it, is thresholded by
   Otsu's method with hysteresis; specks go, small holes are filled, large parts stay.
3. The result is a part only when it is compact, stands out clearly and covers the border less than the inside; else the
   picture is a texture. A texture with a flat black surround along its border (a part that nearly fills the picture)
   is the picture without that surround.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from fmas.errors import ImageError
from fmas.options import parse_options
from fmas.specs import Options
from fmas.types import BoolMask, Fingerprint, Foreground, RGBImage

__all__ = ["BuiltinSegmenter", "SegmenterOptions", "create"]

_VERSION = "1"  # raise it whenever the same picture would get another mask
_SMALLEST_SIDE = 12  # below this the border is most of the picture: nothing to tell apart
_PER_SIDE = 6  # border segments per side: 2024 triples, about 2 ms

FloatArray = NDArray[np.float32]


class SegmenterOptions(BaseModel):
    """Options of the built-in segmenter.

    Attributes:
        mode: ``auto`` decides; ``object`` always looks for a part; ``texture`` takes the whole picture.
        min_area: Parts smaller than this fraction of the picture are dropped.
        working_size: Longer side, in pixels, of the copy that is analysed; the mask has the picture's own size.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Literal["auto", "object", "texture"] = "auto"
    min_area: float = Field(default=0.002, gt=0.0, lt=1.0)
    working_size: int = Field(default=448, ge=64, le=2048)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for a part on a background; every number is defined so that larger means "a part".

    Attributes:
        separation: Median distance of the part over the background's own spread (Lab units over Lab units).
        jump: How much of that distance is gained right at the outline, about 1 for a part and small for a shade.
        inwardness: Share of the inside the part covers minus its share of the border, in [-1, 1].
        crossings: How often the part meets the picture's border; a texture's light and dark meet it many times.
    """

    separation: float
    jump: float
    inwardness: float
    crossings: int


def create(options: Options) -> BuiltinSegmenter:
    """Return the built-in segmenter; ``options`` are those of :class:`SegmenterOptions`."""
    return BuiltinSegmenter(parse_options(SegmenterOptions, options, section="segmenter"))


class BuiltinSegmenter:
    """Tells a part from its background; see the module's first lines for how."""

    def __init__(self, options: SegmenterOptions | None = None) -> None:
        self._options = options or SegmenterOptions()
        self._fit_triples, self._predict = _triple_solvers()

    def fingerprint(self) -> Fingerprint:
        """Return name, version and options."""
        return Fingerprint(name="builtin", version=_VERSION, config=self._options.model_dump(mode="json"))

    def segment(self, image: RGBImage) -> Foreground:
        """Return the part's mask, or the whole picture when it is a texture.

        Args:
            image: ``(H, W, 3)`` uint8 RGB, any size from 1x1.

        Returns:
            ``mask`` ``(H, W)`` bool, never empty; ``confidence`` in ``[0, 1]``, near 0 when nothing speaks either way.

        Raises:
            ImageError: If ``image`` has another shape or dtype.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
            raise ImageError(
                f"expected an image (H, W, 3) of uint8, got {image.shape} of {image.dtype}; convert it to 8-bit RGB"
            )
        height, width = image.shape[:2]
        if self._options.mode == "texture":
            return _whole(height, width, confidence=1.0)
        scale = min(1.0, self._options.working_size / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        if min(size) < _SMALLEST_SIDE:
            return _whole(height, width, confidence=0.0)
        small = image if scale == 1.0 else cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        if not np.ptp(small):
            return _whole(height, width, confidence=0.1)
        return self._decide(np.ascontiguousarray(small, dtype=np.uint8), height, width)

    def _decide(self, small: RGBImage, height: int, width: int) -> Foreground:
        lab = _lab(small)
        mask, evidence = self._part(lab)
        belief = _belief(evidence) if mask.any() else 0.0
        if mask.any() and (belief >= 0.5 or self._options.mode == "object"):
            return Foreground(_to_size(mask, height, width), "object", round(belief, 4))
        surround = _black_surround(lab)
        if surround.any():
            return Foreground(_to_size(~surround, height, width), "object", 0.6)
        if self._options.mode == "object":
            return Foreground(np.ones((height, width), dtype=bool), "object", 0.0)
        # Finding no part proves less than finding one: never quite sure.
        return _whole(height, width, confidence=round(0.9 * (1.0 - belief), 4))

    def _part(self, lab: FloatArray) -> tuple[BoolMask, Evidence]:
        """Return the best guess at a part in ``lab``, ``(h, w, 3)``, and what speaks for it."""
        distance, spread = self._distance_from_background(lab)
        candidates = _threshold(distance, spread)
        mask = _clean(_tighten(candidates, distance), min_area=self._options.min_area)
        if not mask.any() or mask.all():
            return mask, Evidence(separation=0.0, jump=0.0, inwardness=0.0, crossings=0)
        return mask, _weigh(mask, distance)

    def _distance_from_background(self, lab: FloatArray) -> tuple[FloatArray, float]:
        """Return each pixel's distance from the background, ``(h, w)`` Lab units, and the background's own spread."""
        band = max(2, round(0.025 * min(lab.shape[:2])))
        colours, spreads = _border_segments(lab, band)
        tolerance = 3.0 + 1.5 * float(np.median(spreads))
        planes = np.einsum("tij,tjc->tic", self._fit_triples[1], colours[self._fit_triples[0]])
        misfit = np.linalg.norm(self._predict @ planes - colours, axis=2)
        slope = np.abs(planes[:, 1:, 0]).sum(axis=1)
        # Of two planes that explain as much, the flatter light is the likelier one.
        support = np.exp(-((misfit / tolerance) ** 2)).sum(axis=1) - 0.06 * slope
        best = int(np.argmax(support))
        terms = _terms(*lab.shape[:2])
        plane = (terms[:, :3] @ planes[best].astype(np.float32)).reshape(lab.shape)
        distance = _length(lab - plane)
        for _ in range(2):
            belongs = distance < 2 * tolerance
            if belongs.sum() < 50:
                break
            distance = _length(lab - _refit(lab, terms, belongs))
        near = distance[distance < 2 * tolerance]
        spread = float(np.median(near)) if near.size else tolerance
        return distance, spread


def _whole(height: int, width: int, *, confidence: float) -> Foreground:
    return Foreground(np.ones((height, width), dtype=bool), "texture", confidence)


def _lab(small: RGBImage) -> FloatArray:
    """Return ``small`` in Lab (L in 0..100), without its sensor noise."""
    calm = cv2.GaussianBlur(cv2.medianBlur(small, 5), (0, 0), 1.0)
    return np.asarray(cv2.cvtColor(calm.astype(np.float32) / 255, cv2.COLOR_RGB2LAB))


def _length(vectors: FloatArray) -> FloatArray:
    """Return the Euclidean length over the last axis of ``(h, w, 3)``."""
    return np.asarray(np.sqrt(np.einsum("ijk,ijk->ij", vectors, vectors)), dtype=np.float32)


def _segment_centres() -> NDArray[np.float64]:
    """Return the segments' centres (x, y) in [-1, 1], ``(4 * _PER_SIDE, 2)``: top, bottom, left, right."""
    along = (np.arange(_PER_SIDE) + 0.5) / _PER_SIDE * 2 - 1
    one = np.ones(_PER_SIDE)
    sides = ((along, -one), (along, one), (-one, along), (one, along))
    return np.concatenate([np.stack(side, axis=1) for side in sides])


def _triple_solvers() -> tuple[tuple[NDArray[np.int64], NDArray[np.float64]], NDArray[np.float64]]:
    """Return all usable triples of segments, the inverse that fits a plane through each, and all segments' terms."""
    centres = _segment_centres()
    terms = np.concatenate([np.ones((len(centres), 1)), centres], axis=1)
    triples = np.array(list(combinations(range(len(centres)), 3)))
    area = np.abs(np.linalg.det(terms[triples]))
    triples = triples[area > 0.8]  # a narrow triangle would extrapolate wildly
    return (triples, np.linalg.inv(terms[triples])), terms


def _border_segments(lab: FloatArray, band: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the median colour ``(24, 3)`` and the spread ``(24,)`` of each border segment, both in Lab units."""
    sides = (lab[:band], lab[-band:], lab[:, :band].swapaxes(0, 1), lab[:, -band:].swapaxes(0, 1))
    pieces = [piece.reshape(-1, 3) for side in sides for piece in np.array_split(side, _PER_SIDE, axis=1)]
    pieces = [piece[:: max(1, len(piece) // 300)] for piece in pieces]  # plenty for a median
    colours = np.array([np.median(piece, axis=0) for piece in pieces])
    spreads = np.array(
        [np.median(np.linalg.norm(piece - colour, axis=1)) for piece, colour in zip(pieces, colours, strict=True)]
    )
    return colours, spreads


def _terms(height: int, width: int) -> FloatArray:
    """Return 1, x, y, x^2, xy, y^2 for every pixel, ``(h * w, 6)``, x and y in [-1, 1]."""
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    terms = np.ones((height, width, 6), dtype=np.float32)
    for index, term in enumerate((x, y, x * x, x * y, y * y), start=1):
        terms[..., index] = term
    return terms.reshape(-1, 6)


def _refit(lab: FloatArray, terms: FloatArray, belongs: BoolMask) -> FloatArray:
    """Return the smooth background, ``(h, w, 3)``, that fits the pixels in ``belongs`` best."""
    rows = np.flatnonzero(belongs)
    rows = rows[:: max(1, rows.size // 4000)]  # a smooth field needs no more
    coefficients = np.linalg.lstsq(terms[rows], lab.reshape(-1, 3)[rows], rcond=None)[0]
    return np.asarray((terms @ coefficients).reshape(lab.shape), dtype=np.float32)


def _threshold(distance: FloatArray, spread: float) -> BoolMask:
    """Return the pixels that stand out, by Otsu's threshold with hysteresis."""
    ceiling = max(float(np.percentile(distance.ravel()[::7], 99)), 1.0)
    levels = np.clip(distance * (255 / ceiling), 0, 255).astype(np.uint8)
    otsu = cv2.threshold(levels, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)[0] * ceiling / 255
    high = max(otsu, 4.0 + 3.0 * spread)
    low = max(0.5 * high, 3.0 + 2.5 * spread)
    _, labels = cv2.connectedComponents((distance > low).astype(np.uint8), connectivity=8)
    strong = np.zeros(int(labels.max()) + 1, dtype=bool)
    strong[labels[distance > high]] = True
    strong[0] = False
    return np.asarray(strong[labels], dtype=bool)


def _tighten(candidates: BoolMask, distance: FloatArray) -> BoolMask:
    """Move the outline to where the distance has risen half way; the blur and the low threshold put it outside."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    core = cv2.erode(candidates.astype(np.uint8), kernel, borderValue=1) > 0
    return np.asarray(candidates & (core | (distance >= 0.5 * cv2.dilate(distance, np.ones((7, 7), np.uint8)))))


def _clean(candidates: BoolMask, *, min_area: float) -> BoolMask:
    """Drop specks and parts much smaller than the largest, fill small holes."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    opened = cv2.morphologyEx(candidates.astype(np.uint8), cv2.MORPH_OPEN, kernel)
    closed = cv2.morphologyEx(opened, cv2.MORPH_CLOSE, kernel)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(closed, connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA].astype(np.float64)
    areas[0] = 0
    keep = areas >= max(min_area * candidates.size, 0.1 * float(areas.max()), 1.0)
    keep[0] = False
    mask: BoolMask = keep[labels]
    if not mask.any():
        return mask
    _, labels, stats, _ = cv2.connectedComponentsWithStats((~mask).astype(np.uint8), connectivity=4)
    small = stats[:, cv2.CC_STAT_AREA] < 0.02 * mask.sum()
    small[0] = False
    return np.asarray(mask | small[labels], dtype=bool)


def _weigh(mask: BoolMask, distance: FloatArray) -> Evidence:
    """Measure what speaks for ``mask`` being a part; ``mask`` is neither empty nor everything."""
    band = max(2, round(0.025 * min(mask.shape)))
    border = np.ones(mask.shape, dtype=bool)
    border[band:-band, band:-band] = False
    top, right, bottom, left = mask[0], mask[1:, -1], mask[-1, -2::-1], mask[-2:0:-1, 0]
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9))
    within = mask & (cv2.erode(mask.astype(np.uint8), kernel, borderValue=1) == 0)
    without = ~mask & (cv2.dilate(mask.astype(np.uint8), kernel) > 0)
    typical = float(np.median(distance[mask]))
    jump = float(np.median(distance[within]) - np.median(distance[without])) / max(typical, 1.0)
    round_trip = np.concatenate([top, right, bottom, left])
    return Evidence(
        separation=typical / (float(np.percentile(distance[~mask], 90)) + 1.0),
        jump=jump,
        inwardness=float(mask[~border].mean() - mask[border].mean()),
        crossings=int(np.count_nonzero(round_trip & ~np.roll(round_trip, 1))),
    )


def _belief(evidence: Evidence) -> float:
    """Return how surely the evidence shows a part, in [0, 1]; half way where rendered parts and textures part."""
    clear = np.interp(evidence.separation, (1.4, 2.8, 4.0, 6.0), (0.0, 0.5, 0.9, 1.0))
    sharp = np.interp(evidence.jump, (0.2, 0.5), (0.0, 1.0))
    inside = np.interp(evidence.inwardness, (-0.05, 0.0, 0.05), (0.0, 0.7, 1.0))
    few = np.interp(evidence.crossings, (3, 5, 8), (1.0, 0.6, 0.0))
    return float(clear * sharp * inside * few)


def _black_surround(lab: FloatArray) -> BoolMask:
    """Return the nearly black rim along the border of a part that almost fills the picture; mostly empty.

    A rim is black (L below 10, and below 0.3 of the picture's median), follows a side for at least an eighth of it, is
    at most a quarter as deep as it is long, and ends in a step, not in a shade.
    """
    lightness = lab[..., 0]
    black = lightness < min(10.0, 0.3 * float(np.median(lightness)))
    surround = np.zeros(black.shape, dtype=bool)
    if not black.any():
        return surround
    frame = np.pad(black.astype(np.uint8), 2, mode="edge")  # so that opening does not eat thin rims
    opened = cv2.morphologyEx(frame, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))[2:-2, 2:-2]
    count, labels = cv2.connectedComponents(np.ascontiguousarray(opened), connectivity=8)
    for label, length in _along_the_border(np.asarray(labels, dtype=np.int32), count):
        rim = labels == label
        ahead = (cv2.dilate(rim.astype(np.uint8), np.ones((13, 13), np.uint8)) > 0) & ~rim
        stepped = ahead.any() and np.percentile(lightness[ahead], 60) > 2.0 * np.median(lightness[rim]) + 6.0
        if stepped and rim.sum() <= 0.25 * length**2:
            surround |= rim
    return surround if 0.002 <= surround.mean() <= 0.35 else np.zeros_like(surround)


def _along_the_border(labels: NDArray[np.int32], count: int) -> list[tuple[int, int]]:
    """Return label and length along the border, in pixels, of what follows a side for at least an eighth of it."""
    lengths = np.zeros(count, dtype=np.int64)
    long_enough = np.zeros(count, dtype=bool)
    for side in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        contact = np.bincount(side, minlength=count)
        lengths += contact
        long_enough |= contact >= side.size / 8
    long_enough[0] = False
    return [(int(label), int(lengths[label])) for label in np.flatnonzero(long_enough)]


def _to_size(mask: BoolMask, height: int, width: int) -> BoolMask:
    """Return ``mask`` at native size with smooth edges; never empty, for ``mask`` is not."""
    if mask.shape == (height, width):
        return mask
    grown = cv2.resize(mask.astype(np.uint8) * 255, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(grown > 127)
