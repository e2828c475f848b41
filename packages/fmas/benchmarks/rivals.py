"""The three ways to make defects that are used today, each with the numbers its authors published.

- CutPaste scar: C.-L. Li et al., "CutPaste", CVPR 2021, section 3.3 and appendix.
- NSA: H. Schlüter et al., "Natural Synthetic Anomalies", ECCV 2022, section 3 and the settings of its MVTec textures.
- DRAEM: V. Zavrtanik et al., "DRAEM", ICCV 2021, section 3.3.

Written from the papers. All three take a photograph at its own size; lengths that a paper gives in pixels of a
256 x 256 picture are scaled to the photograph's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from texture_sources import altered, noise_grid, turned

from fmas.types import BoolMask, RGBImage

__all__ = ["RIVALS", "Material", "cutpaste_scar", "draem", "nsa"]

REFERENCE_SIDE = 256
"""The papers' pixels are those of pictures of this side."""

ATTEMPTS = 100


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """What a rival may use besides the photograph.

    Attributes:
        others: Photographs of good parts of the same product, ``(H, W, 3)`` uint8, of any sizes.
        foregrounds: Where the product is in each of ``others``, ``(H, W)`` bool.
        textures: Pictures that have nothing to do with the product, ``(h, w, 3)`` uint8.
    """

    others: Sequence[RGBImage]
    foregrounds: Sequence[BoolMask]
    textures: Sequence[RGBImage]


Painted: TypeAlias = tuple[RGBImage, BoolMask]
Rival: TypeAlias = Callable[[RGBImage, BoolMask, Material, np.random.Generator], Painted]


def cutpaste_scar(photograph: RGBImage, foreground: BoolMask, material: Material, rng: np.random.Generator) -> Painted:
    """Paste a thin, turned, slightly re-coloured rectangle of the photograph somewhere else in it.

    Width 2 to 16 pixels, length 10 to 25, turned by -45 to 45 degrees, brightness, contrast, saturation and hue
    changed by up to 0.1; anywhere in the picture, as in the paper.

    Args:
        photograph: ``(H, W, 3)`` uint8.
        foreground: Not used: the paper pastes anywhere.
        material: Not used: the patch comes from the photograph itself.
        rng: The only source of chance.

    Returns:
        The picture and ``(H, W)`` bool, the pasted pixels.
    """
    height, width = photograph.shape[:2]
    scale = np.sqrt(height * width) / REFERENCE_SIDE
    across = int(np.clip(round(rng.uniform(2, 16) * scale), 1, width))
    along = int(np.clip(round(rng.uniform(10, 25) * scale), 1, height))
    top, left = int(rng.integers(height - along + 1)), int(rng.integers(width - across + 1))
    patch = _jittered(photograph[top : top + along, left : left + across], rng)
    angle = rng.uniform(-45, 45)
    patch, opaque = turned(patch, angle), turned(np.full(patch.shape[:2], 255, np.uint8), angle) > 127
    # A turned scar may be wider than a narrow photograph.
    patch, opaque = patch[:height, :width], opaque[:height, :width]
    top = int(rng.integers(height - patch.shape[0] + 1))
    left = int(rng.integers(width - patch.shape[1] + 1))
    result, mask = photograph.copy(), np.zeros((height, width), np.bool_)
    there = (slice(top, top + patch.shape[0]), slice(left, left + patch.shape[1]))
    result[there][opaque] = patch[opaque]
    mask[there] = opaque
    return result, mask


def nsa(photograph: RGBImage, foreground: BoolMask, material: Material, rng: np.random.Generator) -> Painted:
    """Blend up to four patches of other photographs into this one by Poisson's equation.

    Half-widths are 0.03 + Gamma(2, 0.05) of the picture's side, within 0.03..0.4; each patch is resized by
    N(1, 0.5) within 0.5..2; a quarter of it must be product in its own photograph, and a quarter of that must lie on
    product where it goes. The first patch is always tried, each further one with a chance of one half. A pixel is
    defect where the mean change over the channels exceeds one grey level, after a median over 5 x 5.

    Args:
        photograph: ``(H, W, 3)`` uint8.
        foreground: ``(H, W)`` bool.
        material: The other photographs.
        rng: The only source of chance.

    Returns:
        The picture and ``(H, W)`` bool.
    """
    height, width = photograph.shape[:2]
    result, touched = photograph, np.zeros((height, width), np.bool_)
    for number in range(4):
        if number == 0 or rng.random() < 0.5:
            source = int(rng.integers(len(material.others)))
            blended = _blend_one(result, foreground, material.others[source], material.foregrounds[source], rng)
            if blended is not None:
                result, there = blended
                touched |= there
    change = np.abs(result.astype(np.float32) - photograph).mean(axis=2)
    mask = cv2.medianBlur(((change > 1) & touched).astype(np.uint8), 5) > 0
    return np.where(touched[..., None], result, photograph), mask


def draem(photograph: RGBImage, foreground: BoolMask, material: Material, rng: np.random.Generator) -> Painted:
    """Lay a foreign texture, partly transparent, over the photograph where Perlin noise exceeds 0.5.

    Noise of 2^0..2^5 cells along each side, turned by -90 to 90 degrees; three of ten changes to the texture; the
    photograph shows through by 0 to 0.8.

    Args:
        photograph: ``(H, W, 3)`` uint8.
        foreground: Not used: the paper's noise covers all of the picture.
        material: The textures.
        rng: The only source of chance.

    Returns:
        The picture and ``(H, W)`` bool, where the noise exceeded its threshold.
    """
    height, width = photograph.shape[:2]
    texture = material.textures[int(rng.integers(len(material.textures)))]
    texture = altered(np.asarray(cv2.resize(texture, (width, height)), np.uint8), rng)
    if not np.ptp(photograph, axis=2).any():  # a colour would betray itself on a grey photograph
        texture = np.repeat(np.asarray(cv2.cvtColor(texture, cv2.COLOR_RGB2GRAY))[..., None], 3, axis=2)
    cells = 2 ** rng.integers(0, 6, size=2)
    noise = turned(noise_grid((height, width), (int(cells[0]), int(cells[1])), rng), rng.uniform(-90, 90), keep=True)
    mask = noise > 0.5
    opacity = np.float32(1 - 0.8 * rng.random())
    blend = photograph + opacity * (texture.astype(np.float32) - photograph)
    return np.where(mask[..., None], np.clip(np.rint(blend), 0, 255), photograph).astype(np.uint8), mask


RIVALS: Mapping[str, Rival] = MappingProxyType({"cutpaste": cutpaste_scar, "nsa": nsa, "draem": draem})


def _jittered(patch: RGBImage, rng: np.random.Generator) -> RGBImage:
    """Change brightness, contrast, saturation and hue by up to a tenth."""
    colour = patch.astype(np.float32) * np.float32(rng.uniform(0.9, 1.1))
    grey = colour.mean(axis=2, keepdims=True)
    colour = grey.mean() + (colour - grey.mean()) * np.float32(rng.uniform(0.9, 1.1))
    grey = colour.mean(axis=2, keepdims=True)
    colour = np.clip(grey + (colour - grey) * np.float32(rng.uniform(0.9, 1.1)), 0, 255)
    hls = cv2.cvtColor(np.ascontiguousarray(colour / 255, np.float32), cv2.COLOR_RGB2HLS)
    hls[..., 0] = (hls[..., 0] + 360 * rng.uniform(-0.1, 0.1)) % 360
    return np.asarray(np.clip(np.rint(255 * cv2.cvtColor(hls, cv2.COLOR_HLS2RGB)), 0, 255), np.uint8)


def _blend_one(
    photograph: RGBImage, foreground: BoolMask, source: RGBImage, product: BoolMask, rng: np.random.Generator
) -> tuple[RGBImage, BoolMask] | None:
    """Return the photograph with one patch of ``source`` and where it lies, or ``None`` if no place was found."""
    half = np.clip(0.03 + rng.gamma(2, 0.05, size=2), 0.03, 0.4)
    height, width = (max(3, round(float(part * side))) for part, side in zip(2 * half, source.shape, strict=False))
    for _ in range(ATTEMPTS):
        top = int(rng.integers(source.shape[0] - height + 1))
        left = int(rng.integers(source.shape[1] - width + 1))
        own = product[top : top + height, left : left + width]
        if own.mean() > 0.25:
            break
    else:
        return None
    factor = float(np.clip(rng.normal(1, 0.5), 0.5, 2))
    # No larger than four fifths of the picture, as for the largest half-width.
    factor = min(factor, 0.8 * photograph.shape[0] / height, 0.8 * photograph.shape[1] / width)
    size = (max(3, round(width * factor)), max(3, round(height * factor)))
    patch = np.asarray(cv2.resize(source[top : top + height, left : left + width], size), np.uint8)
    own = np.asarray(cv2.resize(own.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0)
    place = _place(foreground, own, rng)
    return None if place is None else _poisson(photograph, foreground, patch, own, place)


def _place(foreground: BoolMask, own: BoolMask, rng: np.random.Generator) -> tuple[slice, slice] | None:
    height, width = own.shape
    for _ in range(ATTEMPTS):
        top = int(rng.integers(foreground.shape[0] - height + 1))
        left = int(rng.integers(foreground.shape[1] - width + 1))
        there = (slice(top, top + height), slice(left, left + width))
        if own.any() and (foreground[there] & own).sum() > 0.25 * own.sum():
            return there
    return None


def _poisson(
    photograph: RGBImage, foreground: BoolMask, patch: RGBImage, own: BoolMask, there: tuple[slice, slice]
) -> tuple[RGBImage, BoolMask] | None:
    wanted = own | foreground[there]
    # OpenCV solves up to the mask's border; the outermost ring stays the photograph's.
    wanted[[0, -1]], wanted[:, [0, -1]] = False, False
    if np.count_nonzero(wanted) < 50:
        return None
    rows, columns = np.flatnonzero(wanted.any(axis=1)), np.flatnonzero(wanted.any(axis=0))
    top, left = there[0].start + rows[0], there[1].start + columns[0]
    # OpenCV centres the mask's bounding box at the point it is given.
    centre = (int(left + (columns[-1] - columns[0] + 1) // 2), int(top + (rows[-1] - rows[0] + 1) // 2))
    framed: NDArray[np.uint8] = np.pad(photograph, ((1, 1), (1, 1), (0, 0)), mode="edge")
    mask = wanted.astype(np.uint8) * np.uint8(255)
    blended = cv2.seamlessClone(patch, framed, mask, (centre[0] + 1, centre[1] + 1), cv2.NORMAL_CLONE)
    touched = np.zeros(foreground.shape, np.bool_)
    touched[there] = wanted
    return np.asarray(blended, np.uint8)[1:-1, 1:-1], touched
