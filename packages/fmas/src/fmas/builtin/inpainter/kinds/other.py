"""Anything else: the kind that the defect's own words name, else one that every surface knows."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from fmas.builtin.inpainter.kinds import (
    bend,
    contamination,
    crack,
    dent,
    discoloration,
    fracture,
    fray,
    hole,
    misprint,
    missing,
    scratch,
    stain,
)
from fmas.builtin.inpainter.surface import Surface
from fmas.builtin.inpainter.words import mentioned
from fmas.types import Defect, FloatMap

__all__ = ["WORDS", "render"]

_BY_WORD = (
    # Earlier lines win: "broken thread" is a fray, "burnt hole" is a hole.
    (scratch.render, "scratch scuff scor groove abras graz gouge tool-mark"),
    (crack.render, "crack fissure craz split fractur"),
    (fray.render, "fray fuzz thread yarn worn wear rough pilling torn tear"),
    (hole.render, "hole pit pore porosity blowhole punctur cavit pinhole void"),
    (dent.render, "dent bump ding bulge blister dimple bubble press"),
    (bend.render, "bend bent fold wrinkl crease warp kink buckl twist deform"),
    (misprint.render, "misprint print label logo letter ink ghost registr"),
    (missing.render, "missing absent lack incomplete unfill short-shot"),
    (fracture.render_chip, "chip flak spall notch"),
    (fracture.render_break, "broke break snapp corner"),
    (
        stain.render,
        "rust corro stain spot smear smudge splash spill oil grease water coffee mold mould drip leak finger",
    ),
    (
        contamination.render,
        "dirt dust foreign fib hair lint swarf debris particle contamin residue glue drop insect burr",
    ),
    (
        discoloration.render,
        "colo burn scorch uneven fade bleach shade pale dark bright heat tarnish yellow grind polish",
    ),
)
WORDS = MappingProxyType({word: render for render, words in _BY_WORD for word in words.split()})
"""Beginnings of words, and what paints the damage they name."""
_ANY = (
    scratch.render,
    stain.render,
    stain.render,
    dent.render,
    discoloration.render,
    contamination.render,
    fray.render,
)


def render(surface: Surface, defect: Defect, intensity: float, rng: np.random.Generator) -> FloatMap:
    """Paint the nearest kind; see :mod:`fmas.builtin.inpainter.registry`."""
    chance = int(rng.integers(len(_ANY)))
    paint = mentioned(defect, WORDS) or _ANY[chance]
    return paint(surface, defect, intensity, rng)
