"""Where to point when nothing is known of the product: at the centre, and not at the border."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["centre_and_border"]


def centre_and_border(height: int, width: int, *, border: bool) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Return points (x, y) in pixels and their labels, 1 = product, 0 = not.

    Args:
        height: Of the picture, in pixels.
        width: Of the picture.
        border: Add the four corners as what is not the product.

    Returns:
        ``(N, 2)`` float32 and ``(N,)`` int32.
    """
    inset = 0.02 * min(height, width)
    points = [(width / 2, height / 2)]
    labels = [1]
    if border:
        right, bottom = width - 1 - inset, height - 1 - inset
        points += [(inset, inset), (right, inset), (inset, bottom), (right, bottom)]
        labels += [0] * 4
    return np.array(points, np.float32), np.array(labels, np.int32)
