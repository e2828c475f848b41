"""The photograph around one region, measured once: what every renderer matches itself to."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from fmas.builtin.inpainter.filters import mean_channel
from fmas.builtin.inpainter.grain import estimate_softness
from fmas.builtin.inpainter.light import light_direction
from fmas.types import BoolMask, FloatMap, InpaintJob

__all__ = ["Frame", "Surface", "measure"]


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
        region: ``(h, w)`` bool, where paint may go.
        foreground: ``(h, w)`` bool, the product.
        room: Distance to the nearest pixel outside the region, ``(h, w)`` float32, in pixels; 0 outside.
        frame: How the region lies.
        light: Unit vector (x right, y down) towards the light.
        level: Median brightness of the product inside the region, 0..255.
        softness: Blur of the photograph, sigma in pixels.
        colour: 0 for a grey photograph .. 1 for a colourful one; how far a tint may go.
        scale: Pixels per pixel of a 250 px photograph: what a thickness is multiplied by.
    """

    base: FloatMap
    region: BoolMask
    foreground: BoolMask
    room: FloatMap
    frame: Frame
    light: tuple[float, float]
    level: float
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

    def depth(self, intensity: float, full: float) -> float:
        """Translate an intensity into a relative change of brightness.

        Args:
            intensity: Severity times the component's strength, in ``[0, 2]``.
            full: The change at intensity 1, as a fraction of the surface's brightness.

        Returns:
            A fraction that rises with intensity: twelve grey levels at 0, ``full`` (more on a dark surface) at 1.
        """
        level = max(self.level, 25.0)
        least, most = 12.0 / level, max(full, 30.0 / level)
        return float(least + (most - least) * intensity**1.3)


def measure(job: InpaintJob) -> tuple[Surface, tuple[slice, slice]]:
    """Cut the region's box out of a job's photograph, with some context, and measure it.

    Args:
        job: What to paint; ``job.image`` is ``(H, W, 3)`` uint8 and is not written to.

    Returns:
        The surface, and where in the photograph it was cut from (rows, columns).
    """
    rows, columns = np.flatnonzero(job.region.any(axis=1)), np.flatnonzero(job.region.any(axis=0))
    pad = 8 + round(0.15 * max(rows[-1] - rows[0], columns[-1] - columns[0]))
    window = (_widened(rows, pad, job.region.shape[0]), _widened(columns, pad, job.region.shape[1]))
    region, foreground = job.region[window], job.foreground[window]
    patch = job.image[window]

    step = max(1, min(job.region.shape) // 64)
    coarse = job.image[::step, ::step]
    chroma = max(_chroma(coarse), _chroma(patch[:: max(1, step // 4), :: max(1, step // 4)]))
    grey = chroma < 1.0 and bool((patch[..., 0] == patch[..., 1]).all() and (patch[..., 0] == patch[..., 2]).all())
    base = (patch[..., :1] if grey else patch).astype(np.float32)

    luminance = mean_channel(base)
    on_product = region & foreground
    height, width = job.region.shape
    surface = Surface(
        base=base,
        region=region,
        foreground=foreground,
        room=_room(region),
        frame=_frame(region),
        light=light_direction(coarse.mean(axis=2, dtype=np.float32), job.foreground[::step, ::step]),
        level=round(float(np.median(luminance[on_product if on_product.any() else region])), 2),
        softness=estimate_softness(luminance),
        colour=float(np.clip((chroma - 2.0) / 10.0, 0, 1)),
        scale=float(np.sqrt(height * width)) / 250.0,
    )
    return surface, window


def _widened(indices: np.ndarray[tuple[int], np.dtype[np.intp]], pad: int, size: int) -> slice:
    return slice(max(0, int(indices[0]) - pad), min(size, int(indices[-1]) + 1 + pad))


def _chroma(patch: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> float:
    """Return the mean distance between the largest and the smallest channel, in grey levels."""
    return round(float(np.ptp(patch, axis=2).mean()), 2)


def _room(region: BoolMask) -> FloatMap:
    # The picture's border counts as the region's border: a defect that ends at it would look cut off.
    framed = np.pad(region.astype(np.uint8), 1)
    return np.asarray(cv2.distanceTransform(framed, cv2.DIST_L2, 5)[1:-1, 1:-1], dtype=np.float32)


def _frame(region: BoolMask) -> Frame:
    rows, columns = np.nonzero(region)
    cx, cy = float(columns.mean()), float(rows.mean())
    x, y = columns - cx, rows - cy
    xx, yy, xy = float((x * x).mean()), float((y * y).mean()), float((x * y).mean())
    angle = round(0.5 * float(np.arctan2(2 * xy, xx - yy)), 4)
    ux, uy = float(np.cos(angle)), float(np.sin(angle))
    u, v = x * ux + y * uy, y * ux - x * uy
    middle_u, middle_v = (u.max() + u.min()) / 2, (v.max() + v.min()) / 2
    return Frame(
        x=float(cx + middle_u * ux - middle_v * uy),
        y=float(cy + middle_u * uy + middle_v * ux),
        ux=ux,
        uy=uy,
        long=max(0.5, float(np.ptp(u)) / 2 + 0.5),
        short=max(0.5, float(np.ptp(v)) / 2 + 0.5),
    )
