"""Closed outlines by a few numbers, drawn as signed distances only where they are."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fmas.builtin.inpainter.noise import fractal
from fmas.types import FloatMap

__all__ = ["Outline", "lens"]


@dataclass(frozen=True, slots=True)
class Outline:
    """An ellipse whose outline swings.

    Attributes:
        x: Centre, in pixels from the left.
        y: Centre, in pixels from the top.
        radius: Geometric mean of its half axes, in pixels.
        aspect: Long over short axis, at least 1.
        uneven: How far its outline swings, as a share of the radius.
        ragged: Height of fine bumps, as a share of the radius.
    """

    x: float
    y: float
    radius: float
    aspect: float
    uneven: float
    ragged: float

    @property
    def axes(self) -> tuple[float, float]:
        """Half the length of the long and of the short axis, in pixels."""
        return float(self.radius * np.sqrt(self.aspect)), float(self.radius / np.sqrt(self.aspect))

    def moved(self, dx: float, dy: float) -> Outline:
        """Return the same outline elsewhere."""
        return replace(self, x=self.x + dx, y=self.y + dy)

    def raise_in(self, field: FloatMap, rng: np.random.Generator) -> None:
        """Raise a signed distance (positive inside, in pixels) to include this outline, turned at random.

        Args:
            field: ``(h, w)`` float32, written to near the outline only; far below 0 elsewhere.
            rng: Where the randomness comes from.
        """
        long, short = self.axes
        turn, phases = rng.uniform(0, np.pi), rng.uniform(0, 2 * np.pi, 4)
        swings = rng.normal(0, 1, 4) * self.uneven / np.array([1.2, 1.6, 2.4, 3.2])
        reach = long * (1 + 2 * self.uneven + self.ragged) + 4
        rows = slice(int(max(0, self.y - reach)), int(max(0, self.y + reach + 1)))
        columns = slice(int(max(0, self.x - reach)), int(max(0, self.x + reach + 1)))
        height, width = field[rows, columns].shape
        if height == 0 or width == 0:
            return
        dx = (np.arange(width, dtype=np.float32) + np.float32(columns.start - self.x))[None, :]
        dy = (np.arange(height, dtype=np.float32) + np.float32(rows.start - self.y))[:, None]
        cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
        # Powers of a place as a complex number turn with its angle: harmonics without any trigonometry.
        place = (dx * cos + dy * sin) / np.float32(long) + 1j * ((dy * cos - dx * sin) / np.float32(short))
        distance = np.abs(place)
        direction = place / np.maximum(distance, np.float32(1e-3))
        outline, power = np.ones_like(distance), np.ones_like(direction)
        for swing, phase in zip(swings, phases, strict=True):
            power = power * direction
            outline += np.float32(swing) * (power * np.complex64(np.exp(1j * phase))).real
        local = (outline - distance) * np.float32(short)
        if self.ragged > 0 and self.radius > 2:
            bumps = fractal((height, width), rng, cell=max(2.0, 0.8 * short), octaves=3, persistence=0.5)
            local = local + np.float32(self.ragged * short) * bumps
        field[rows, columns] = np.maximum(field[rows, columns], local)


def lens(shape: tuple[int, int], centre: tuple[float, float], axes: tuple[float, float], turn: float) -> FloatMap:
    """Return a sliver with two pointed ends, as a signed distance.

    Args:
        shape: Height and width in pixels.
        centre: x and y, in pixels.
        axes: Half its length and half its width, in pixels; the first is the larger.
        turn: Direction of its length, in radians from the x axis towards the y axis.

    Returns:
        ``(h, w)`` float32, positive inside.
    """
    height, width = shape
    dx = (np.arange(width, dtype=np.float32) - np.float32(centre[0]))[None, :]
    dy = (np.arange(height, dtype=np.float32) - np.float32(centre[1]))[:, None]
    cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    along, across = dx * cos + dy * sin, dy * cos - dx * sin
    # Where two large discs overlap.
    radius = np.float32((axes[0] ** 2 + axes[1] ** 2) / (2 * axes[1]))
    shift = radius - np.float32(axes[1])
    return np.asarray(radius - np.hypot(along, np.abs(across) + shift), dtype=np.float32)
