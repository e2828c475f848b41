"""Discoloration: the surface itself has another shade or hue, in a field with no rim, while its texture goes on.

Four causes look different: a shade that drifts, a field ground or polished otherwise (its lines stronger or weaker, one
edge sharper than the rest), heat (tints nested round a centre) and bleaching. A grey photograph shows the brightness.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

import numpy as np

from fmas.builtin.inpainter.filters import blur, smoothstep
from fmas.builtin.inpainter.lay import along_lay, grain_of, lay_of
from fmas.builtin.inpainter.layers import Absorbance, absorb, busy, lightens, share_of_light, tinted, within_light
from fmas.builtin.inpainter.noise import fractal, streaks
from fmas.builtin.inpainter.shapes import blob
from fmas.builtin.inpainter.surface import Surface
from fmas.builtin.inpainter.words import mentioned
from fmas.types import Defect, FloatMap

__all__ = ["render"]

_HUES: tuple[Absorbance, ...] = (
    (0.55, 1.0, 1.45),
    (1.35, 1.0, 0.65),
    (0.8, 0.9, 1.3),
    (1.0, 0.75, 1.25),
    (0.75, 1.25, 1.0),
    (1.0, 1.0, 1.0),
)
_NAMED_HUES: MappingProxyType[str, Absorbance] = MappingProxyType(
    {
        "yellow": (0.6, 0.75, 1.65),
        "brown": (0.6, 1.0, 1.4),
        "red": (0.4, 1.3, 1.3),
        "pink": (0.5, 1.3, 1.2),
        "green": (1.25, 0.55, 1.2),
        "blue": (1.4, 1.1, 0.5),
        "purple": (0.9, 1.35, 0.75),
        "grey": (1.0, 1.0, 1.0),
        "gray": (1.0, 1.0, 1.0),
        "dark": (1.0, 1.0, 1.0),
    }
)
_TEMPER: tuple[Absorbance, ...] = ((0.6, 0.85, 1.55), (0.65, 1.05, 1.3), (0.95, 1.35, 0.7), (1.4, 1.1, 0.5))
"""What an oxide film takes from outside in: straw, brown, purple, blue."""


def render(surface: Surface, defect: Defect, intensity: float, rng: np.random.Generator) -> FloatMap:
    """Let a field of the surface look otherwise; see :mod:`fmas.builtin.inpainter.registry`."""
    # A shade ends where it ends, not at the picture's border.
    surface = surface.opened()
    causes = (_shaded, _shaded, _ground, _ground, _heated, _bleached)
    chance = int(rng.integers(len(causes)))
    paint = mentioned(defect, _CAUSES) or causes[chance]
    hue = _HUES[int(rng.integers(len(_HUES)))]
    return paint(surface, intensity, rng, mentioned(defect, _NAMED_HUES) or hue)


def _patch(surface: Surface, rng: np.random.Generator, softness: tuple[float, float]) -> FloatMap:
    """Return a field that fades out within a share of its radius, ``(h, w)`` float32 in 0..1."""
    field = blob(surface, rng, fill=(0.75, 1.0), roughness=rng.uniform(0.08, 0.24), detail=1.3)
    size = max(1.0, float(field.max()))
    ragged = fractal(surface.shape, rng, cell=max(3.0, 0.45 * size), octaves=4, persistence=0.6)
    width = max(1.5, rng.uniform(*softness) * size)
    return smoothstep(field + np.float32(0.25 * width) * ragged, 0.0, width)


def _front(surface: Surface, rng: np.random.Generator, angle: float) -> FloatMap:
    """Return a field with one plain, gently waving edge along ``angle`` that fades out on its other sides."""
    frame = surface.frame
    height, width = surface.shape
    nx, ny = -np.sin(angle), np.cos(angle)
    if rng.random() < 0.5:
        nx, ny = -nx, -ny
    reach = 0.5 * (
        abs(frame.long * (frame.ux * nx + frame.uy * ny)) + abs(frame.short * (frame.uy * nx - frame.ux * ny))
    )
    dx = np.arange(width, dtype=np.float32)[None, :] - np.float32(frame.x)
    dy = np.arange(height, dtype=np.float32)[:, None] - np.float32(frame.y)
    wave = fractal(surface.shape, rng, cell=max(6.0, 1.5 * reach), octaves=4, persistence=0.4)
    beyond = np.float32(nx) * dx + np.float32(ny) * dy + np.float32(0.16 * reach) * wave
    beyond += np.float32(rng.uniform(0.2, 0.9) * reach)
    edge = max(1.5, rng.uniform(0.05, 0.3) * reach)
    # Where the region ends nothing else does: the field has long faded there, and not along a straight line.
    field = blob(surface, rng, fill=(0.9, 1.0), roughness=0.15, detail=1.5)
    gone = smoothstep(field, 0.0, rng.uniform(0.5, 0.9) * max(1.0, float(field.max())))
    return smoothstep(beyond, -edge / 2, edge / 2) * gone


def _shaded(surface: Surface, intensity: float, rng: np.random.Generator, hue: Absorbance) -> FloatMap:
    """Darken or lighten unevenly; the hue drifts from place to place."""
    patch = _patch(surface, rng, (0.3, 1.0))
    size = max(4.0, 1.3 * surface.reach)
    cloud = np.clip(0.85 + 0.25 * fractal(surface.shape, rng, cell=size, octaves=3), 0.35, 1.2)
    drift = fractal(surface.shape, rng, cell=size, octaves=2)
    lighter = lightens(surface, rng, 0.25)
    depth = surface.depth(intensity, rng.uniform(0.35, 0.55) * busy(surface))
    if lighter:
        return _lightened(surface, patch * cloud, depth, hue)
    painted = absorb(surface, patch * cloud, share_of_light(depth, 0.75), hue)
    painted = within_light(surface, painted, 0.7 * intensity) if painted.shape[2] == 1 else painted
    if painted.shape[2] == 1:
        return painted
    # Where it drifts, what one channel loses another keeps.
    shift = np.array([1.0, 0.1, -1.1], np.float32) * np.float32(0.25 * min(1.0, depth) * surface.colour)
    return np.asarray(painted * (1 + (patch * drift)[..., None] * shift), dtype=np.float32)


def _bleached(surface: Surface, intensity: float, rng: np.random.Generator, hue: Absorbance) -> FloatMap:
    """Fade: lighter, and with less contrast and colour than around."""
    patch = _patch(surface, rng, (0.25, 0.8))
    cloud = np.clip(0.85 + 0.2 * fractal(surface.shape, rng, cell=max(4.0, surface.reach), octaves=3), 0.4, 1.2)
    depth = surface.depth(intensity, 0.45 * busy(surface))
    if surface.level > 200:
        # White cannot fade: it yellows.
        return absorb(surface, patch * cloud, share_of_light(depth), (0.7, 0.85, 1.45))
    flat = blur(surface.base, max(1.5, 3.0 * surface.scale))
    pale = flat.mean(axis=2, keepdims=True, dtype=np.float32)
    dull = np.float32(min(0.7, 0.7 * intensity)) * patch[..., None]
    # Its own grain stays: only what is coarser than that fades.
    rest = (0.5 * flat + 0.5 * pale) + grain_of(surface) - surface.base
    return np.asarray(_lightened(surface, patch * cloud, depth, hue) + dull * rest * 0.6, dtype=np.float32)


def _lightened(surface: Surface, density: FloatMap, depth: float, hue: Absorbance) -> FloatMap:
    # The brightest stay what they are: nothing blooms.
    headroom = np.clip((250 - surface.base) / np.float32(max(40.0, 250 - surface.level)), 0, 1.4)
    lift = np.float32(depth) * density[..., None] * headroom * np.float32(max(surface.level, 25.0))
    return np.asarray(surface.base + lift * (1.5 - 0.5 * tinted(surface, hue)), dtype=np.float32)


def _ground(surface: Surface, intensity: float, rng: np.random.Generator, hue: Absorbance) -> FloatMap:
    """Grind or polish a field otherwise: its lines stand out more, or less, and it shines more, or less."""
    lay = lay_of(surface)
    angle = lay.angle if lay.strength > 0.12 else float(rng.uniform(-np.pi / 2, np.pi / 2))
    # A tool mostly stops across its own direction.
    across = angle + (np.pi / 2 if rng.random() < 0.7 else 0.0) + rng.normal(0, 0.12)
    patch = _front(surface, rng, across) if rng.random() < 0.65 else _patch(surface, rng, (0.1, 0.5))
    depth = surface.depth(intensity, rng.uniform(0.35, 0.55) * busy(surface))
    brighter = lightens(surface, rng, 0.25)
    depth = depth if brighter else share_of_light(depth)
    stronger = rng.random() < 0.4
    texture = surface.base - blur(surface.base, 4.0 * max(1.0, surface.scale))
    # A tool reaches the surface's texture, not what is printed or joined there.
    limit = np.float32(4 * np.median(np.abs(texture[::2, ::2])) + 2)
    texture = np.clip(texture, -limit, limit)
    lines = along_lay(texture, lay, 4 + 10 * surface.scale) if lay.strength > 0.12 else texture
    gain = np.float32(1.6 * min(depth, 1.2) if stronger else -0.8 * min(depth, 1.0))
    marks = streaks(surface.shape, rng, angle=angle, width=2.5 * max(1.0, surface.scale), length=surface.frame.long)
    level = np.float32(max(surface.level, 25.0))
    shine = level * np.float32(depth) * ((0.75 if brighter else -0.75) + (0.28 if stronger else 0.08) * marks)
    headroom = np.clip((250 - surface.base) / np.float32(max(40.0, 250 - surface.level)), 0, 1.3) if brighter else 1.0
    # Light and dark follow the surface's own shading.
    own = np.clip(blur(surface.base, 3.0) / level, 0.4, 1.8)
    return np.asarray(
        surface.base + patch[..., None] * (gain * lines + shine[..., None] * own * headroom), dtype=np.float32
    )


def _heated(surface: Surface, intensity: float, rng: np.random.Generator, hue: Absorbance) -> FloatMap:
    """Scorch: tints nested round where it was hottest, darkest or, on metal, iridescent there."""
    field = blob(surface, rng, fill=(0.7, 1.0), roughness=rng.uniform(0.1, 0.25), detail=1.5)
    size = max(1.0, float(field.max()))
    warp = fractal(surface.shape, rng, cell=max(4.0, size), octaves=3)
    heat = np.clip(field / np.float32(size) + 0.12 * warp, 0, 1)
    depth = share_of_light(surface.depth(intensity, 0.5 * busy(surface)), 0.8)
    # Brightness wavers as films of growing thickness reflect more, then less.
    film = heat**0.6 * (1 + 0.25 * np.cos(np.float32(rng.uniform(5.0, 9.0)) * heat + np.float32(rng.uniform(0, 6.3))))
    density = film * smoothstep(field, 0.0, 0.4 * size)
    if surface.level < 35:
        return _lightened(surface, density, surface.depth(intensity, 0.5 * busy(surface)), hue)
    if surface.base.shape[2] == 1 or rng.random() < 0.35:
        return absorb(surface, density, depth, (0.7, 1.0, 1.3))
    place = heat * (len(_TEMPER) - 1)
    channels = [np.interp(place, range(len(_TEMPER)), [tint[index] for tint in _TEMPER]) for index in range(3)]
    relative = 1 + (np.stack(channels, axis=2).astype(np.float32) - 1) * np.float32(surface.colour)
    passed = np.exp(np.float32(np.log1p(-depth)) * density[..., None] * relative)
    return np.asarray(surface.base * passed + grain_of(surface) * (np.sqrt(passed) - passed), dtype=np.float32)


_CAUSES: MappingProxyType[str, Callable[[Surface, float, np.random.Generator, Absorbance], FloatMap]] = (
    MappingProxyType(
        {
            "grind": _ground,
            "ground": _ground,
            "uneven": _ground,
            "polish": _ground,
            "machin": _ground,
            "burn": _heated,
            "scorch": _heated,
            "heat": _heated,
            "temper": _heated,
            "overheat": _heated,
            "fade": _bleached,
            "fading": _bleached,
            "bleach": _bleached,
            "pale": _bleached,
            "white": _bleached,
            "light": _bleached,
        }
    )
)
