"""Pictures that a texture fills from border to border: rendered ones, and crops of the photographs in scikit-image."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray
from rendered_parts import LIGHTS, RGB, Field, illumination, smooth_noise

PHOTOGRAPHS = ("brick", "grass", "gravel")
_UNEVEN = (LIGHTS["even"], LIGHTS["gradient"], LIGHTS["vignette"], LIGHTS["spot"])


def _grid(side: int, rng: np.random.Generator) -> tuple[Field, Field]:
    """Return turned coordinates in pixels."""
    y, x = np.mgrid[:side, :side].astype(np.float32)
    angle = rng.uniform(0, np.pi)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return cos * x + sin * y, -sin * x + cos * y


def _wood(side: int, rng: np.random.Generator) -> Field:
    u, v = _grid(side, rng)
    rings = u + side / 14 * smooth_noise(rng, (side, side), side / 2) + 0.02 * v
    fibres = cv2.GaussianBlur(rng.standard_normal((side, side)).astype(np.float32), (0, 0), 0.8)
    return np.asarray(0.6 * np.sin(2 * np.pi * rings / (side / rng.uniform(8, 25))) + 0.6 * fibres, np.float32)


def _leather(side: int, rng: np.random.Generator) -> Field:
    cells = smooth_noise(rng, (side, side), side / rng.uniform(40, 90))
    return np.asarray(-1.5 * np.exp(-np.abs(cells) * 4) + 0.3 * cells, np.float32)


def _carpet(side: int, rng: np.random.Generator) -> Field:
    u, v = _grid(side, rng)
    period = max(4.0, side / rng.uniform(25, 60))
    loops = np.sin(2 * np.pi * u / period) * np.sin(2 * np.pi * v / period)
    return np.asarray(loops + 0.6 * rng.standard_normal((side, side)), np.float32)


def _mesh(side: int, rng: np.random.Generator) -> Field:
    u, v = _grid(side, rng)
    period = side / rng.uniform(6, 16)
    wires = np.minimum(np.abs(u % period - period / 2), np.abs(v % period - period / 2))
    return np.asarray(2 * np.clip(1.5 - wires / (period / 10), -0.5, 1), np.float32)


def _terrazzo(side: int, rng: np.random.Generator) -> Field:
    field = np.zeros((side, side), np.float32)
    for size in (12, 25, 50):
        field += (smooth_noise(rng, (side, side), side / size) > 0.9) * rng.uniform(-2, 2)
    return field


def _brushed(side: int, rng: np.random.Generator) -> Field:
    lines = cv2.GaussianBlur(rng.standard_normal((side, side)).astype(np.float32), (0, 0), sigmaX=side / 6, sigmaY=0.8)
    lines /= lines.std()
    return lines if rng.random() < 0.5 else np.ascontiguousarray(lines.T)


def _stripes(side: int, rng: np.random.Generator) -> Field:
    return np.asarray(np.sin(2 * np.pi * _grid(side, rng)[0] / (side / rng.uniform(5, 30))), np.float32)


def _check(side: int, rng: np.random.Generator) -> Field:
    u, v = _grid(side, rng)
    period = side / rng.uniform(6, 20)
    return np.asarray(np.sign(np.sin(2 * np.pi * u / period) * np.sin(2 * np.pi * v / period)), np.float32)


def _joints(side: int, rng: np.random.Generator) -> Field:
    u, v = _grid(side, rng)
    period, wide = side / rng.uniform(3, 7), rng.uniform(0.03, 0.07)
    return np.asarray(np.where((u % period < wide * period) | (v % period < wide * period), -2.0, 0.0), np.float32)


def _concrete(side: int, rng: np.random.Generator) -> Field:
    return np.asarray(
        sum(smooth_noise(rng, (side, side), side / n) * (4 / n) ** 0.5 for n in (4, 9, 25, 80)), np.float32
    )


def _flecks(side: int, rng: np.random.Generator) -> Field:
    return np.asarray(2 * (smooth_noise(rng, (side, side), side / rng.uniform(30, 70)) > 1.6), np.float32)


def _plain(side: int, rng: np.random.Generator) -> Field:
    return np.zeros((side, side), np.float32)


TEXTURES: dict[str, Callable[[int, np.random.Generator], Field]] = {
    "wood": _wood, "leather": _leather, "carpet": _carpet, "mesh": _mesh, "terrazzo": _terrazzo, "brushed": _brushed,
    "stripes": _stripes, "check": _check, "joints": _joints, "concrete": _concrete, "flecks": _flecks, "plain": _plain,
}  # fmt: skip


def render_texture(kind: str, *, side: int, seed: int) -> RGB:
    """Return a texture of ``kind`` under some uneven light, ``(side, side, 3)`` uint8, grey or coloured."""
    rng = np.random.default_rng([seed, *kind.encode()])
    base = rng.uniform(40, 215) * (1 + rng.uniform(-0.25, 0.25, 3) * (rng.random() < 0.6))
    field = TEXTURES[kind](side, rng)
    light = illumination(rng, side, _UNEVEN[int(rng.integers(len(_UNEVEN)))])
    scene = base.astype(np.float32) * ((1 + rng.uniform(0.08, 0.25) * field) * light)[..., None]
    noisy = scene + rng.normal(0, 2.5, (side, side, 1))
    return np.asarray(np.clip(np.rint(noisy), 0, 255), np.uint8)


def stored_photograph(name: str) -> RGB:
    """Return one of scikit-image's own grey photographs as RGB."""
    from skimage import data

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        grey: NDArray[np.uint8] = getattr(data, name)()
    return np.repeat(grey[..., None], 3, axis=2)


def photograph_crops(name: str, count: int, *, seed: int) -> Iterator[RGB]:
    """Yield crops of 64 to 512 pixels, each side drawn by itself, half of them enlarged or reduced."""
    photograph = stored_photograph(name)
    rng = np.random.default_rng([seed, *name.encode()])
    for _ in range(count):
        height, width = (int(np.exp(rng.uniform(np.log(64), np.log(513)))) for _ in range(2))
        y, x = int(rng.integers(0, 513 - height)), int(rng.integers(0, 513 - width))
        crop = photograph[y : y + height, x : x + width]
        if rng.random() < 0.5:
            factor = float(np.exp(rng.uniform(np.log(0.6), np.log(3))))
            crop = cv2.resize(crop, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
        yield np.ascontiguousarray(crop)
