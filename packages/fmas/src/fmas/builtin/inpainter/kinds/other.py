"""Anything else: the kind that the defect's own words name, else one that every surface knows."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from fmas.builtin.inpainter.kinds import contamination, crack, dent, discoloration, hole, scratch, stain
from fmas.builtin.inpainter.surface import Surface
from fmas.builtin.inpainter.words import mentioned
from fmas.types import Defect, FloatMap

__all__ = ["render"]

_WORDS = MappingProxyType(
    {
        "scratch": scratch.render,
        "scuff": scratch.render,
        "score": scratch.render,
        "crack": crack.render,
        "dent": dent.render,
        "bump": dent.render,
        "hole": hole.render,
        "pit": hole.render,
        "pore": hole.render,
        "rust": stain.render,
        "stain": stain.render,
        "spot": stain.render,
        "smear": stain.render,
        "colo": discoloration.render,
        "burn": discoloration.render,
        "uneven": discoloration.render,
        "dirt": contamination.render,
        "dust": contamination.render,
        "foreign": contamination.render,
    }
)
_ANY = (scratch.render, stain.render, dent.render, discoloration.render)


def render(surface: Surface, defect: Defect, intensity: float, rng: np.random.Generator) -> FloatMap:
    """Paint the nearest kind; see :mod:`fmas.builtin.inpainter.registry`."""
    chance = int(rng.integers(len(_ANY)))
    paint = mentioned(defect, _WORDS) or _ANY[chance]
    return paint(surface, defect, intensity, rng)
