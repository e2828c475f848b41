"""A selector that measures the mean absolute difference."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict

from fmas.options import parse_options
from fmas.specs import Options
from fmas.types import BoolMask, Fingerprint, RGBImage

__all__ = ["MeanSelector", "NoOptions", "create"]


class NoOptions(BaseModel):
    """There is nothing to set; every key is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class MeanSelector:
    """Scores a candidate by its mean absolute difference inside the mask's box."""

    def fingerprint(self) -> Fingerprint:
        """Return name and version."""
        return Fingerprint("example-mean", "1")

    def score(self, original: RGBImage, candidate: RGBImage, mask: BoolMask) -> float:
        """Return the mean of ``|candidate - original| / 255`` over the mask's box, in ``[0, 1]``; 0 = same."""
        rows, columns = np.nonzero(mask)
        box = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
        difference = np.abs(candidate[box].astype(np.float64) - original[box])
        return float(difference.mean() / 255.0)


def create(options: Options) -> MeanSelector:
    """Create the selector."""
    parse_options(NoOptions, options, section="selector")
    return MeanSelector()
