"""Scores of pictures that nothing was learnt from, with everything checked that a detector's contract promises."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np

from fmas.errors import ComponentError
from fmas.protocols import Detector
from fmas.types import FloatMap, RGBImage

__all__ = ["checked_scores"]


def checked_scores(detector: Detector, images: Iterable[RGBImage], *, name: str) -> Iterator[tuple[FloatMap, float]]:
    """Yield the map and the score of each image, in order.

    Args:
        detector: Has learnt.
        images: Read as the detector asks for them, so none but its own batch is in memory.
        name: What messages call the detector.

    Raises:
        ComponentError: If a map has not the size of its image, a value is not finite, or their number differs.
    """
    sizes: deque[tuple[int, int]] = deque()

    remaining = iter(images)

    def watched() -> Iterator[RGBImage]:
        for image in remaining:
            sizes.append((image.shape[0], image.shape[1]))
            yield image

    for result in detector.score(watched()):
        if not sizes:
            raise ComponentError(f"expected one result per image of the detector {name!r}, got more; mend its plugin")
        yield _checked(result, sizes.popleft(), name)
    if sizes or next(remaining, None) is not None:
        raise ComponentError(f"expected one result per image of the detector {name!r}, got fewer; mend its plugin")


def _checked(result: object, size: tuple[int, int], name: str) -> tuple[FloatMap, float]:
    if not isinstance(result, tuple) or len(result) != 2:
        raise ComponentError(f"expected (map, score) of the detector {name!r}, got {result!r}; mend its plugin")
    heat, score = np.asarray(result[0]), float(result[1])
    if heat.shape != size or heat.dtype != np.float32:
        raise ComponentError(
            f"expected a float32 map of {size[0]} x {size[1]} (height x width) of the detector {name!r}, got "
            f"{heat.dtype} {heat.shape}; mend its plugin"
        )
    if not math.isfinite(score) or not np.isfinite(heat).all():
        raise ComponentError(
            f"expected finite scores of the detector {name!r}, got one that is not; the training has not converged: "
            "lower the learning rate or train longer"
        )
    return heat, score
