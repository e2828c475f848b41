"""A scratch: a groove whose flanks are lit and shaded, its floor bare or worn; alone, side by side or as a scuff."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

import cv2
import numpy as np

from fmas.builtin.inpainter.filters import blur, extent, mean_channel, smoothstep
from fmas.builtin.inpainter.layers import within_light
from fmas.builtin.inpainter.light import slope_towards
from fmas.builtin.inpainter.noise import along, fractal
from fmas.builtin.inpainter.paths import backbone
from fmas.builtin.inpainter.strokes import STEP, Points, band_around, resample
from fmas.builtin.inpainter.surface import Surface
from fmas.builtin.inpainter.words import mentioned
from fmas.types import Defect, FloatMap

__all__ = ["render"]


def render(surface: Surface, defect: Defect, intensity: float, rng: np.random.Generator) -> FloatMap:
    """Scratch the surface in one of a few manners; see :mod:`fmas.builtin.inpainter.registry`."""
    # Fresh metal gleams in its groove, a groove in something bright or matt is dark.
    gleams = rng.random() < np.clip((230 - surface.level) / 200, 0.15, 0.65)
    body = float(rng.uniform(0.45, 1.0)) * (1 if gleams else -1)
    drawn = float(rng.random())
    chance = next(draw for most, draw in _CHANCES if drawn < most)
    relief = (mentioned(defect, _WORDS) or chance)(surface, rng, body)
    box = extent(np.abs(relief) > 0.01, pad=8)
    if box is None:  # no room for a line: the finish leaves a speck
        return surface.base
    part, relief = surface.part(box), relief[box]
    relief *= _touch(part)
    relief *= np.float32(1.15 / max(0.1, float(np.abs(relief).max())))
    smooth = blur(part.base, 1.5 + min(3.0, 0.1 * surface.texture))
    if smooth.shape[2] == 3 and body > 0:
        # What lies under a coat has not its colour.
        grey = np.float32(0.55 * surface.colour)
        smooth = smooth * (1 - grey) + grey * mean_channel(smooth)[..., None]
    depth = np.float32(surface.depth(intensity, 0.75))
    worn = np.minimum(np.abs(relief), 1)[..., None] * np.float32(0.2 * min(1.0, intensity))
    painted = surface.base.copy()
    painted[box] += worn * (smooth - part.base) + depth * relief[..., None] * (smooth + np.float32(surface.sheen))
    painted[box] = within_light(part, painted[box], 0.7 * intensity)
    return painted


def _touch(surface: Surface) -> FloatMap:
    """Return how hard a tool presses, ``(h, w)`` around 1: on a rough surface it skips over what lies deep."""
    luminance = mean_channel(surface.base)
    rough = min(1.0, surface.texture / 14.0)
    height = (blur(luminance, 1.0) - blur(luminance, 8.0)) / np.float32(max(8.0, 2.0 * surface.texture))
    return np.asarray(np.clip(1 + np.float32(rough) * (height - np.float32(0.1)), 0.3, 1.4), dtype=np.float32)


def _thickness(surface: Surface, rng: np.random.Generator, least: float, most: float) -> float:
    """Draw half a groove's width, in pixels: fine lines stay fine on a large photograph, others grow with it."""
    sigma = np.exp(rng.uniform(np.log(least), np.log(most))) * max(0.9, surface.scale) ** rng.uniform(0.2, 1.0)
    return float(min(sigma, max(0.45, 0.2 * surface.reach)))


def _hairlines(surface: Surface, rng: np.random.Generator, body: float) -> FloatMap:
    """Draw one fine line, or a few that run side by side or cross."""
    relief = np.zeros(surface.shape, np.float32)
    spine = resample(backbone(surface, rng, bow=0.12))
    sigma = _thickness(surface, rng, 0.45, 1.1)
    crossing = rng.random() < 0.3
    for index in range(int(rng.choice([1, 1, 1, 1, 2, 3]))):
        if index == 0:
            line, fade = spine, 1.0
        else:
            line = (
                resample(backbone(surface, rng, bow=0.1, span=(0.2, 0.7))) if crossing else _beside(spine, rng, sigma)
            )
            fade = rng.uniform(0.35, 0.9)
        _cut(relief, surface, line, rng, sigma=sigma * (0.7 + 0.3 * fade), body=body, strength=fade)
    return relief


def _gouge(surface: Surface, rng: np.random.Generator, body: float) -> FloatMap:
    """Plough one wide groove, with what was thrown up at its sides."""
    relief = np.zeros(surface.shape, np.float32)
    spine = resample(backbone(surface, rng, bow=0.08, span=(0.5, 1.0)))
    sigma = min(_thickness(surface, rng, 1.1, 2.4), max(0.6, len(spine) * STEP / 18))
    _cut(relief, surface, spine, rng, sigma=sigma, body=0.55 * body, strength=1.0, relief_share=1.0, burr=0.35)
    return relief * (1 + np.float32(0.2) * fractal(surface.shape, rng, cell=max(2.0, 1.5 * sigma), octaves=2))


def _skips(surface: Surface, rng: np.random.Generator, body: float) -> FloatMap:
    """Let a tool chatter: short marks in a row."""
    relief = np.zeros(surface.shape, np.float32)
    spine = resample(backbone(surface, rng, bow=0.06, span=(0.5, 1.0)))
    sigma = _thickness(surface, rng, 0.75, 1.5)
    period = min(sigma * rng.uniform(6, 16), len(spine) * STEP / 4)
    _cut(relief, surface, spine, rng, sigma=sigma, body=body, strength=1.0, period=period)
    return relief


def _scuff(surface: Surface, rng: np.random.Generator, body: float) -> FloatMap:
    """Rub a patch: many faint lines that nearly run the same way, in a haze of finer ones."""
    spine = backbone(surface, rng, bow=0.1, span=(0.5, 0.95))
    direction = spine[-1] - spine[0]
    length = max(1.0, float(np.hypot(*direction)))
    across = np.array([-direction[1], direction[0]]) / length
    middle = spine[len(spine) // 2].astype(int).clip(0, np.array(surface.shape[::-1]) - 1)
    width = rng.uniform(0.3, 0.9) * min(float(surface.room[middle[1], middle[0]]), 0.35 * length + 2)
    canvas = np.zeros(surface.shape, np.uint8)
    count = int(np.clip(width * rng.uniform(0.8, 2.5) / max(0.9, surface.scale) ** 0.6, 4, 70))
    strengths = np.sort(rng.uniform(0.2, 1.0, count) ** 1.5)  # the plainest on top
    thick = max(1, round(0.9 * surface.scale**0.8))
    for strength in strengths:
        offset = float(np.clip(rng.normal(0, 0.45), -1, 1))
        first, last = np.sort(rng.beta(0.8, 0.8, 2))
        part = spine[int(first * (len(spine) - 2)) : max(int(last * len(spine)), int(first * (len(spine) - 2)) + 2)]
        line = (
            part + across * offset * width + across * np.linspace(0, rng.normal(0, 0.04) * length, len(part))[:, None]
        )
        # Sixteenths of a pixel, in whole numbers: drawn alike everywhere.
        cv2.polylines(
            canvas, [np.round(16 * line).astype(np.int32)], False, int(255 * strength), thick, cv2.LINE_AA, shift=4
        )
    grooves = blur(canvas.astype(np.float32) / np.float32(255), 0.35 * thick)
    haze = blur(grooves, max(1.5, 0.12 * width))
    lit = slope_towards(-grooves, surface.light) * np.float32(1.6 * thick)
    ragged = 1 + np.float32(0.5) * fractal(surface.shape, rng, cell=max(3.0, 0.5 * width), octaves=3)
    relief = (np.float32(1.3 * body) * (grooves + np.float32(0.6) * haze) + lit) * ragged
    return np.asarray(relief * smoothstep(surface.room, 0.0, max(1.0, 0.15 * surface.reach)), dtype=np.float32)


def _beside(spine: Points, rng: np.random.Generator, sigma: float) -> Points:
    """Return a part of a line, moved sideways and turned a little."""
    first, last = sorted(rng.uniform(0, 1, 2))
    span = slice(int(first * 0.6 * len(spine)), max(int((0.4 + 0.6 * last) * len(spine)), 4))
    direction = spine[-1] - spine[0]
    direction /= max(float(np.hypot(*direction)), 1e-9)
    across = np.array([-direction[1], direction[0]]) * rng.uniform(3, 9) * sigma * (1 if rng.random() < 0.5 else -1)
    part = spine[span]
    drift = np.linspace(0.7, 1.3, len(part))[:, None]
    return part + across * drift


def _cut(
    relief: FloatMap,
    surface: Surface,
    line: Points,
    rng: np.random.Generator,
    *,
    sigma: float,
    body: float,
    strength: float,
    relief_share: float = 0.6,
    burr: float = 0.15,
    period: float | None = None,
) -> None:
    """Add the relative brightness of one groove to ``relief``, ``(h, w)`` float32."""
    band = band_around(line, surface.shape, 4.5 * sigma + 1)
    # Set down firmly, lifted slowly, or the other way round.
    start, stop = (0.06, 0.4) if rng.random() < 0.5 else (0.25, 0.25)
    pressure = smoothstep(band.t, 0.0, start) * smoothstep(1 - band.t, 0.0, stop)
    pressure *= 0.35 + 0.65 * along(band.t, rng, knots=7)
    gaps = along(band.t, rng, knots=14)
    if rng.random() < 0.35 and period is None:
        pressure *= smoothstep(gaps, 0.15, 0.35)
    if period is not None:
        beat = np.cos(band.t * np.float32(STEP * len(line) / period * 2 * np.pi) + 2 * gaps)
        pressure *= 0.25 + 0.75 * smoothstep(beat, -0.5, 0.4)
    # A hard grain in its way, and it jumps: uneven in steps of a few pixels.
    pressure *= 0.6 + 0.4 * along(band.t, rng, knots=int(np.clip(STEP * len(line) / 4, 8, 160)))
    width = sigma * (0.5 + 0.5 * pressure)
    across = band.offset / width
    core = np.exp(-0.5 * across**2)
    # The wall on the right of the course rises to the right: it faces the light when that comes from the left.
    lit = -(band.normal_x * surface.light[0] + band.normal_y * surface.light[1])
    flanks = 1.65 * across * core * lit
    # A groove gleams most where it lies across the light.
    gleam = body * (0.6 + 0.4 * np.abs(lit)) if body > 0 else body
    # Material pushed up on both sides: ridges, lit on the side opposite to the groove's own.
    past = (np.abs(across) - 2.1) / 0.6
    ridge = burr * np.exp(-0.5 * past**2) * (0.6 - past * np.sign(across) * lit)
    relief[band.rows, band.columns] += np.float32(strength) * pressure * (relief_share * flanks + gleam * core + ridge)


_Draw = Callable[[Surface, np.random.Generator, float], FloatMap]

_CHANCES: tuple[tuple[float, _Draw], ...] = ((0.62, _hairlines), (0.78, _gouge), (0.92, _scuff), (1.0, _skips))
"""How often each manner is drawn, summed up."""

_WORDS = MappingProxyType(
    {
        "scuff": _scuff,
        "abra": _scuff,
        "rub": _scuff,
        "wear": _scuff,
        "graz": _scuff,
        "chatter": _skips,
        "skip": _skips,
        "gouge": _gouge,
        "deep": _gouge,
        "score": _gouge,
        "groove": _gouge,
        "hairline": _hairlines,
        "long": _hairlines,
        "fine": _hairlines,
    }
)
