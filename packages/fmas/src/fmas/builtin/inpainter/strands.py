"""Thin round things that lie on a surface or stick out of it: fibres, threads, turnings."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from fmas.builtin.inpainter.filters import smoothstep
from fmas.builtin.inpainter.noise import along
from fmas.builtin.inpainter.paths import random_place
from fmas.builtin.inpainter.strokes import Band, Points, band_around, smoothed
from fmas.builtin.inpainter.surface import Surface
from fmas.types import FloatMap

__all__ = ["brush", "lay_strand", "loose_course", "taper"]


def taper(t: FloatMap, share: float) -> FloatMap:
    """Return 1 along a line and a fall to 0 over ``share`` of it at both ends; ``t`` is ``(N,)`` float32 in 0..1."""
    return smoothstep(np.minimum(t, 1 - t), 0.0, share)


def loose_course(surface: Surface, rng: np.random.Generator, *, tries: int = 8) -> Points:
    """Return a curve that winds gently through the region, the way a fibre happens to fall.

    Of several random ones, the one that stays in the region for longest, cut off where it leaves it.
    """
    length = rng.uniform(0.6, 1.5) * (surface.frame.long + surface.frame.short)
    curl = rng.uniform(0.15, 1.0)
    best, best_span = np.empty((0, 2)), 0.0
    for _ in range(tries):
        start = random_place(surface, rng, deep=0.3)
        # The heading drifts, and its drift drifts: no corners.
        drift = curl * (rng.normal(0, 0.9) + np.cumsum(rng.normal(0, 0.6, 32)))
        heading = rng.uniform(0, 2 * np.pi) + np.cumsum(drift) / 16
        steps = np.stack([np.cos(heading), np.sin(heading)], axis=1) * length / 32
        course = start + np.concatenate([[[0.0, 0.0]], np.cumsum(steps, axis=0)])
        kept = course[: _steps_inside(surface, course)]
        # By how far it gets as well: of the longest alone, most would be rings.
        span = len(kept) * (0.3 + float(np.hypot(*np.ptp(kept, axis=0))) / length) if len(kept) else 0.0
        if span > best_span:
            best, best_span = kept, span
    if len(best) < 2:
        along = np.array([surface.frame.ux, surface.frame.uy])
        best = random_place(surface, rng, deep=0.3) + np.linspace(-0.8, 0.8, 3)[:, None] * along
    return smoothed(best, 2)


def _steps_inside(surface: Surface, course: Points) -> int:
    """Return how many points of a course come before it first leaves the region."""
    height, width = surface.shape
    x = np.clip(np.round(course[:, 0]).astype(int), 0, width - 1)
    y = np.clip(np.round(course[:, 1]).astype(int), 0, height - 1)
    outside = np.flatnonzero(surface.room[y, x] <= 0.15 * surface.reach)
    return int(outside[0]) if outside.size else len(course)


def lay_strand(
    painted: FloatMap,
    surface: Surface,
    course: Points,
    rng: np.random.Generator,
    *,
    radius: float,
    tint: FloatMap,
    opacity: float,
    gloss: float,
    lift: float,
    shadow: float = 0.45,
    end_taper: float = 0.1,
    ridges: float = 0.0,
) -> None:
    """Draw one strand, with the shadow it throws, into ``painted``.

    Args:
        painted: ``(h, w, C)`` float32, written to.
        surface: Gives the light.
        course: Where the strand runs.
        rng: Varies thickness and shine along it.
        radius: Half its thickness, in pixels.
        tint: Its colour in grey levels, ``(C,)`` or ``(1,)`` float32.
        opacity: How much it hides, 0..1.
        gloss: How much brighter its lit side is than its middle, as a fraction.
        lift: How far above the surface it lies, in pixels: where the shadow falls.
        shadow: How much light the shadow lacks, as a fraction.
        end_taper: Share of its length over which it thins out at either end.
        ridges: How many ridges run across it, as on a turning; 0 for none.
    """
    if lift > 0:
        away = course - np.array(surface.light) * lift
        ground = band_around(away, surface.shape, 2.5 * radius + 1.5)
        dim = shadow * np.exp(-((ground.offset / (radius + 0.6)) ** 2)) * taper(ground.t, 0.15)
        painted[ground.rows, ground.columns] *= (1 - dim)[:, None]
    band = band_around(course, surface.shape, radius + 1.5)
    thickness = radius * (0.8 + 0.4 * along(band.t, rng, knots=5)) * (0.4 + 0.6 * taper(band.t, end_taper))
    cover = opacity * _cover(band, thickness) * taper(band.t, 0.5 * end_taper)
    round_off = np.clip(band.offset / np.maximum(thickness, 0.5), -1, 1)
    facing = (band.normal_x * surface.light[0] + band.normal_y * surface.light[1]) * round_off
    shine = 1 + gloss * facing * (0.6 + 0.8 * along(band.t, rng, knots=9))
    if ridges > 0:
        # Skewed across the strand, and never quite regular.
        phase = ridges * (band.t + 0.08 * along(band.t, rng, knots=9)) + 0.35 * round_off
        uneven = along(band.t, rng, knots=17)
        shine *= 1 + 0.5 * gloss * uneven * np.sin(np.float32(2 * np.pi) * phase)
    target = tint[None, :] * shine[:, None]
    under = painted[band.rows, band.columns]
    painted[band.rows, band.columns] = under + cover[:, None] * (target - under)


def brush(
    shape: tuple[int, int], courses: Sequence[Points], tones: Sequence[float], *, radius: float, tip: float = 0.35
) -> tuple[FloatMap, FloatMap]:
    """Draw many fine hairs at once, each thinner towards its end.

    Args:
        shape: Height and width in pixels.
        courses: Where the hairs run, root first.
        tones: One number in 0..1 per hair.
        radius: Half a hair's thickness at its root, in pixels; one thinner than a pixel covers a part of it.
        tip: What is left of the cover at the end, 0..1.

    Returns:
        The covered share and the tone of the topmost hair, each ``(H, W)`` float32 in 0..1.
    """
    cover, tone = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    thick = max(1, round(2 * radius))
    share = min(1.0, 2 * radius / thick + 0.1)
    for course, value in zip(courses, tones, strict=True):
        points = np.round(course * 16).astype(np.int32)
        level = round(255 * value)
        # Tone first and wider, so that a half covered pixel has the hair's tone and not half of it.
        cv2.polylines(tone, [points], isClosed=False, color=level, thickness=thick + 2, lineType=cv2.LINE_8, shift=4)
        pieces = np.array_split(np.arange(len(points) - 1), min(8, len(points) - 1))
        for index, piece in enumerate(pieces):
            fall = 1 - (1 - tip) * index / max(1, len(pieces) - 1)
            part = points[piece[0] : piece[-1] + 2]
            width = max(1, round(thick * (1 - 0.85 * index / max(1, len(pieces) - 1))))
            cv2.polylines(cover, [part], False, round(255 * share * fall), width, cv2.LINE_AA, 4)
    return cover.astype(np.float32) / np.float32(255), tone.astype(np.float32) / np.float32(255)


def _cover(band: Band, thickness: FloatMap) -> FloatMap:
    """Return the covered share of each pixel; a strand thinner than a pixel covers a part of it."""
    edge = smoothstep(thickness - np.abs(band.offset), -0.6, 0.6)
    return np.asarray(edge * np.minimum(1, 2 * thickness + 0.15), dtype=np.float32)
