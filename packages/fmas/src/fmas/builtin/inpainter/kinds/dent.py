"""A dent: the surface is pressed in and shades like a lens; its texture is drawn down the slopes, not replaced."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

import numpy as np

from fmas.builtin.inpainter.filters import blur, displace, gradient, smoothstep
from fmas.builtin.inpainter.lay import grain_of
from fmas.builtin.inpainter.light import slope_towards
from fmas.builtin.inpainter.paths import backbone, random_place
from fmas.builtin.inpainter.shapes import blob
from fmas.builtin.inpainter.strokes import band_around, resample
from fmas.builtin.inpainter.surface import Surface
from fmas.builtin.inpainter.words import mentioned
from fmas.types import Defect, FloatMap

__all__ = ["render"]


def render(surface: Surface, defect: Defect, intensity: float, rng: np.random.Generator) -> FloatMap:
    """Press the surface in (or, where the words say so, out); see :mod:`fmas.builtin.inpainter.registry`."""
    drawn = float(rng.random())
    chance = next(press for most, press in _CHANCES if drawn < most)
    bowl, size = (mentioned(defect, _WORDS) or chance)(surface, rng)
    gloss, sky = rng.uniform(0.2, 1.0), rng.uniform(0.05, 0.3)
    outwards = mentioned(defect, _OUTWARDS) or False
    depth = np.float32(surface.depth(intensity, 0.5))
    lean = slope_towards(bowl if outwards else -bowl, surface.light)
    lean /= max(float(np.abs(lean).max()), 1e-6)
    # Less of the sky is seen from the bottom.
    shading = depth * (lean - np.float32(0 if outwards else sky) * np.maximum(bowl, 0))
    # A highlight sits where the slope mirrors the lamp, narrow on what is polished.
    bright = np.float32(0.25 + 0.35 * (surface.level < 200))
    gleam = bright * np.float32(gloss) * depth * smoothstep(lean, 0.95 - 0.35 * gloss, 1.0)
    pull = min(2.2 * max(1.0, surface.scale), 0.07 * size) * min(intensity, 1.0)
    # Grain stays where the camera put it: moved by parts of pixels, it would be blurred here and there.
    grain = grain_of(surface)
    texture = _drawn(surface.base - grain, bowl, pull) + grain
    painted = texture + (shading + gleam)[..., None] * (texture + np.float32(surface.sheen))
    return np.asarray(painted, dtype=np.float32)


def _single(surface: Surface, rng: np.random.Generator) -> tuple[FloatMap, float]:
    """One bowl, round to oval; gently sloped, or flat inside with a steep rim."""
    low = float(np.exp(rng.uniform(np.log(0.2), np.log(0.9))))
    field = blob(
        surface, rng, fill=(low, min(0.97, low + 0.2)), roughness=rng.uniform(0.02, 0.1), detail=1.8, longest=2.4
    )
    size = max(1.0, float(field.max()))
    steepness = rng.uniform(0.3, 1.0)
    # Outlines are rough on paper, dents are pressed: round the field before it becomes a height.
    bowl = smoothstep(blur(np.maximum(field, 0), rng.uniform(0.1, 0.22) * size), 0.0, steepness * size)
    return bowl, size


def _rimmed(surface: Surface, rng: np.random.Generator) -> tuple[FloatMap, float]:
    """One bowl with the rim that displaced material makes."""
    bowl, size = _single(surface, rng)
    rim = blur(bowl, 0.35 * size)
    return bowl - np.float32(rng.uniform(0.3, 0.6)) * np.maximum(rim - bowl, 0), size


def _dings(surface: Surface, rng: np.random.Generator) -> tuple[FloatMap, float]:
    """A few small round dents near one another, as hail or a hammer leaves."""
    centre = random_place(surface, rng, deep=0.5)
    room = float(surface.room[int(centre[1]), int(centre[0])])
    largest = max(1.5, room * rng.uniform(0.2, 0.45))
    bowl = np.zeros(surface.shape, np.float32)
    height, width = surface.shape
    for index in range(int(rng.integers(2, 7))):
        radius = largest * (1.0 if index == 0 else rng.uniform(0.4, 1.0))
        spot = centre + (index > 0) * rng.normal(0, 0.45, 2).clip(-0.8, 0.8) * max(0.0, room - radius)
        squeeze = rng.uniform(0.8, 1.25)
        dx = (np.arange(width, dtype=np.float32) - np.float32(spot[0]))[None, :] * np.float32(squeeze)
        dy = (np.arange(height, dtype=np.float32) - np.float32(spot[1]))[:, None] / np.float32(squeeze)
        far = (dx * dx + dy * dy) / np.float32(radius * radius)
        bowl = np.maximum(bowl, np.maximum(0, 1 - far) ** 2 * np.float32(0.5 + 0.5 * radius / largest))
    return bowl * smoothstep(surface.room, 0.0, 0.5 * largest), largest


def _crease(surface: Surface, rng: np.random.Generator) -> tuple[FloatMap, float]:
    """A long shallow trough, as an edge leaves that was pressed in."""
    course = resample(backbone(surface, rng, bow=0.15, span=(0.6, 0.95)))
    half = max(1.2, rng.uniform(0.1, 0.3) * min(surface.reach, 0.3 * len(course)))
    band = band_around(course, surface.shape, 3.0 * half)
    bowl = np.zeros(surface.shape, np.float32)
    ends = smoothstep(np.minimum(band.t, 1 - band.t), 0.0, 0.4)
    bowl[band.rows, band.columns] = np.exp(-((band.offset / np.float32(half)) ** 2)) * ends
    return blur(bowl, 0.3 * half), half


def _drawn(base: FloatMap, bowl: FloatMap, pull: float) -> FloatMap:
    """Move texture down the slopes by up to ``pull`` pixels, as the drawn material does."""
    dx, dy = gradient(bowl)
    steepest = max(float(np.hypot(dx, dy).max()), 1e-6)
    part = np.float32(pull / steepest)
    return displace(base, -dx * part, -dy * part) if pull > 0.05 else base


_Press = Callable[[Surface, np.random.Generator], tuple[FloatMap, float]]

_CHANCES: tuple[tuple[float, _Press], ...] = ((0.4, _single), (0.65, _rimmed), (0.82, _dings), (1.0, _crease))
"""How often each manner is drawn, summed up."""

_WORDS = MappingProxyType(
    {
        "ding": _dings,
        "hail": _dings,
        "hammer": _dings,
        "crease": _crease,
        "dented edge": _crease,
        "line": _crease,
        "press": _rimmed,
        "impact": _rimmed,
    }
)

_OUTWARDS = MappingProxyType({"bump": True, "bulge": True, "blister": True, "raised": True, "swell": True})
