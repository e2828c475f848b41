"""The photograph around one region, measured once: what every renderer matches itself to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from fmas.builtin.inpainter.filters import blur, mean_channel
from fmas.builtin.inpainter.grain import estimate_softness
from fmas.builtin.inpainter.light import light_direction
from fmas.types import BoolMask, FloatMap, InpaintJob

__all__ = ["Frame", "Surface", "measure"]

ScalarT = TypeVar("ScalarT", bound=np.generic)

SAMPLE = 8192
"""Pixels that a median is taken of."""

SIDE = 192
"""Pixels a side of the part in which sharpness and texture are measured."""


@dataclass(frozen=True, slots=True)
class Frame:
    """How a region lies: the box around it along its own main axis.

    Attributes:
        x: Centre, in pixels from the left.
        y: Centre, in pixels from the top.
        ux: Unit vector of the long axis, rightward part.
        uy: Unit vector of the long axis, downward part.
        long: Half the length along the long axis, in pixels, at least 0.5.
        short: Half the length across, in pixels, at least 0.5.
    """

    x: float
    y: float
    ux: float
    uy: float
    long: float
    short: float


@dataclass(frozen=True, slots=True, eq=False)
class Surface:
    """A window of the photograph with its measurements; ``(h, w)`` is the region's box and some context.

    Attributes:
        base: The photograph, ``(h, w, C)`` float32, 0..255; ``C`` is 1 for a grey photograph (R = G = B), else 3.
        whole: As ``base``; the whole window still where this surface is a part of one.
        region: ``(h, w)`` bool, where paint may go.
        foreground: ``(h, w)`` bool, the product.
        room: Distance to the nearest pixel outside the region, ``(h, w)`` float32, in pixels; 0 outside. The picture's
            border counts as outside.
        free: As ``room``, but only the product beside the region counts as outside, neither the picture's border nor
            the background: how far a thing may go that does not end there.
        frame: How the region lies.
        light: Unit vector (x right, y down) towards the light.
        level: Median brightness of the product inside the region, 0..255.
        texture: How uneven the surface is by itself, in grey levels: mean distance from its surroundings.
        softness: Blur of the photograph, sigma in pixels.
        colour: 0 for a grey photograph .. 1 for a colourful one; how far a tint may go.
        scale: Pixels per pixel of a 250 px photograph: what a thickness is multiplied by.
    """

    base: FloatMap
    whole: FloatMap
    region: BoolMask
    foreground: BoolMask
    room: FloatMap
    free: FloatMap
    frame: Frame
    light: tuple[float, float]
    level: float
    texture: float
    softness: float
    colour: float
    scale: float

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the window."""
        return self.room.shape[0], self.room.shape[1]

    @property
    def reach(self) -> float:
        """Radius of the largest disc that fits into the region, in pixels."""
        return float(self.room.max())

    @property
    def sheen(self) -> float:
        """What to add to a dark surface's brightness before a slope scales it, in grey levels.

        A slope on black still mirrors some of the lamp; without this, nothing on it could be seen.
        """
        return max(0.0, 32.0 - self.level)

    def depth(self, intensity: float, full: float) -> float:
        """Translate an intensity into a relative change of brightness.

        Args:
            intensity: Severity times the component's strength, in ``[0, 2]``.
            full: The change at intensity 1, as a fraction of the surface's brightness.

        Returns:
            A fraction that rises with intensity: nine grey levels at 0, a little more on a busy texture, and ``full``
            (more on a dark surface) at 1.
        """
        level = max(self.level, 25.0)
        hidden = min(self.texture, 30.0)  # what a texture swallows of a mark
        least, most = (9.0 + 0.15 * hidden) / level, max(full, (30.0 + hidden) / level)
        return float(least + (most - least) * intensity**1.3)

    def opened(self) -> Surface:
        """Return this surface for something that runs out over the picture's border and the product's outline.

        Its room is what is free; its frame reaches out by as much as the region's radius where nothing is in the way.
        """
        if np.array_equal(self.room, self.free):
            return self
        return replace(self, room=self.free, frame=_grown_frame(self))

    def cut(self, x: float, y: float, radius: float) -> tuple[Surface, tuple[slice, slice]]:
        """Return the part of the window within ``radius`` pixels of a place, for small things in large regions.

        Where it lies in this window comes with it.
        """
        height, width = self.shape
        rows = slice(int(np.clip(y - radius, 0, height - 1)), int(np.clip(y + radius + 1, 1, height)))
        columns = slice(int(np.clip(x - radius, 0, width - 1)), int(np.clip(x + radius + 1, 1, width)))
        return self.part((rows, columns)), (rows, columns)

    def part(self, window: tuple[slice, slice]) -> Surface:
        """Return a part of the window; its ``frame`` counts from its own corner."""
        return replace(
            self,
            base=self.base[window],
            region=self.region[window],
            foreground=self.foreground[window],
            room=self.room[window],
            free=self.free[window],
            frame=replace(self.frame, x=self.frame.x - window[1].start, y=self.frame.y - window[0].start),
        )


def measure(job: InpaintJob) -> tuple[Surface, tuple[slice, slice]]:
    """Cut the region's box out of a job's photograph, with some context, and measure it.

    Args:
        job: What to paint; ``job.image`` is ``(H, W, 3)`` uint8 and is not written to.

    Returns:
        The surface, and where in the photograph it was cut from (rows, columns).
    """
    left, top, width, height = cv2.boundingRect(job.region.astype(np.uint8))
    pad = 8 + round(0.15 * max(width - 1, height - 1))
    window = (_widened(top, height, pad, job.region.shape[0]), _widened(left, width, pad, job.region.shape[1]))
    region, foreground = job.region[window], job.foreground[window]
    patch = job.image[window]

    step = max(1, min(job.region.shape) // 64)
    coarse = job.image[::step, ::step]
    chroma = max(_chroma(coarse), _chroma(patch[:: max(1, step // 4), :: max(1, step // 4)]))
    grey = chroma < 1.0 and bool((patch[..., 0] == patch[..., 1]).all() and (patch[..., 0] == patch[..., 2]).all())
    base = (patch[..., :1] if grey else patch).astype(np.float32)

    luminance, room = mean_channel(base), _room(region)
    on_product = region & foreground
    sample = luminance[on_product if on_product.any() else region]
    surface = Surface(
        base=base,
        whole=base,
        region=region,
        foreground=foreground,
        room=room,
        free=_free(region, foreground, room),
        frame=_frame(region),
        light=light_direction(mean_channel(coarse.astype(np.float32)), job.foreground[::step, ::step]),
        level=round(float(np.median(sample[:: max(1, sample.size // SAMPLE)])), 2),
        texture=_texture(luminance, on_product),
        softness=estimate_softness(_middle(luminance)),
        colour=float(np.clip((chroma - 2.0) / 10.0, 0, 1)),
        scale=float(np.sqrt(job.region.size)) / 250.0,
    )
    return surface, window


def _widened(start: int, length: int, pad: int, size: int) -> slice:
    return slice(max(0, start - pad), min(size, start + length + pad))


def _middle(luminance: NDArray[ScalarT]) -> NDArray[ScalarT]:
    """Cut out at most ``SIDE`` x ``SIDE`` pixels: enough to measure on, whatever the window's size."""
    top, left = (max(0, (side - SIDE) // 2) for side in luminance.shape)
    return luminance[top : top + SIDE, left : left + SIDE]


def _chroma(patch: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> float:
    """Return the mean distance between the largest and the smallest channel, in grey levels."""
    red, green, blue = patch[..., 0], patch[..., 1], patch[..., 2]
    spread = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    return round(float(spread.mean()), 2)


def _texture(luminance: FloatMap, on_product: BoolMask) -> float:
    """Return the surface's own unevenness: the mean distance of pixels from their surroundings, in grey levels."""
    patch, counts = _middle(luminance), _middle(on_product)
    distance = np.abs(patch - blur(patch, 3.0))
    return round(float(distance[counts if counts.any() else ...].mean()), 2)


def _room(region: BoolMask) -> FloatMap:
    # The picture's border counts as the region's border: a defect that ends at it would look cut off.
    framed = np.pad(region.astype(np.uint8), 1)
    return np.asarray(cv2.distanceTransform(framed, cv2.DIST_L2, 5)[1:-1, 1:-1], dtype=np.float32)


def _free(region: BoolMask, foreground: BoolMask, room: FloatMap) -> FloatMap:
    beside = foreground & ~region
    at_border = any(side.any() for side in (region[0], region[-1], region[:, 0], region[:, -1]))
    grown = cv2.dilate(region.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    if not at_border and not (grown & ~region & ~foreground).any():
        return room
    far = np.float32(2 * room.max())
    if not beside.any():
        return np.full(region.shape, far)
    away = cv2.distanceTransform((~beside).astype(np.uint8), cv2.DIST_L2, 5)
    return np.asarray(np.minimum(away, far), dtype=np.float32)


def _grown_frame(surface: Surface) -> Frame:
    """Return the frame of the region and of what lies beyond its open borders, as far as the region's radius."""
    reach = max(1, int(surface.reach))
    step = max(1, reach // 8)
    region = np.pad(surface.region[::step, ::step], reach // step)
    beside = np.pad((surface.foreground & ~surface.region)[::step, ::step], reach // step)
    radius = max(1, reach // step)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    grown = (cv2.dilate(region.astype(np.uint8), disc) > 0) & ~beside
    coarse = _frame(np.asarray(grown if grown.any() else region))
    shift = radius * step
    return Frame(
        coarse.x * step - shift, coarse.y * step - shift, coarse.ux, coarse.uy, coarse.long * step, coarse.short * step
    )


def _frame(region: BoolMask) -> Frame:
    area = region.astype(np.uint8)
    moments = cv2.moments(area, binaryImage=True)
    mean_x, mean_y = moments["m10"] / moments["m00"], moments["m01"] / moments["m00"]
    # Sums of whole numbers: the same on every machine.
    angle = round(0.5 * float(np.arctan2(2 * moments["mu11"], moments["mu20"] - moments["mu02"])), 4)
    ux, uy = float(np.cos(angle)), float(np.sin(angle))
    # The outline alone reaches as far as the whole.
    outlines, _ = cv2.findContours(area, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    points = np.concatenate(outlines)[:, 0, :].astype(np.float64)
    x, y = points[:, 0] - mean_x, points[:, 1] - mean_y
    u, v = x * ux + y * uy, y * ux - x * uy
    middle_u, middle_v = (u.max() + u.min()) / 2, (v.max() + v.min()) / 2
    return Frame(
        x=float(mean_x + middle_u * ux - middle_v * uy),
        y=float(mean_y + middle_u * uy + middle_v * ux),
        ux=ux,
        uy=uy,
        long=max(0.5, float(np.ptp(u)) / 2 + 0.5),
        short=max(0.5, float(np.ptp(v)) / 2 + 0.5),
    )
