"""Say, once per call, which metrics are not defined and what is missing, and which labels contradict the masks."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Final

__all__ = ["missing_images", "missing_pixels", "warn", "warn_of_labels"]

_MOST_NAMES: Final = 5


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


def warn_of_labels(names: Sequence[str]) -> None:
    """Warn once, naming them, that images are labelled good although their masks have a defect.

    To be called by the generator that the function that the user called iterates over.
    """
    if names:
        shown = ", ".join(names[:_MOST_NAMES]) + (f" and {len(names) - _MOST_NAMES} more" * (len(names) > _MOST_NAMES))
        warnings.warn(
            f"expected labels that agree with the masks, got a mask with a defect for {shown}, labelled good; image "
            "metrics follow the labels and pixel metrics the masks: check which of them is wrong",
            RuntimeWarning,
            stacklevel=4,
        )
