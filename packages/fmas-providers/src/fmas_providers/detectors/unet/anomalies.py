"""What the network learns to mark: synthetic pairs, CutPaste scars on their good twins, or both in turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias, overload

import numpy as np

from fmas.types import NormalSyntheticMask
from fmas_providers.detectors.scars import cutpaste_scar

__all__ = ["Anomalies", "LazyPairs", "held_out_from", "learnt_from"]

Anomalies: TypeAlias = Literal["fmas", "scars", "both"]

_PER_PHOTOGRAPH = 16  # a scar costs a millisecond, so there is no reason to see the same one again and again
_LEARNT, _HELD_OUT = 0, 1  # so that the two draw from different streams


class LazyPairs(Sequence[NormalSyntheticMask]):
    """Pairs that are made when they are asked for, each time anew.

    Args:
        count: How many there are.
        make: Position -> pair, the same at every call.
    """

    __slots__ = ("_count", "_make")

    def __init__(self, count: int, make: Callable[[int], NormalSyntheticMask]) -> None:
        self._count, self._make = count, make

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> NormalSyntheticMask: ...
    @overload
    def __getitem__(self, index: slice) -> LazyPairs: ...

    def __getitem__(self, index: int | slice) -> NormalSyntheticMask | LazyPairs:
        chosen = range(self._count)[index]  # raises IndexError as a list would
        if isinstance(chosen, range):
            return LazyPairs(len(chosen), lambda number: self[chosen[number]])
        return self._make(chosen)


def learnt_from(
    pairs: Sequence[NormalSyntheticMask], anomalies: Anomalies, *, seed: int
) -> Sequence[NormalSyntheticMask]:
    """Return what to draw from for training, each kind equally often.

    Args:
        pairs: The synthetic pairs.
        anomalies: ``scars`` are pasted into the good pictures of ``pairs``, 16 for each; nothing else of the pairs is
            looked at.
        seed: Of the scars.
    """
    if anomalies == "fmas":
        return pairs
    scars = _scars(pairs, _PER_PHOTOGRAPH, seed, _LEARNT)
    if anomalies == "scars":
        return scars
    return LazyPairs(2 * len(scars), lambda index: scars[index // 2] if index % 2 else pairs[index // 2 % len(pairs)])


def held_out_from(
    pairs: Sequence[NormalSyntheticMask], anomalies: Anomalies, *, seed: int
) -> Sequence[NormalSyntheticMask]:
    """Return what to validate with: defects of the kinds that are learnt, on photographs that are not."""
    if anomalies == "fmas":
        return pairs
    scars = _scars(pairs, 1, seed, _HELD_OUT)
    if anomalies == "scars":
        return scars
    count = len(pairs)
    return LazyPairs(2 * count, lambda index: pairs[index] if index < count else scars[index - count])


def _scars(pairs: Sequence[NormalSyntheticMask], each: int, seed: int, stream: int) -> LazyPairs:
    def make(index: int) -> NormalSyntheticMask:
        normal = pairs[index % len(pairs)].normal
        scarred, mask = cutpaste_scar(normal, np.random.default_rng((seed, stream, index)))
        return NormalSyntheticMask(normal, scarred, mask)

    return LazyPairs(len(pairs) * each, make)
