"""Curves as inline SVG: coloured by the page's styles, readable in light and dark, no library needed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np

from fmas_evaluate.report.curves import Curve, Floats

__all__ = ["chart"]

_SIDE = 240  # the plotting area, in SVG units
_LEFT, _TOP, _RIGHT, _BOTTOM = 46, 12, 12, 44


def chart(
    title: str,
    curves: Sequence[tuple[str, Curve]],
    *,
    across: str,
    up: str,
    limit: float | None = None,
    shown: float = 1.0,
) -> str:
    """Return one ``<figure>``.

    Args:
        title: What it shows, with its number.
        curves: Name and line of every method; the first is the evaluated one.
        across: What the horizontal axis measures.
        up: What the vertical axis measures.
        limit: Shade the area under the first curve up to here.
        shown: Right end of the horizontal axis.
    """
    width, height = _LEFT + _SIDE + _RIGHT, _TOP + _SIDE + _BOTTOM
    parts = [
        f'<figure class="chart"><figcaption>{escape(title)}</figcaption>',
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">',
        *_axes(across, up, shown),
    ]
    if limit is not None:
        x, y = _clipped(curves[0][1], limit)
        area = _points(np.concatenate((x, x[-1:], [0.0])), np.concatenate((y, [0.0, 0.0])), shown)
        edge = _LEFT + _SIDE * limit / shown
        parts.append(f'<polygon class="shade" points="{area}"/>')
        parts.append(f'<line class="limit" x1="{edge:.1f}" x2="{edge:.1f}" y1="{_TOP}" y2="{_TOP + _SIDE}"/>')
    for number, (name, curve) in reversed(list(enumerate(curves))):  # the evaluated one on top
        x, y = _clipped(curve, shown)
        line = f'<polyline class="curve c{number}" points="{_points(x, y, shown)}">'
        parts.append(f"{line}<title>{escape(name)}</title></polyline>")
    return "".join((*parts, "</svg></figure>"))


def _axes(across: str, up: str, shown: float) -> list[str]:
    bottom, middle = _TOP + _SIDE, _LEFT + _SIDE / 2
    parts = []
    for value in _ticks(shown):
        x = f"{_LEFT + _SIDE * value / shown:.4g}"
        parts.append(f'<line class="grid" x1="{x}" x2="{x}" y1="{_TOP}" y2="{bottom}"/>')
        parts.append(f'<text x="{x}" y="{bottom + 15}" text-anchor="middle">{value:g}</text>')
    for value in _ticks(1.0):
        y = bottom - _SIDE * value
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_LEFT + _SIDE}" y1="{y:.4g}" y2="{y:.4g}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.4g}" text-anchor="end">{value:g}</text>')
    parts.append(f'<text class="axis" x="{middle:g}" y="{bottom + 34}" text-anchor="middle">{escape(across)}</text>')
    centre = _TOP + _SIDE / 2
    place = f'x="12" y="{centre:g}" transform="rotate(-90 12 {centre:g})"'
    parts.append(f'<text class="axis" text-anchor="middle" {place}>{escape(up)}</text>')
    return parts


def _ticks(end: float) -> list[float]:
    """Return from 3 to 7 round numbers from 0 to ``end``."""
    power = 10.0 ** math.floor(math.log10(end))
    step = next(step for step in (power, power / 2, power / 5, power / 10) if end / step >= 3)
    return [count * step for count in range(int(end / step + 1e-9) + 1)]


def _clipped(curve: Curve, end: float) -> tuple[Floats, Floats]:
    """Return the points up to ``end``, the last one on the line between its neighbours."""
    inside = curve.x <= end
    x, y = curve.x[inside], curve.y[inside]
    if inside.all() or not x.size:
        return x, y
    after = int(np.argmin(inside))
    share = (end - curve.x[after - 1]) / (curve.x[after] - curve.x[after - 1])
    height = curve.y[after - 1] + share * (curve.y[after] - curve.y[after - 1])
    return np.append(x, end), np.append(y, height)


def _points(x: Floats, y: Floats, shown: float) -> str:
    across, down = _LEFT + _SIDE * x / shown, _TOP + _SIDE * (1 - y)
    return " ".join(f"{left:.1f},{top:.1f}" for left, top in zip(across, down, strict=True))
