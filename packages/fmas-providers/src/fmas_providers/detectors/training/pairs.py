"""Pairs before training: which are held out when nobody said so, and a digest to know them again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

import numpy as np

from fmas.types import NormalSyntheticMask

__all__ = ["identity_of", "split_by_photograph", "spread"]

_LOOKED_AT = 32


def spread(count: int, most: int) -> list[int]:
    """Return at most ``most`` of the indices below ``count``, at even distances, the first among them."""
    return sorted({number * count // most for number in range(most)}) if count > most else list(range(count))


def split_by_photograph(
    pairs: Sequence[NormalSyntheticMask], *, fraction: float = 0.15, seed: int = 0
) -> tuple[list[NormalSyntheticMask], list[NormalSyntheticMask]]:
    """Return pairs to learn from and pairs to validate on, which share no photograph.

    Args:
        pairs: All of them, in memory.
        fraction: Of the photographs that are held out; at least one, where there are two or more.
        seed: Which ones.
    """
    by_photograph: dict[bytes, list[int]] = {}
    for index, pair in enumerate(pairs):
        by_photograph.setdefault(hashlib.sha256(pair.normal.tobytes()).digest(), []).append(index)
    groups = list(by_photograph.values())
    held = 0 if len(groups) < 2 else min(max(1, round(fraction * len(groups))), len(groups) - 1)
    chosen = set(np.random.default_rng(seed).permutation(len(groups))[:held].tolist())
    validation = {index for number in chosen for index in groups[number]}
    return (
        [pair for index, pair in enumerate(pairs) if index not in validation],
        [pair for index, pair in enumerate(pairs) if index in validation],
    )


def identity_of(
    detector: Mapping[str, object], pairs: Sequence[NormalSyntheticMask], validation: Sequence[NormalSyntheticMask]
) -> str:
    """Return a digest of a training: name, version and options of the detector, and the pictures.

    Of many pairs, 32 are read, evenly spread: enough to know other data by, and no epoch of reading before the first
    step. `fmas train` keeps a digest of all of them.
    """
    digest = hashlib.sha256(json.dumps(dict(detector), sort_keys=True, allow_nan=False).encode())
    for some in (pairs, validation):
        digest.update(f"|{len(some)}".encode())
        for index in spread(len(some), _LOOKED_AT):
            pair = some[index]
            for picture in (pair.normal, pair.synthetic, pair.mask):
                digest.update(f"|{picture.shape}".encode())
                digest.update(picture.tobytes())
    return digest.hexdigest()
