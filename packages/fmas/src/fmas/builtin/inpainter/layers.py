"""Thin layers on a surface: those that swallow light, and those that scatter it."""

from __future__ import annotations

import cv2
import numpy as np

from fmas.builtin.inpainter.filters import blur, mean_channel
from fmas.builtin.inpainter.lay import grain_of
from fmas.builtin.inpainter.surface import Surface
from fmas.types import FloatMap

__all__ = ["Absorbance", "absorb", "busy", "lightens", "scatter", "share_of_light", "tinted", "within_light"]

Absorbance = tuple[float, float, float]
"""How much of red, green and blue a substance absorbs, relative to its mean."""


def share_of_light(depth: float, most: float = 0.85) -> float:
    """Return the fraction of the light a change of ``depth`` takes: the same for small ones, always below ``most``.

    On a dark surface depths exceed 1; a hard limit there would paint every severity alike.
    """
    return float(depth / (1 + (depth / most) ** 4) ** 0.25)


def busy(surface: Surface) -> float:
    """Return how much stronger a wide, soft change must be to be seen on this texture; 1 on a plain surface."""
    return 1 + min(surface.texture, 30.0) / 65


def lightens(surface: Surface, rng: np.random.Generator, middle: float) -> bool:
    """Draw whether a defect of either kind is lighter than its surface: always on black, never on white.

    Args:
        surface: The photograph.
        rng: Where the randomness comes from.
        middle: How probable it is on a surface of middle brightness, 0..1.
    """
    return bool(rng.random() < np.interp(surface.level, [28, 52, 140, 205], [1.0, middle, middle, 0.0]))


def within_light(surface: Surface, painted: FloatMap, intensity: float) -> FloatMap:
    """Keep what is dark near the darkest the surroundings show: where light is dim, black looks stuck on.

    Args:
        surface: The photograph.
        painted: With the defect, ``(h, w, C)`` float32; not written to.
        intensity: Severity times the component's strength; the higher, the further below the surroundings it may go.

    Returns:
        ``(h, w, C)`` float32; what is not darker than the photograph is as it was painted.
    """
    calm = blur(mean_channel(surface.base), 0.8)
    darkest = blur(np.asarray(cv2.erode(calm, np.ones((15, 15), np.uint8)), dtype=np.float32), 5.0)
    lost = np.maximum(surface.base - painted, 0)
    floor = darkest * np.float32(max(0.1, 0.9 - 0.4 * intensity))
    # At least as much as makes a defect of any severity, and never a hard limit: more stays more.
    allowed = np.maximum(surface.base - floor[..., None], np.float32(18 + 30 * intensity))
    kept = lost / (1 + (lost / allowed) ** 4) ** np.float32(0.25)
    return np.asarray(painted + (lost - kept), dtype=np.float32)


def tinted(surface: Surface, colour: Absorbance) -> FloatMap:
    """Return a colour as far as the photograph is in colour, ``(C,)`` float32, mean about 1."""
    if surface.base.shape[2] == 1:
        return np.ones(1, np.float32)
    return 1 + (np.array(colour, np.float32) - 1) * np.float32(surface.colour)


def absorb(surface: Surface, density: FloatMap, depth: float, colour: Absorbance, *, wet: float = 0.0) -> FloatMap:
    """Take light away by Beer and Lambert's law, so that the texture goes on underneath.

    Args:
        surface: The photograph.
        density: Thickness of the layer, ``(h, w)`` float32, about 0..1.
        depth: Fraction of the light that a layer of thickness 1 takes, below 1.
        colour: Relative absorbance of red, green and blue; counts as far as the photograph is in colour.
        wet: How much deeper the texture's own shadows get, 0..1: a film of liquid scatters no light over them.

    Returns:
        The painted window, ``(h, w, C)`` float32.
    """
    passed = np.exp(np.float32(np.log1p(-depth)) * density[..., None] * tinted(surface, colour))
    painted = surface.base * passed
    if wet > 0:
        contrast = surface.base - blur(surface.base, max(2.0, 4.0 * surface.scale))
        painted += contrast * (np.float32(wet) * np.clip(density, 0, 1)[..., None] * passed)
    # The camera's noise lies over the light that arrives: it falls with the root of it, not with it.
    return np.asarray(painted + grain_of(surface) * (np.sqrt(passed) - passed), dtype=np.float32)


def scatter(surface: Surface, density: FloatMap, depth: float, colour: Absorbance) -> FloatMap:
    """Lay a pale veil over the surface, as lime, salt or powder do: it hides by what it scatters itself.

    Args:
        surface: The photograph.
        density: Thickness of the layer, ``(h, w)`` float32, about 0..1.
        depth: How much brighter a layer of thickness 1 makes the surface, as a fraction of its brightness.
        colour: Relative brightness of the veil in red, green and blue.

    Returns:
        The painted window, ``(h, w, C)`` float32.
    """
    pale = np.clip(np.float32(max(150.0, 1.6 * surface.level + 20)) * tinted(surface, colour), 0, 250)
    gap = max(10.0, float(pale.mean()) - surface.level)
    # As much of the veil's own light as makes the asked difference on a surface of middle brightness.
    cover = np.float32(share_of_light(depth * max(surface.level, 25.0) / gap, 0.92)) * np.clip(density, 0, 1)[..., None]
    painted = surface.base + cover * (pale - surface.base)
    return np.asarray(painted + cover * grain_of(surface), dtype=np.float32)
