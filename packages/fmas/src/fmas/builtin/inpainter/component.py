"""The inpainter that needs no model: it paints each kind of defect from the physics of light on a surface."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from fmas.builtin.inpainter.finish import finish
from fmas.builtin.inpainter.registry import RENDERERS
from fmas.builtin.inpainter.surface import measure
from fmas.options import parse_options
from fmas.specs import Options
from fmas.types import Fingerprint, InpaintJob, RGBImage

__all__ = ["BuiltinInpainter", "InpainterOptions", "create"]

VERSION = "4"
"""Raised whenever the same job would give other pixels."""


_FULL = 1.6
"""The renderers' intensity at severity 1: a defect that nobody overlooks. At 1 many were lost in a busy surface."""

_MOST = 2.0
"""Beyond this intensity the renderers' physics ends."""


class InpainterOptions(BaseModel):
    """Options of the built-in inpainter.

    Attributes:
        strength: Every severity is multiplied by this; 1 as planned, 0.5 subtler, 2 coarse.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    strength: float = Field(default=1.0, gt=0.0, le=2.0, allow_inf_nan=False)


class BuiltinInpainter:
    """Implements :class:`fmas.protocols.Inpainter` on numpy and OpenCV, deterministic in the job alone."""

    multiple = 1
    working_size = None

    def __init__(self, options: InpainterOptions | None = None) -> None:
        self._options = options or InpainterOptions()

    def fingerprint(self) -> Fingerprint:
        """Return name, version and options."""
        return Fingerprint("builtin", VERSION, self._options.model_dump())

    def inpaint(self, jobs: Sequence[InpaintJob]) -> list[RGBImage]:
        """Return one crop per job, ``(H, W, 3)`` uint8, equal to ``job.image`` outside ``job.region``."""
        return [self._paint(job) for job in jobs]

    def _paint(self, job: InpaintJob) -> RGBImage:
        result: RGBImage = job.image.copy()
        if not job.region.any():
            return result
        surface, window = measure(job)
        intensity = min(_FULL * job.defect.severity * self._options.strength, _MOST)
        painted = RENDERERS[job.defect.kind](surface, job.defect, intensity, np.random.default_rng(job.seed))
        # A grey photograph is painted in one channel and stays grey: it is broadcast here.
        result[window] = finish(surface, painted)
        return result


def create(options: Options) -> BuiltinInpainter:
    """Return the inpainter for a configuration's options.

    Args:
        options: ``strength``, a number in ``(0, 2]``.

    Raises:
        ConfigError: If a key is unknown or a value is not allowed.
    """
    return BuiltinInpainter(parse_options(InpainterOptions, options, section="inpainter"))
