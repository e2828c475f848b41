"""Say, once per call, which metrics are not defined and what is missing."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

__all__ = ["missing_images", "missing_pixels", "warn"]


def missing_pixels(names: Sequence[str], n_defect: int, n_normal: int) -> str:
    """Describe why pixel metrics are not defined; an empty string if they are."""
    if n_defect and n_normal:
        return ""
    return (
        f"{', '.join(names)} not defined: expected defect and normal pixels, got {n_defect} defect and {n_normal} "
        "normal pixels"
    )


def missing_images(labels: Sequence[bool]) -> str:
    """Describe why the image AUROC is not defined; an empty string if it is."""
    defective = sum(labels)
    if 0 < defective < len(labels):
        return ""
    return (
        f"image_auroc not defined: expected defective and good images, got {defective} defective and "
        f"{len(labels) - defective} good"
    )


def warn(*problems: str) -> None:
    """Warn once about all problems that are not empty.

    To be called by the function that the user called: the warning points to that call.
    """
    told = [problem for problem in problems if problem]
    if told:
        warnings.warn(f"{'; '.join(told)}; returning NaN", RuntimeWarning, stacklevel=3)
