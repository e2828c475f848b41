"""Checks an inpainter."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from fmas.protocols import Inpainter
from fmas.testing.conformance import require, require_image, require_protocol, require_untouched
from fmas.testing.fingerprint import check_fingerprint, require_same_fingerprint
from fmas.testing.pictures import disc_mask, disc_photo, grey, texture_photo
from fmas.types import BoolMask, Defect, DefectKind, InpaintJob, RGBImage

__all__ = ["check_inpainter"]


def check_inpainter(
    component: Inpainter,
    *,
    kinds: Sequence[DefectKind] = tuple(DefectKind),
    seeds_differ: bool = True,
    tolerance: int = 0,
) -> None:
    """Check that an inpainter paints each job by itself, into crops of the size it asked for.

    The jobs have a rectangular, an elliptic, a stroke-like and a small region, grey and coloured crops, and every one
    of ``kinds``. Painting outside the region is allowed; the core discards it.

    Args:
        component: What to check.
        kinds: The defect kinds to ask for, one job each and four jobs at least; fewer for a slow model.
        seeds_differ: Whether two seeds give two pictures; pass ``False`` for an inpainter documented not to use them.
        tolerance: By how many grey levels, of 255, a pixel may differ between a job in a batch and the same job alone;
            0 unless the arithmetic of a GPU depends on the batch size.

    Raises:
        ConformanceError: At the first breach.
    """
    require_protocol(component, Inpainter)
    _check_sizes(component)
    before = check_fingerprint(component)
    jobs = _jobs(component, kinds)
    together = _inpaint(component, jobs)
    again = _inpaint(component, jobs)
    backwards = _inpaint(component, jobs[::-1])[::-1]
    for index, job in enumerate(jobs):
        what = f"{job.defect.kind} job"
        _require_same(together[index], again[index], f"the {what} to look the same at every call", tolerance=0)
        _require_same(
            together[index],
            backwards[index],
            f"the {what} not to depend on the order of the batch",
            tolerance=tolerance,
        )
    for job, result in list(zip(jobs, together, strict=True))[:4]:
        alone = _inpaint(component, [job])[0]
        _require_same(result, alone, f"the {job.defect.kind} job alone to look as in a batch", tolerance=tolerance)
    painted = any(bool((job.image != out)[job.region].any()) for job, out in zip(jobs, together, strict=True))
    require(painted, expected="paint inside a region", got="every crop unchanged", fix="paint something")
    if seeds_differ:
        _check_seeds(component, jobs[0], together[0])
    require_same_fingerprint(component, before, after="painting")


def _check_sizes(component: Inpainter) -> None:
    multiple, working_size = component.multiple, component.working_size
    require(
        type(multiple) is int and multiple >= 1,
        expected="an int of at least 1 as multiple",
        got=repr(multiple),
        fix="return 1 if any size will do",
    )
    require(
        working_size is None or (type(working_size) is int and working_size >= multiple),
        expected=f"None or an int of at least multiple = {multiple} as working_size",
        got=repr(working_size),
        fix="return None to work at native size",
    )


def _jobs(component: Inpainter, kinds: Sequence[DefectKind]) -> list[InpaintJob]:
    """Return jobs as the core would hand them over: sides are multiples, the longer one is the working size."""
    multiple = component.multiple
    longer = _round_up(component.working_size or 83, multiple)
    shorter = _round_up(math.ceil(longer * 0.7), multiple)
    photo = disc_photo(shorter, longer)
    rectangle, stroke, small = np.zeros((3, shorter, longer), dtype=np.bool_)
    rectangle[shorter // 4 : -(shorter // 4), longer // 4 : -(longer // 4)] = True
    steps = np.linspace(0.2, 0.8, 4 * longer)
    for offset in range(3):
        stroke[(steps * shorter).astype(int) + offset, (steps * longer).astype(int)] = True
    side = max(multiple, 4)
    small[shorter // 2 : shorter // 2 + side, longer // 2 : longer // 2 + side] = True
    ellipse = disc_mask(shorter, longer, scale=0.3)
    shapes: list[tuple[RGBImage, BoolMask, BoolMask]] = [
        (photo, rectangle, disc_mask(shorter, longer)),
        (grey(photo), ellipse, disc_mask(shorter, longer)),
        (texture_photo(longer, shorter), stroke.T, np.ones((longer, shorter), dtype=np.bool_)),
        (photo, small, disc_mask(shorter, longer)),
    ]
    return [
        InpaintJob(
            image=image.copy(),
            region=region.copy(),
            foreground=foreground.copy(),
            defect=Defect(
                name=str(kind), prompt=f"a {kind} on the surface", kind=kind, severity=0.2 + 0.6 * index / 13
            ),
            seed=1000 + index,
        )
        for index in range(max(len(kinds), len(shapes)))
        for kind in [kinds[index % len(kinds)]]
        for image, region, foreground in [shapes[index % len(shapes)]]
    ]


def _round_up(side: int, multiple: int) -> int:
    return math.ceil(side / multiple) * multiple


def _inpaint(component: Inpainter, jobs: list[InpaintJob]) -> list[RGBImage]:
    before = [(job.image.copy(), job.region.copy(), job.foreground.copy()) for job in jobs]
    results = list(component.inpaint(jobs))
    require(
        len(results) == len(jobs),
        expected=f"one crop per job, {len(jobs)}",
        got=len(results),
        fix="return them in the order of the jobs, and raise if one cannot be painted",
    )
    for job, result, (image, region, foreground) in zip(jobs, results, before, strict=True):
        require_image(result, job.image.shape, np.uint8, what=f"the crop of the {job.defect.kind} job")
        require_untouched(job.image, image, what="job.image")
        require_untouched(job.region, region, what="job.region")
        require_untouched(job.foreground, foreground, what="job.foreground")
    return [result.copy() for result in results]  # the next call may reuse the component's buffers


def _require_same(first: RGBImage, second: RGBImage, expected: str, *, tolerance: int) -> None:
    difference = int(np.abs(first.astype(np.int16) - second.astype(np.int16)).max())
    require(
        difference <= tolerance,
        expected=expected,
        got=f"a pixel that differs by {difference} grey levels",
        fix="draw random numbers from a generator of the job's own, seeded by job.seed, and keep no state between jobs",
    )


def _check_seeds(component: Inpainter, job: InpaintJob, painted: RGBImage) -> None:
    others = [dataclasses.replace(job, seed=seed) for seed in (1, 2, 2**53 - 1)]
    results = [painted, *_inpaint(component, others)]
    different = len({result.tobytes() for result in results})
    require(
        different > 1,
        expected="another picture for another seed",
        got=f"one picture for the seeds {job.seed}, {', '.join(str(other.seed) for other in others)}",
        fix="use job.seed, or document that it has no effect and pass seeds_differ=False",
    )
