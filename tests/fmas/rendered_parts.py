"""Photograph-like pictures of parts whose true masks are known: every kind of part in every light.

A *kind* is a silhouette drawn into a square of side 1 with its own surface; a *light* is a ground, a part's colour and
what light and camera do to both. ``render_part("nut", "cast shadow", side=300, seed=0)`` returns picture and mask.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

RGB = NDArray[np.uint8]
Field = NDArray[np.float32]
Canvas = NDArray[np.uint8]

_FINE = 4  # silhouettes are drawn at this many times the picture's side


# Silhouettes


def _polygon(canvas: Canvas, points: NDArray[np.float64], value: int = 255) -> None:
    cv2.fillPoly(canvas, [np.round(points * canvas.shape[0]).astype(np.int32)], value)


def _ring(n: int, radius: float, phase: float = 0.0, centre: tuple[float, float] = (0.5, 0.5)) -> NDArray[np.float64]:
    angle = 2 * np.pi * np.arange(n) / n + phase
    return np.stack([centre[0] + radius * np.cos(angle), centre[1] + radius * np.sin(angle)], axis=1)


def _turned(points: list[tuple[float, float]], angle: float) -> NDArray[np.float64]:
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (np.array(points) - 0.5) @ turn.T + 0.5


def _disc(canvas: Canvas, rng: np.random.Generator) -> None:
    _polygon(canvas, _ring(120, rng.uniform(0.2, 0.46)))


def _washer(canvas: Canvas, rng: np.random.Generator) -> None:
    outer = rng.uniform(0.28, 0.45)
    _polygon(canvas, _ring(120, outer))
    _polygon(canvas, _ring(90, outer * rng.uniform(0.3, 0.75)), 0)


def _nut(canvas: Canvas, rng: np.random.Generator) -> None:
    _polygon(canvas, _ring(6, 0.38, rng.uniform(0, 1)))
    _polygon(canvas, _ring(60, rng.uniform(0.12, 0.22)), 0)


def _gear(canvas: Canvas, rng: np.random.Generator) -> None:
    teeth = int(rng.integers(10, 28))
    angle = np.linspace(0, 2 * np.pi, 900, endpoint=False)
    radius = 0.36 + 0.035 * np.clip(2.5 * np.sin(teeth * angle), -1, 1)
    _polygon(canvas, np.stack([0.5 + radius * np.cos(angle), 0.5 + radius * np.sin(angle)], axis=1))
    _polygon(canvas, _ring(60, 0.09), 0)


def _screw(canvas: Canvas, rng: np.random.Generator) -> None:
    along = np.linspace(0.26, 0.82, 200)
    half = 0.05 + 0.013 * np.sign(np.sin(2 * np.pi * along / 0.028))
    shank = [*zip(along, 0.5 - half, strict=True), (0.9, 0.5), *zip(along[::-1], 0.5 + half[::-1], strict=True)]
    angle = rng.uniform(0, np.pi)
    _polygon(
        canvas, _turned([(0.12, 0.39), (0.18, 0.37), (0.27, 0.45), (0.27, 0.55), (0.18, 0.63), (0.12, 0.61)], angle)
    )
    _polygon(canvas, _turned(shank, angle))


def _bracket(canvas: Canvas, rng: np.random.Generator) -> None:
    angle = rng.uniform(-0.2, 0.2)
    _polygon(canvas, _turned([(0.2, 0.15), (0.42, 0.15), (0.42, 0.6), (0.85, 0.6), (0.85, 0.82), (0.2, 0.82)], angle))
    for x, y in ((0.31, 0.25), (0.31, 0.72), (0.75, 0.71)):
        _polygon(canvas, _ring(40, 0.05, centre=tuple(_turned([(x, y)], angle)[0])), 0)


def _comb(canvas: Canvas, rng: np.random.Generator) -> None:
    _polygon(canvas, np.array([[0.12, 0.18], [0.88, 0.18], [0.88, 0.36], [0.12, 0.36]]))
    teeth = int(rng.integers(8, 15))
    for left in np.linspace(0.12, 0.88 - 0.38 / teeth, teeth):
        _polygon(canvas, np.array([[left, 0.3], [left + 0.38 / teeth, 0.3], [left + 0.38 / teeth, 0.8], [left, 0.8]]))


def _wire(canvas: Canvas, rng: np.random.Generator) -> None:
    x = np.linspace(0.1, 0.9, 200)
    y = 0.5 + 0.2 * np.sin(rng.uniform(4, 9) * x + rng.uniform(0, 6))
    points = np.round(np.stack([x, y], axis=1) * canvas.shape[0]).astype(np.int32)
    cv2.polylines(canvas, [points], False, 255, max(2, round(rng.uniform(0.016, 0.03) * canvas.shape[0])))


def _needle(canvas: Canvas, rng: np.random.Generator) -> None:
    angle, half = rng.uniform(0, np.pi), rng.uniform(0.008, 0.014)
    _polygon(
        canvas,
        _turned([(0.08, 0.5 - half), (0.8, 0.5 - half), (0.93, 0.5), (0.8, 0.5 + half), (0.08, 0.5 + half)], angle),
    )


def _pills(canvas: Canvas, rng: np.random.Generator) -> None:
    side = canvas.shape[0]
    for x, y in ((0.25, 0.27), (0.7, 0.3), (0.3, 0.74), (0.72, 0.72)):
        centre = ((x + rng.uniform(-0.04, 0.04)) * side, (y + rng.uniform(-0.04, 0.04)) * side)
        axes = (rng.uniform(0.24, 0.34) * side, rng.uniform(0.15, 0.22) * side)
        cv2.ellipse(canvas, (centre, axes, rng.uniform(0, 180)), 255, -1)


def _frame(canvas: Canvas, rng: np.random.Generator) -> None:
    angle, wide = rng.uniform(-0.4, 0.4), rng.uniform(0.05, 0.1)
    _polygon(canvas, _turned([(0.17, 0.22), (0.83, 0.22), (0.83, 0.78), (0.17, 0.78)], angle))
    low, high = 0.17 + wide, 0.83 - wide
    _polygon(
        canvas, _turned([(low, 0.22 + wide), (high, 0.22 + wide), (high, 0.78 - wide), (low, 0.78 - wide)], angle), 0
    )


def _stone(canvas: Canvas, rng: np.random.Generator) -> None:
    angle = np.linspace(0, 2 * np.pi, 300, endpoint=False)
    radius = 0.33 + sum(rng.uniform(-0.035, 0.035) * np.cos(k * angle + rng.uniform(0, 6)) for k in range(1, 6))
    _polygon(canvas, np.stack([0.5 + radius * np.cos(angle), 0.5 + radius * np.sin(angle)], axis=1))


def _transistor(canvas: Canvas, rng: np.random.Generator) -> None:
    _polygon(canvas, np.array([[0.3, 0.15], [0.7, 0.15], [0.7, 0.5], [0.3, 0.5]]))
    for x in (0.37, 0.5, 0.63):
        bend = rng.uniform(-0.02, 0.02)
        _polygon(canvas, np.array([[x - 0.02, 0.48], [x + 0.02, 0.48], [x + 0.02 + bend, 1], [x - 0.02 + bend, 1]]))


def _bottle(canvas: Canvas, rng: np.random.Generator) -> None:
    outline = [(0.43, 0.1), (0.57, 0.1), (0.6, 0.35), (0.72, 0.45), (0.72, 1.1), (0.28, 1.1), (0.28, 0.45), (0.4, 0.35)]
    _polygon(canvas, np.array(outline) + np.array([rng.uniform(-0.08, 0.08), 0.0]))


def _bar(canvas: Canvas, rng: np.random.Generator) -> None:
    low, high, tilt = rng.uniform(0.25, 0.4), rng.uniform(0.6, 0.75), rng.uniform(-0.1, 0.1)
    bar = np.array([[-0.02, low - tilt], [1.02, low + tilt], [1.02, high + tilt], [-0.02, high - tilt]])
    _polygon(canvas, bar if rng.random() < 0.5 else bar[:, ::-1].copy())


def _corner(canvas: Canvas, rng: np.random.Generator) -> None:
    a, b = rng.uniform(0.45, 0.68, 2)
    points = np.array([[-0.02, -0.02], [a, -0.02], [a - 0.1, b - 0.08], [-0.02, b]])
    _polygon(canvas, points if rng.random() < 0.5 else 1 - points)


def _block(canvas: Canvas, rng: np.random.Generator) -> None:
    """Cut by the border on three sides."""
    top, tilt = rng.uniform(0.3, 0.55), rng.uniform(-0.06, 0.06)
    _polygon(canvas, np.array([[-0.02, top - tilt], [1.02, top + tilt], [1.02, 1.02], [-0.02, 1.02]]))


KINDS: dict[str, Callable[[Canvas, np.random.Generator], None]] = {
    "disc": _disc, "washer": _washer, "nut": _nut, "gear": _gear, "screw": _screw, "bracket": _bracket, "comb": _comb,
    "wire": _wire, "needle": _needle, "pills": _pills, "frame": _frame, "stone": _stone, "transistor": _transistor,
    "bottle": _bottle, "bar": _bar, "corner": _corner, "block": _block,
}  # fmt: skip


# Lights


@dataclass(frozen=True, slots=True)
class Light:
    """What stands behind a part, and what light and camera do to it.

    Attributes:
        ground: Mean colour of the background, RGB 0..255.
        part: Mean colour of the part.
        gradient: Relative fall of the light from one side to the other.
        vignette: Relative darkening in the corners.
        spot: Relative strength of a bright spot of light somewhere.
        shadow: Darkening under the shadow that the part casts.
        weave: Relative contrast of the ground's own structure (see :data:`GROUNDS`).
        structure: Which one.
        gloss: Strength of specular highlights on the part, in grey levels.
        curve: How much darker the part gets towards its outline, relative.
        marks: Contrast of the part's own markings, relative.
        noise: Sigma of the sensor's noise, grey levels.
        jpeg: Quality, or 0 for none.
    """

    ground: tuple[int, int, int]
    part: tuple[int, int, int]
    gradient: float = 0.1
    vignette: float = 0.0
    spot: float = 0.0
    shadow: float = 0.0
    weave: float = 0.02
    structure: str = "grain"
    gloss: float = 0.0
    curve: float = 0.2
    marks: float = 0.15
    noise: float = 2.5
    jpeg: int = 0


LIGHTS: dict[str, Light] = {
    "even": Light((215, 216, 214), (95, 95, 98)),
    "dark field": Light((22, 22, 25), (150, 150, 150), gloss=60, marks=0.3),
    "gradient": Light((190, 190, 190), (85, 85, 88), gradient=0.6),
    "vignette": Light((170, 172, 170), (70, 65, 60), vignette=0.5),
    "spot": Light((90, 92, 96), (185, 170, 140), spot=0.6, gradient=0.2),
    "cast shadow": Light((205, 205, 200), (110, 75, 45), shadow=0.35, gradient=0.15),
    "noise and jpeg": Light((70, 70, 70), (150, 150, 150), noise=16, jpeg=60, gradient=0.2),
    "faint": Light((120, 120, 120), (152, 152, 152), marks=0.05, curve=0.05),
    "colour on grey": Light((128, 128, 128), (165, 70, 60), gradient=0.3, gloss=60, shadow=0.2),
    "grey on colour": Light((60, 120, 80), (170, 168, 160), gradient=0.3, vignette=0.1),
    "white on white": Light((222, 222, 219), (247, 246, 244), shadow=0.3, marks=0.01, curve=0.03, gradient=0.05),
    "dark on dark": Light((18, 18, 18), (52, 50, 48), marks=0.3, gloss=50, noise=2),
    "on cloth": Light((150, 140, 120), (60, 70, 110), weave=0.15, structure="cloth", gradient=0.2, shadow=0.2),
    "on brushed metal": Light((150, 150, 152), (60, 58, 55), weave=0.1, structure="brushed", gradient=0.3),
    "on a belt": Light((55, 60, 58), (170, 165, 150), weave=0.3, structure="belt", gradient=0.3, jpeg=75),
    "shiny": Light((60, 62, 70), (140, 140, 142), gloss=110, marks=0.35, gradient=0.2, vignette=0.15),
    "two-tone": Light((200, 200, 205), (120, 60, 50), marks=0.7, shadow=0.15),
}


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], cell: float) -> Field:
    """Return noise of unit variance or so whose blobs are about ``cell`` pixels wide."""
    height, width = shape
    coarse = rng.standard_normal((int(height / cell) + 3, int(width / cell) + 3)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC))


def _grain(rng: np.random.Generator, side: int) -> Field:
    return smooth_noise(rng, (side, side), 2)


def _cloth(rng: np.random.Generator, side: int) -> Field:
    y, x = np.mgrid[:side, :side].astype(np.float32)
    period = max(4.0, side / rng.uniform(45, 75))
    warp = smooth_noise(rng, (side, side), side / 5)
    return np.asarray(np.sin(2 * np.pi * x / period + warp) * np.sin(2 * np.pi * y / period + warp), np.float32)


def _brushed(rng: np.random.Generator, side: int) -> Field:
    lines = cv2.GaussianBlur(rng.standard_normal((side, side)).astype(np.float32), (0, 0), sigmaX=side / 8, sigmaY=0.8)
    lines /= lines.std()
    return np.asarray(lines if rng.random() < 0.5 else lines.T, np.float32)


def _belt(rng: np.random.Generator, side: int) -> Field:
    return np.asarray(np.clip(smooth_noise(rng, (side, side), max(2.0, side / 120)), -1.5, 2.5) * 0.7, np.float32)


GROUNDS: dict[str, Callable[[np.random.Generator, int], Field]] = {
    "grain": _grain, "cloth": _cloth, "brushed": _brushed, "belt": _belt,
}  # fmt: skip


def illumination(rng: np.random.Generator, side: int, light: Light) -> Field:
    """Return the factor, ``(side, side)``, that an uneven lamp and a lens multiply a scene with."""
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    ramp = (np.cos(angle) * x + np.sin(angle) * y) / 1.42
    field = (1 + light.gradient * ramp) * (1 - light.vignette * (x**2 + y**2) / 2)
    if light.spot:
        cx, cy = rng.uniform(-0.7, 0.7, 2)
        field = field * (1 + light.spot * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 0.8))
    return np.asarray(field, np.float32)


def _surface(rng: np.random.Generator, side: int, light: Light, coverage: Field) -> Field:
    """Return the part's own colours, ``(side, side, 3)``: curvature, grain, markings and highlights."""
    depth = cv2.distanceTransform((coverage > 0.5).astype(np.uint8), cv2.DIST_L2, 3)
    depth = depth / max(float(depth.max()), 1.0)
    curved = 1.02 - light.curve * (0.7 - np.sqrt(depth))
    marks = cv2.GaussianBlur((smooth_noise(rng, (side, side), side / 6) > 0.8).astype(np.float32), (0, 0), 1.0)
    grain = 0.03 * smooth_noise(rng, (side, side), max(2, side // 100))
    colour = np.asarray(light.part, np.float32) * (curved * (1 + grain) * (1 - light.marks * marks))[..., None]
    if light.gloss:
        shine = np.clip(smooth_noise(rng, (side, side), side / 8) - 1.0, 0, 1) * (depth > 0.25)
        colour += light.gloss * cv2.GaussianBlur(shine.astype(np.float32), (0, 0), side / 100)[..., None]
    return np.asarray(colour, np.float32)


def render_part(kind: str, light: str, *, side: int, seed: int, colour: bool = True) -> tuple[RGB, NDArray[np.bool_]]:
    """Return a photograph-like picture, ``(side, side, 3)`` uint8, and the part's true mask.

    Args:
        kind: One of :data:`KINDS`.
        light: One of :data:`LIGHTS`.
        side: Pixels.
        seed: Decides shape, light and noise.
        colour: ``False`` for a grey picture.
    """
    rng = np.random.default_rng([seed, *kind.encode(), *light.encode()])
    setting = LIGHTS[light]
    fine = np.zeros((_FINE * side, _FINE * side), np.uint8)
    KINDS[kind](fine, rng)
    coverage = cv2.resize(fine, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    ground = (
        np.asarray(setting.ground, np.float32) * (1 + setting.weave * GROUNDS[setting.structure](rng, side))[..., None]
    )
    if setting.shadow:
        shift = rng.uniform(-0.04, 0.04, 2) * side
        moved = cv2.warpAffine(
            coverage, np.float32([[1, 0, shift[0]], [0, 1, shift[1]]]), (side, side), borderMode=cv2.BORDER_REPLICATE
        )
        soft = cv2.GaussianBlur(moved, (0, 0), side * rng.uniform(0.008, 0.03))
        ground *= (1 - setting.shadow * soft)[..., None]
    scene = coverage[..., None] * _surface(rng, side, setting, coverage) + (1 - coverage[..., None]) * ground
    scene = scene * illumination(rng, side, setting)[..., None]
    picture = (
        scene + rng.normal(0, setting.noise, (side, side, 1)) + rng.normal(0, 0.4 * setting.noise, (side, side, 3))
    )
    picture = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    if not colour:
        picture = np.repeat(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    return jpeg(picture, setting.jpeg) if setting.jpeg else picture, coverage > 0.5


def jpeg(picture: RGB, quality: int) -> RGB:
    """Return ``picture`` as it comes back from a JPEG file."""
    stored = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.ascontiguousarray(cv2.imdecode(stored, cv2.IMREAD_COLOR)[..., ::-1])


def iou(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Return intersection over union of two masks that are not both empty."""
    return float(np.count_nonzero(found & truth) / np.count_nonzero(found | truth))
