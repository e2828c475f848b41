"""Which function paints which kind of defect. To add or replace a kind, write one ``render`` and enter it here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

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
    other,
    scratch,
    stain,
)
from fmas.builtin.inpainter.surface import Surface
from fmas.types import Defect, DefectKind, FloatMap

__all__ = ["RENDERERS", "Renderer"]

Renderer: TypeAlias = Callable[[Surface, Defect, float, np.random.Generator], FloatMap]
"""``render(surface, defect, intensity, rng)`` returns ``surface.base`` with the defect on it,
``(h, w, C)`` float32, any range.

``intensity`` is the severity times the component's strength, in ``[0, 2]``. What is drawn from ``rng`` must not depend
on it: the same seed gives the same defect, weaker or stronger. The caller softens, clips and rounds.
"""

RENDERERS: Mapping[DefectKind, Renderer] = MappingProxyType(
    {
        DefectKind.SCRATCH: scratch.render,
        DefectKind.CRACK: crack.render,
        DefectKind.DENT: dent.render,
        DefectKind.HOLE: hole.render,
        DefectKind.CHIP: fracture.render_chip,
        DefectKind.BREAK: fracture.render_break,
        DefectKind.STAIN: stain.render,
        DefectKind.CONTAMINATION: contamination.render,
        DefectKind.DISCOLORATION: discoloration.render,
        DefectKind.FRAY: fray.render,
        DefectKind.MISPRINT: misprint.render,
        DefectKind.BEND: bend.render,
        DefectKind.MISSING: missing.render,
        DefectKind.OTHER: other.render,
    }
)
