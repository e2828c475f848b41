"""From a stream of pictures to a stream of maps and scores, whatever the network runs on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fmas.errors import ComponentError, ImageError
from fmas.types import FloatMap, RGBImage
from fmas_providers.detectors.scoring.gate import Gate, GateReference, apply_gate
from fmas_providers.detectors.scoring.image_score import image_score
from fmas_providers.detectors.scoring.normalise import normalise
from fmas_providers.detectors.scoring.options import ScoringOptions
from fmas_providers.detectors.scoring.views import View, view_of

__all__ = ["Forward", "MapScorer"]

Forward: TypeAlias = Callable[[NDArray[np.float32]], FloatMap]
"""The network: normalised pictures ``(N, 3, h, w)`` float32 -> maps ``(N, h, w)`` float32, finite, from 0 (certainly
normal) upwards; the result of one picture must not depend on the others. Called from one thread at a time."""

_PIXELS_HELD = 1 << 23  # of pictures whose tiles still wait for company, beside the one that is being cut


@dataclass(slots=True, eq=False)
class _Picture:
    """A picture on its way through the network."""

    image: RGBImage
    view: View
    weights: Future[FloatMap | None] | None


_Tile: TypeAlias = tuple[_Picture, int]


class MapScorer:
    """Cuts, normalises, asks the network, blends, gates and scores.

    Tiles of equal shape go through the network together, also those of different pictures; a picture is yielded as
    soon as it and all before it are complete. Held at a time are one picture with its map and, beside it, pictures of 8
    megapixels in all whose tiles wait for a full batch. The product is sought in threads while the network computes.

    Args:
        forward: The network.
        options: How to do all of this.
        multiple: What the network demands of its input's sides.
        reference: What the segmenter said of the good parts; see :class:`~.gate.GateReference`.
        whole: Side of the square that a picture is brought to as a whole; ``None`` for tiles at native resolution.
        gate: In place of the one that ``options`` name; not used when ``options.gate`` is off.
    """

    def __init__(
        self,
        forward: Forward,
        options: ScoringOptions,
        *,
        multiple: int,
        reference: GateReference | None = None,
        whole: int | None = None,
        gate: Gate | None = None,
    ) -> None:
        self._forward = forward
        self._whole = whole
        self._flips = options.flips == "always" or (options.flips == "auto" and whole is not None)
        self._options = options
        self._multiple = multiple
        self._gate: Gate | None = None
        if options.gate:
            self._gate = gate or Gate.named(options.segmenter, margin=options.gate_margin, reference=reference)

    def score(self, images: Iterable[RGBImage]) -> Iterator[tuple[FloatMap, float]]:
        """Yield for each image, in order, its map and image score.

        Args:
            images: ``(H, W, 3)`` uint8 RGB, of any sizes; read one at a time.

        Yields:
            The map, ``(H, W)`` float32, and the score of :func:`~.image_score.image_score`.

        Raises:
            ImageError: If an image has another shape or dtype.
            ComponentError: If the network or the segmenter breaks its contract.
        """
        waiting: deque[_Picture] = deque()
        queues: dict[tuple[int, int], deque[_Tile]] = {}  # tiles of one shape; those of a picture are all in one queue
        pool = ThreadPoolExecutor(self._gate.threads if self._gate else 1, thread_name_prefix="gate")
        try:
            for image in images:
                while waiting and sum(one.image[..., 0].size for one in waiting) + image[..., 0].size > _PIXELS_HELD:
                    self._forward_some(queues[waiting[0].view.shape])
                    yield from self._completed(waiting)
                picture = self._admit(image, pool)
                waiting.append(picture)
                queue = queues.setdefault(picture.view.shape, deque())
                queue.extend((picture, index) for index in range(len(picture.view)))
                while len(queue) >= self._options.score_batch:
                    self._forward_some(queue)
                    yield from self._completed(waiting)
            while waiting:
                self._forward_some(queues[waiting[0].view.shape])
                yield from self._completed(waiting)
        finally:
            pool.shutdown(cancel_futures=True)

    def _admit(self, image: RGBImage, pool: ThreadPoolExecutor) -> _Picture:
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise ImageError(
                f"expected an image (H, W, 3) of uint8, got {image.shape} of {image.dtype}; convert it to 8-bit RGB"
            )
        options = self._options
        height, width = image.shape[:2]
        view = view_of(
            height,
            width,
            whole=self._whole,
            tile=options.tile,
            overlap=options.overlap,
            multiple=self._multiple,
        )
        weights = pool.submit(self._gate.find, image) if self._gate else None
        return _Picture(image, view, weights)

    def _forward_some(self, queue: deque[_Tile]) -> None:
        """Take up to a batch of tiles off ``queue`` and put them through the network."""
        tiles = [queue.popleft() for _ in range(min(len(queue), self._options.score_batch))]
        height, width = tiles[0][0].view.shape
        batch = np.empty((len(tiles), 3, height, width), np.float32)
        for planes, (picture, index) in zip(batch, tiles, strict=True):
            normalise(picture.view.cut(picture.image, index), out=planes)
        maps = self._flipped(batch) if self._flips else self._forward(batch)
        if maps.shape != (len(tiles), height, width):
            raise ComponentError(
                f"expected maps {(len(tiles), height, width)} from the network, got {maps.shape}; its output must have "
                "the input's height and width"
            )
        for values, (picture, _) in zip(maps, tiles, strict=True):
            picture.view.add(values)

    def _flipped(self, batch: NDArray[np.float32]) -> FloatMap:
        """Return the mean of the maps of pictures and their mirror images."""
        total = self._forward(batch)
        for flip in (np.s_[..., ::-1], np.s_[..., ::-1, :], np.s_[..., ::-1, ::-1]):
            total = total + self._forward(np.ascontiguousarray(batch[flip]))[flip]
        return total / np.float32(4)

    def _completed(self, waiting: deque[_Picture]) -> Iterator[tuple[FloatMap, float]]:
        while waiting and waiting[0].view.complete:
            picture = waiting.popleft()
            anomaly_map = picture.view.result()
            if not np.isfinite(anomaly_map.sum(dtype=np.float64)):
                raise ComponentError(
                    "expected finite values from the network, got NaN or infinity; its training diverged, or try "
                    "dtype=float32"
                )
            apply_gate(anomaly_map, picture.weights.result() if picture.weights else None)
            yield anomaly_map, image_score(anomaly_map, top_fraction=self._options.top_fraction)
