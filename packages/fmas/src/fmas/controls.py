"""Negative controls: intact pictures that took the same way through the inpainter as the defective ones.

A model that paints leaves traces besides the defect: its decoder's grain, the resampling, a seam. All defective images
have them and no normal one does, so a detector can learn the traces instead of the defect. A control has the traces and
no defect: it is painted in the place, the crop and the shape of a candidate of the same photograph, with that
candidate's seed, but with the prompt of an intact surface. It is a normal image and lies in ``train/good``.

The shape matters. Filled over its whole rectangle, a control would teach that rectangles are normal and that odd shapes
are not. Therefore a defect is painted first, for the sake of its truthful mask alone; the intact picture goes into
exactly that mask. Nothing of it depends on which candidate a pair keeps, so ``fmas select`` leaves controls alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fmas.errors import UsageError
from fmas.layout import CONTROL_STEM
from fmas.refine import blank_paint, grey_level_change
from fmas.samples import Candidate, Pair, RejectReason
from fmas.types import Defect, DefectKind

if TYPE_CHECKING:
    from fmas.config import RunConfig
    from fmas.crop import Crop
    from fmas.plugins import PluginRegistry
    from fmas.seeds import SampleSeeds
    from fmas.types import InpaintJob

__all__ = [
    "IntactPaint",
    "control_pair",
    "intact_surface",
    "judge_intact",
    "refuse_needless_controls",
    "shape_candidate",
    "wants_control",
]


@dataclass(frozen=True, slots=True, eq=False)
class IntactPaint:
    """One control that is still to be painted.

    Attributes:
        crop: What the inpainter sees, the same as for ``shape``.
        shape: The defect whose mask is to be filled.
        surface: What is to be painted instead.
        seeds: Those of the photograph's first pair.
    """

    crop: Crop
    shape: Candidate
    surface: Defect
    seeds: SampleSeeds

    def job(self, attempt: int) -> InpaintJob:
        """Return what to paint. The attempts go on from the shape's own, so that at first the prompt alone differs."""
        return self.crop.job(self.surface, self.seeds.candidate(self.shape.index, attempt))


def wants_control(config: RunConfig, seeds: SampleSeeds) -> bool:
    """Return whether a photograph that is not held out gets a control; the same whatever else is made of it."""
    return config.controls > 0 and seeds.fraction("control") < config.controls


def control_pair(config: RunConfig, source_index: int, pairs: Sequence[Pair]) -> Pair:
    """Return the control of a photograph: in the place, and with the defect, that its first pair begins with."""
    first = pairs[0]
    return Pair(
        index=config.per_image,
        stem=CONTROL_STEM + source_index,
        control=True,
        defect=first.defect,
        defect_slug=first.defect_slug,
    )


def shape_candidate(seeds: SampleSeeds, candidates: int) -> int:
    """Return which candidate's shape a control takes: any, so that controls are as large as candidates are."""
    return int(seeds.generator("control").integers(candidates))


def intact_surface(defect: Defect, object_name: str) -> Defect:
    """Return what a control is painted with: the surface without that defect."""
    return Defect(
        name="intact surface",
        prompt=f"flawless {object_name} surface",
        negative_prompt=defect.prompt,
        kind=DefectKind.OTHER,
        severity=0.0,
    )


def judge_intact(paint: IntactPaint, attempt: int, job: InpaintJob, output: object) -> Candidate | RejectReason:
    """Put an intact picture into the shape of its defect, or say why it is rejected.

    Raises:
        ComponentError: If the output is not what the protocol promises.
    """
    crop, shape = paint.crop, paint.shape
    raw = crop.restore(output)  # checks what came back
    blank = blank_paint(job.image, np.asarray(output), job.region)
    if blank is not None:
        return blank
    if not grey_level_change(crop.image, raw)[shape.mask].any():
        return RejectReason.UNCHANGED  # a second copy of the photograph teaches nothing
    image = crop.image.copy()
    image[shape.mask] = raw[shape.mask]
    image.flags.writeable = False
    return Candidate(
        index=shape.index,
        attempt=attempt,
        seed=job.seed,
        box=shape.box,
        image=image,
        mask=shape.mask,
        noise_floor=shape.noise_floor,
        high=shape.high,
        severity=0.0,
    )


def refuse_needless_controls(config: RunConfig, registry: PluginRegistry) -> None:
    """Refuse controls of an inpainter that leaves no traces: they would be second copies of the photographs.

    Raises:
        UsageError: If ``controls`` is set and the inpainter is such a one.
    """
    name = config.inpainter.name
    if config.controls and not getattr(registry.spec("inpainter", name), "leaves_traces", True):
        raise UsageError(
            f"expected an inpainter that leaves traces for --controls, got {name!r}, which changes the pixels of a "
            "defect and no others, so that an intact picture by it is the photograph itself; leave out --controls"
        )
