"""Pixels kept whole: what the evaluator counts on in exact mode."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fmas_evaluate.collection import Collection
from fmas_evaluate.counts import DefectCounts
from fmas_evaluate.errors import InvalidInput, InvalidType
from fmas_evaluate.inputs import Pair, read_scores

__all__ = ["ExactPixels"]

_STATE: Final = frozenset({"version", "maps", "defect_scores", "defect_sizes", "n_regions"})
_VERSION: Final = 1


class ExactPixels:
    """Copies of the score maps in their own dtype, and of the masks the defect pixels alone.

    It needs the bytes of the maps, and for each defect pixel its score and the size of its region.
    """

    def __init__(self) -> None:
        self._collection = Collection()
        self._maps: list[NDArray[np.number[Any]]] = []

    @property
    def n_images(self) -> int:
        """Images so far."""
        return self._collection.n_images

    @property
    def n_regions(self) -> int:
        """Defect regions so far."""
        return self._collection.n_regions

    @property
    def n_pixels(self) -> int:
        """Pixels so far, defect and normal."""
        return self._collection.n_pixels

    @property
    def n_defect_pixels(self) -> int:
        """Defect pixels so far."""
        return self._collection.n_defect_pixels

    def add(self, pair: Pair) -> None:
        """Take in a copy of one image."""
        self._collection.add(pair)
        self._maps.append(np.array(pair.scores, order="C"))

    def merge(self, other: ExactPixels) -> None:
        """Take in all images of another; arrays are shared, as nobody writes to them."""
        self._collection.merge(other._collection)
        self._maps += other._maps

    def counts(self, *, threads: int | None = None) -> DefectCounts:
        """Count all pixels against the defect pixels."""
        return self._collection.count(self._maps, threads=threads)

    def state_dict(self) -> dict[str, Any]:
        """Return everything as plain numbers and arrays.

        Returns:
            ``version``; ``maps``, the score maps; ``defect_scores`` and ``defect_sizes``, arrays that belong
            together two by two, and ``n_regions``.
        """
        scores, sizes = self._collection.pixels()
        return {
            "version": _VERSION,
            "maps": list(self._maps),
            "defect_scores": scores,
            "defect_sizes": sizes,
            "n_regions": self.n_regions,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Replace the images by those of a state.

        Args:
            state: As ``state_dict`` returned it.

        Raises:
            InvalidInput: If it is of another version, incomplete, or contradicts itself; nothing is replaced then.
        """
        if set(state) != _STATE or state["version"] != _VERSION:
            raise InvalidInput(
                f"expected an exact state of version {_VERSION} with {', '.join(sorted(_STATE))}, got "
                f"{', '.join(sorted(map(str, state)))} of version {state.get('version')!r}; pass what state_dict() "
                "returned"
            )
        maps = [read_scores(scores, f"image {index} of the state") for index, scores in enumerate(state["maps"])]
        scores = [np.asarray(part) for part in state["defect_scores"]]
        sizes = [np.asarray(part, np.int64) for part in state["defect_sizes"]]
        regions = state["n_regions"]
        if isinstance(regions, bool) or not isinstance(regions, int):
            raise InvalidType(f"expected n_regions as an integer, got {regions!r}; pass what state_dict() returned")
        collection = Collection.restored(maps, scores, sizes, regions)
        self._collection, self._maps = collection, maps
