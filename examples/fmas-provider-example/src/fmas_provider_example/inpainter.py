"""An inpainter that paints one dark spot, whatever the defect."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from fmas.options import parse_options
from fmas.specs import Options
from fmas.types import Fingerprint, InpaintJob, RGBImage

__all__ = ["SpotInpainter", "SpotOptions", "create"]


class SpotOptions(BaseModel):
    """What ``--set inpainter.KEY=VALUE`` can reach.

    Attributes:
        radius: Of the spot, as a part of the region's longer side.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    radius: float = Field(default=0.3, gt=0.0, le=1.0)


class SpotInpainter:
    """Darkens a round spot around a random pixel of the region; a more severe defect is darker.

    Args:
        options: The validated options.
    """

    def __init__(self, options: SpotOptions) -> None:
        self._options = options

    @property
    def multiple(self) -> int:
        """Any size will do; a diffusion model would say 8 or 16."""
        return 1

    @property
    def working_size(self) -> int | None:
        """Crops keep their native size; a diffusion model would say 512 or 1024."""
        return None

    def fingerprint(self) -> Fingerprint:
        """Return name, version and options; raise the version whenever the same job would look different."""
        return Fingerprint("example-spot", "1", self._options.model_dump(mode="json"))

    def inpaint(self, jobs: Sequence[InpaintJob]) -> list[RGBImage]:
        """Return one crop per job, ``(H, W, 3)`` uint8; a model would run the whole batch at once here."""
        return [self._paint(job) for job in jobs]

    def _paint(self, job: InpaintJob) -> RGBImage:
        generator = np.random.default_rng(job.seed)  # one per job: a batch must not change a job's result
        rows, columns = np.nonzero(job.region)
        chosen = int(generator.integers(len(rows)))
        longer = max(int(np.ptp(rows)), int(np.ptp(columns))) + 1
        y, x = np.ogrid[: job.image.shape[0], : job.image.shape[1]]
        distance = np.hypot(y - rows[chosen], x - columns[chosen]) / max(1.0, self._options.radius * longer)
        strength = (0.3 + 0.6 * job.defect.severity) * np.clip(1.5 - distance, 0.0, 1.0)
        return np.asarray(np.rint(job.image * (1.0 - strength[..., None])), dtype=np.uint8)


def create(options: Options) -> SpotInpainter:
    """Create the inpainter; an unknown option is refused with the nearest known one."""
    return SpotInpainter(parse_options(SpotOptions, options, section="inpainter"))
