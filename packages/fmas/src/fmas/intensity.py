"""How strong a defect is to look: three words for bands of the built-in selector's distance, or a band in numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Literal, TypeAlias, get_args

__all__ = [
    "DEFAULT_INTENSITY",
    "INTENSITIES",
    "WORDS_MEAN",
    "Intensity",
    "band_text",
    "ordered_band",
    "parse_intensity",
]

Intensity: TypeAlias = Literal["subtle", "medium", "strong"]

# What the built-in painter's kinds score at a low, a middle and a high severity, all kinds and surfaces alike; measured
# by `benchmarks/bench_selector.py`, recorded in docs/how-to/choose-intensity.md.
INTENSITIES: Mapping[Intensity, tuple[float, float]] = MappingProxyType(
    {"subtle": (0.06, 0.2), "medium": (0.2, 0.45), "strong": (0.45, 0.7)}
)
"""Name -> lowest and highest distance of the built-in selector; another selector has another scale."""

WORDS_MEAN = ("builtin", "2")
"""Name and version of the selector whose distances the words stand for."""

DEFAULT_INTENSITY: Intensity = "medium"

_NUMBER = r"\d+(?:\.\d*)?|\.\d+"
_BAND = re.compile(rf"\s*({_NUMBER})\s*:\s*({_NUMBER})\s*")


def parse_intensity(text: str) -> tuple[float, float]:
    """Return the band that a word or ``LO:HI`` stands for.

    Args:
        text: ``subtle``, ``medium``, ``strong``, or two distances such as ``0.1:0.25``.

    Returns:
        Lowest and highest wanted distance.

    Raises:
        ValueError: If it is neither.
    """
    for word, band in INTENSITIES.items():
        if text.strip() == word:
            return band
    match = _BAND.fullmatch(text)
    if match is None:
        words = ", ".join(get_args(Intensity))
        raise ValueError(f"expected {words} or LO:HI such as 0.1:0.25 for the intensity, got {text!r}")
    return ordered_band((float(match[1]), float(match[2])))


def band_text(band: tuple[float, float]) -> str:
    """Return a band as ``LO:HI``, from which :func:`parse_intensity` reads the very same one."""
    return ":".join(format(Decimal(repr(bound)).normalize(), "f") for bound in band)


def ordered_band(band: tuple[float, float]) -> tuple[float, float]:
    """Return a band after checking it.

    Raises:
        ValueError: If a bound is negative or not finite, or the bounds are the wrong way round.
    """
    low, high = band
    if not all(math.isfinite(bound) and bound >= 0 for bound in band):
        raise ValueError(f"expected finite distances >= 0, got {low}, {high}")
    if low > high:
        raise ValueError(f"expected the band as LOW, HIGH with LOW <= HIGH, got {low}, {high}; swap them")
    return band
