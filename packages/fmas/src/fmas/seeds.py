"""One random seed per decision, from the run's seed and the identity of the sample alone.

Neither order, workers, shards, kills nor resumes can change a result, because no random state is carried along.
"""

from __future__ import annotations

import hashlib

import numpy as np

__all__ = ["SampleSeeds", "first_attempt"]

_ATTEMPTS_PER_GENERATION = 1000


def first_attempt(generation: int) -> int:
    """Return the number of the first attempt at a place's picture.

    Args:
        generation: How many pictures of this place were dropped and made anew before; 0 for the first.
    """
    return generation * _ATTEMPTS_PER_GENERATION


class SampleSeeds:
    """The seeds of one pair: ``sha256(run seed | category | relative path | index per image | what | attempt)``.

    Args:
        run_seed: ``--seed``.
        category: The category's folder name.
        relative: The source's POSIX path relative to the images folder.
        pair_index: Which of ``--per-image`` pairs, from 0.
    """

    __slots__ = ("_prefix",)

    def __init__(self, run_seed: int, category: str, relative: str, pair_index: int) -> None:
        self._prefix = f"{run_seed}|{category}|{relative}|{pair_index}"

    def candidate(self, candidate: int, attempt: int) -> int:
        """Return the seed of one candidate's attempt, in ``[0, 2**53)`` so that JSON and JavaScript keep it exact."""
        return self._number(f"{candidate}|{attempt}")

    def generator(self, decision: str) -> np.random.Generator:
        """Return a fresh generator for a decision that is no candidate, e.g. ``region``."""
        return np.random.default_rng(self._number(decision))

    def region(self, generation: int) -> np.random.Generator:
        """Return a fresh generator for where a place's picture gets its defect; each generation has its own."""
        return self.generator(f"region|{generation}" if generation else "region")

    def fraction(self, decision: str) -> float:
        """Return a number in ``[0, 1)`` for a yes-or-no decision."""
        return self._number(decision) / 2**53

    def _number(self, suffix: str) -> int:
        digest = hashlib.sha256(f"{self._prefix}|{suffix}".encode()).digest()
        return int.from_bytes(digest[:8], "big") >> 11
