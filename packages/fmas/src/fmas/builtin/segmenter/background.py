"""The background under uneven light: which smooth field of colour most of the picture's border agrees with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Background", "BackgroundFinder", "Explanation", "FloatArray", "background_of"]

_PER_SIDE = 6  # border segments per side: 2024 triples
_LEAST_SHARE = 0.2  # of the border; what is seen at less of it is no background
_SURE_SHARE = 0.8  # of the border; what explains as much needs no rival
_SAME = 0.4  # two planes that agree with the same segments to this share are one explanation
_MOST = 2
_FLATTER = np.float32(0.06)  # segments that a unit of slope in lightness costs a plane
_STIFF = 0.002  # keeps a light seen in one half of the picture from bending wildly in the other
_QUIET = np.float32(0.5)  # added to the spread, so that a rendered ground without noise does not make all stand out
_BELONGS = 4.0  # spreads; what is farther from the fit may be a part
_STRIDE = 4  # a smooth field needs no more pixels

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Background:
    """One explanation of the border.

    Attributes:
        colour: ``(h, w, 3)``, the background as it would look without any part; lightness 0..100 and two hues.
        residual: ``(h, w, 3)``, picture minus ``colour``.
        distance: ``(h, w)``, length of ``residual`` in spreads of the background itself (and half a unit more, so that
            a rendered, noiseless ground does not make everything stand out).
        spread: The background's own spread, in units of lightness.
    """

    colour: FloatArray
    residual: FloatArray
    distance: FloatArray
    spread: float


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """A plane that part of the border agrees with.

    Attributes:
        plane: ``(3, 3)``: colour in the middle, and what it gains by going right and down half the picture.
        tolerance: What counts as agreement, in units of lightness.
    """

    plane: FloatArray
    tolerance: float


class BackgroundFinder:
    """Explains borders; what does not depend on the picture is computed once."""

    def __init__(self) -> None:
        centres = _segment_centres()
        terms = np.concatenate([np.ones((len(centres), 1)), centres], axis=1)
        triples = np.array(list(combinations(range(len(centres)), 3)))
        triples = triples[np.abs(np.linalg.det(terms[triples])) > 0.8]  # a narrow triangle would extrapolate wildly
        self._triples = triples
        self._inverse = np.linalg.inv(terms[triples]).astype(np.float32)
        self._terms = terms.astype(np.float32)

    def explanations(self, picture: FloatArray) -> Iterator[Explanation]:
        """Yield up to two explanations of the border of ``picture``, ``(h, w, 3)``, the likeliest first.

        The border is cut into segments; the plane in (x, y) that most of their median colours agree with is the
        background under uneven light. It is found by trying all triples, so that a part may cover half of the border.
        """
        colours, spreads = _border_segments(picture)
        tolerance = 3.0 + 1.5 * float(np.median(spreads))
        planes = np.einsum("tij,tjc->itc", self._inverse, colours[self._triples])
        misfit = (self._terms @ planes.reshape(3, -1)).reshape(len(colours), -1, 3) - colours[:, None]
        agreement = np.exp(np.einsum("stc,stc->st", misfit, misfit) * np.float32(-1 / tolerance**2))
        # Of two planes that explain as much, the flatter light is the likelier one.
        support = agreement.sum(axis=0) - _FLATTER * np.abs(planes[1:, :, 0]).sum(axis=0)
        for _ in range(_MOST):
            best = int(np.argmax(support))
            if support[best] < _LEAST_SHARE * len(colours):
                return
            yield Explanation(np.ascontiguousarray(planes[:, best]), tolerance)
            if support[best] > _SURE_SHARE * len(colours):
                return
            common = np.minimum(agreement, agreement[:, best, None]).sum(axis=0)
            support = np.where(common > _SAME * agreement.sum(axis=0), -np.inf, support)


def background_of(picture: FloatArray, explanation: Explanation) -> Background:
    """Return the background that starts as a plane and is refined over the pixels that belong to it.

    Args:
        picture: ``(h, w, 3)``; lightness 0..100 and two hues. It may have another size than the one explained.
        explanation: Where to start.
    """
    height, width = picture.shape[:2]
    size = (max(1, width // _STRIDE), max(1, height // _STRIDE))
    few = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.float32)
    y, x = np.meshgrid(_centres(size[1]), _centres(size[0]), indexing="ij")
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1).reshape(-1, 6)
    pixels = few.reshape(-1, 3)
    border = (np.abs(x) > 0.9) | (np.abs(y) > 0.9)
    coefficients = np.zeros((6, 3), np.float32)
    coefficients[:3] = explanation.plane
    tolerance = explanation.tolerance
    # The border first, where the ground is seen; then everything near enough, ever nearer.
    for only_border, freedom, limit in ((True, 3, 2.0), (True, 6, 2.0), (False, 6, 1.5), (False, 6, 1.0)):
        belongs = _length(pixels - terms @ coefficients) < limit * tolerance
        if only_border:
            belongs &= border.ravel()
        if np.count_nonzero(belongs) < 3 * freedom:
            break
        coefficients[:freedom] = _fit(terms[belongs, :freedom], pixels[belongs])
    smooth = (terms @ coefficients).reshape(few.shape)
    smooth += _bent_further(few - smooth, tolerance)
    colour = np.asarray(cv2.resize(smooth, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    residual = picture - colour
    sigma = _spread(residual[::_STRIDE, ::_STRIDE].reshape(-1, 3), tolerance)
    distance = _length(residual * (1 / (_QUIET + sigma)))
    return Background(colour, residual, distance, float(np.linalg.norm(sigma)))


def _spread(residual: FloatArray, tolerance: float) -> FloatArray:
    """Return the ground's spread around its smooth colour, ``(3,)``, by what of ``residual``, ``(n, 3)``, lies near."""
    near = residual[_length(residual) < 2 * tolerance]
    if len(near) < 20:
        near = residual
    return np.asarray(1.48 * np.median(np.abs(near - np.median(near, axis=0)), axis=0), np.float32)


def _bent_further(rest: FloatArray, tolerance: float) -> FloatArray:
    """Return how the ground differs from the fit, smoothly, ``(h, w, 3)``.

    A lamp's spot is no parabola. What the ground's neighbourhood says about it is spread to where a part hides it.
    """
    bend = np.zeros_like(rest)
    reach = max(3, max(rest.shape[:2]) // 6)
    for _ in range(2):
        left = rest - bend
        part = _length(left / (_QUIET + _spread(left.reshape(-1, 3), tolerance))) > _BELONGS
        seen = 1 - cv2.dilate(part.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(np.float32)
        bend = _spread_out(rest * seen[..., None], reach) / (_spread_out(seen, reach) + np.float32(0.02))[..., None]
    return np.asarray(bend, np.float32)


def _spread_out(field: FloatArray, size: int) -> FloatArray:
    """Return ``field`` blurred by about ``size`` pixels, at the cost of a mean."""
    return np.asarray(cv2.blur(cv2.blur(field, (size, size)), (size, size)), np.float32)


def _fit(terms: FloatArray, pixels: FloatArray) -> FloatArray:
    """Return the coefficients that fit ``pixels``, ``(n, 3)``, best and bend as little as that allows."""
    normal = terms.T @ terms / np.float32(len(terms))
    stiffness = np.array([0.0, _STIFF / 4, _STIFF / 4, _STIFF, _STIFF, _STIFF], np.float32)[: len(normal)]
    solution = np.linalg.solve(normal + np.diag(stiffness), terms.T @ pixels / np.float32(len(terms)))
    return np.asarray(solution, np.float32)


def _centres(count: int) -> FloatArray:
    """Return the centres of ``count`` cells that divide [-1, 1]."""
    return np.asarray((np.arange(count) + 0.5) * (2 / count) - 1, np.float32)


def _length(vectors: NDArray[Any]) -> FloatArray:
    """Return the Euclidean length over the last axis."""
    return np.asarray(np.sqrt(np.einsum("...k,...k->...", vectors, vectors)), np.float32)


def _segment_centres() -> NDArray[np.float64]:
    """Return the segments' centres (x, y) in [-1, 1], ``(4 * _PER_SIDE, 2)``: top, bottom, left, right."""
    along = (np.arange(_PER_SIDE) + 0.5) / _PER_SIDE * 2 - 1
    one = np.ones(_PER_SIDE)
    sides = ((along, -one), (along, one), (-one, along), (one, along))
    return np.concatenate([np.stack(side, axis=1) for side in sides])


def _border_segments(picture: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the median colour ``(24, 3)`` and the spread ``(24,)`` of each border segment."""
    band = max(2, round(0.025 * min(picture.shape[:2])))
    sides = (picture[:band], picture[-band:], picture[:, :band].swapaxes(0, 1), picture[:, -band:].swapaxes(0, 1))
    colours, spreads = [], []
    for side in sides:
        step = max(1, side.shape[1] // (_PER_SIDE * 24))
        for piece in np.array_split(side[:: max(1, band // 4), ::step], _PER_SIDE, axis=1):
            pixels = piece.reshape(-1, 3)
            colour = np.median(pixels, axis=0)
            colours.append(colour)
            spreads.append(np.median(_length(pixels - colour)))
    return np.array(colours, np.float32), np.array(spreads, np.float32)
