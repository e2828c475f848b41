"""Which defect each pair gets when the defects are to come out in given proportions: ``--balance``.

The assignment counts the pairs of the whole run, before anything is painted, so that it is the same whatever the
shards, workers, limits and failures. It is a Pfair schedule (Baruah and others, "Proportionate progress", 1996): the
j-th pair of a share ``p`` lies at a position from ``floor((j - 1) / p) + 1`` to ``ceil(j / p)``. Whatever order keeps
every pair inside its window has, after any number of pairs, each share within one pair of its proportion. The earliest
deadline first gives one such order; chance then swaps pairs whose windows allow it, so that a fixed alternation of
defects cannot fall in step with how the photographs are sorted.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fmas.errors import ConfigError, suggest
from fmas.plan import StoredPlan
from fmas.proportions import EVEN, EVEN_KINDS, KIND_PREFIX, read_proportions
from fmas.seeds import SampleSeeds
from fmas.slugs import slug

__all__ = ["Balance", "Quota", "Share", "balance_of"]

_CHUNK = 256
_SWEEPS = 8


@dataclass(frozen=True, slots=True)
class Quota:
    """One share of the pairs.

    Attributes:
        name: What the user calls it.
        weight: Its size relative to the others', above 0.
        defects: Positions in the plan of the defects that share it evenly; at least one.
    """

    name: str
    weight: int
    defects: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Share:
    """What was asked of one quota, and what came of it.

    Attributes:
        name: The quota's.
        asked: Its proportion, a fraction in ``(0, 1]``.
        made: Pairs in the output folder.
    """

    name: str
    asked: float
    made: int


@dataclass(frozen=True, slots=True)
class Balance:
    """The proportions that a run's defects are to come out in.

    Attributes:
        quotas: At least one.
    """

    quotas: tuple[Quota, ...]

    def order(self, run_seed: int, category: str) -> Iterator[int]:
        """Yield the defect of each pair, as its position in the plan, without end.

        Among the first n, each quota has ``floor(n p)`` or ``ceil(n p)`` pairs, where p is its proportion, and within
        a quota no defect has two pairs more than another.
        """
        seeds = SampleSeeds(run_seed, category, "", 0)  # no photograph has an empty path
        generators = [seeds.generator(f"balance|{quota.name}") for quota in self.quotas]
        cycles: list[list[int]] = [[] for _ in self.quotas]
        for number in _proportionate([quota.weight for quota in self.quotas], seeds.generator("balance")):
            if not cycles[number]:
                cycles[number] = [int(one) for one in generators[number].permutation(self.quotas[number].defects)]
            yield cycles[number].pop()

    def shares(self, slugs: Sequence[str], made: Mapping[str, int]) -> tuple[Share, ...]:
        """Compare what was asked with what was made.

        Args:
            slugs: Folder name of each of the plan's defects.
            made: Folder name -> pairs.
        """
        whole = sum(quota.weight for quota in self.quotas)
        return tuple(
            Share(quota.name, quota.weight / whole, sum(made.get(slugs[defect], 0) for defect in quota.defects))
            for quota in self.quotas
        )


def balance_of(text: str | None, plan: StoredPlan) -> Balance | None:
    """Apply proportions to a plan; ``None`` where none are asked for.

    A name is a defect's (its name or its folder's), else a kind, which all its defects share that are not named
    themselves; ``kind:NAME`` is always the kind. What is not named, or has weight 0, is left out.

    Args:
        text: As :func:`fmas.proportions.canonical_proportions` writes it.
        plan: Whose defects.

    Raises:
        ConfigError: If a name is neither, or nothing is left for it.
    """
    if text is None:
        return None
    if text == EVEN:
        return Balance(tuple(Quota(name, 1, (index,)) for index, name in enumerate(plan.slugs)))
    kinds: dict[str, list[int]] = {}
    for index, defect in enumerate(plan.defects):
        kinds.setdefault(defect.kind.value, []).append(index)
    if text == EVEN_KINDS:
        return Balance(tuple(Quota(kind, 1, tuple(members)) for kind, members in sorted(kinds.items())))
    weights = read_proportions(text)
    named: dict[str, int] = {}
    for name in weights:
        found = _defect_named(name, plan)
        if found is not None:
            if found in named.values():
                raise ConfigError(
                    f"expected each defect once in balance, got {plan.slugs[found]!r} under two names; remove one"
                )
            named[name] = found
    quotas = []
    for name, weight in weights.items():
        members: tuple[int, ...]
        if name in named:
            members = (named[name],)
        else:
            members = tuple(one for one in _kind_named(name, kinds, plan) if one not in named.values())
            if not members:
                raise ConfigError(
                    f"expected a defect that is left for {name!r} in balance, got a kind whose defects are all named "
                    "themselves; remove it"
                )
        if weight:
            quotas.append(Quota(name, weight, members))
    return Balance(tuple(quotas))


def _defect_named(name: str, plan: StoredPlan) -> int | None:
    if name.startswith(KIND_PREFIX):
        return None
    folder = slug(name, fallback="")
    return plan.slugs.index(folder) if folder in plan.slugs else None


def _kind_named(name: str, kinds: Mapping[str, Sequence[int]], plan: StoredPlan) -> Sequence[int]:
    kind = name.removeprefix(KIND_PREFIX).strip().lower()
    if kind not in kinds:
        known = [*kinds] if name.startswith(KIND_PREFIX) else [*kinds, *plan.slugs]
        raise ConfigError(
            f"expected a defect or a kind of the plan in balance, got {name!r}; {suggest(kind, {*known})}"
        )
    return kinds[kind]


@dataclass(frozen=True, slots=True)
class _Unit:
    """One pair of one quota, and the positions, from 1, at which it keeps every quota in proportion."""

    quota: int
    first: int
    last: int


def _proportionate(weights: Sequence[int], generator: np.random.Generator) -> Iterator[int]:
    """Yield the number of a quota, without end, each as often as its weight says after any number of pairs."""
    units = _earliest_deadline_first(weights)
    start = 1
    while True:
        chunk = [next(units) for _ in range(_CHUNK)]
        _swap(chunk, start, generator)
        yield from (unit.quota for unit in chunk)
        start += _CHUNK


def _earliest_deadline_first(weights: Sequence[int]) -> Iterator[_Unit]:
    """Yield units in an order that keeps each inside its window."""
    whole = sum(weights)
    coming = [(1, quota) for quota in range(len(weights))]  # (first position, quota) of each quota's next unit
    ready: list[tuple[int, int, int]] = []  # (last position, quota, first position)
    made = [0] * len(weights)
    heapq.heapify(coming)
    position = 0
    while True:
        position += 1
        while coming and coming[0][0] <= position:
            first, quota = heapq.heappop(coming)
            last = -(-(made[quota] + 1) * whole // weights[quota])
            heapq.heappush(ready, (last, quota, first))
        last, quota, first = heapq.heappop(ready)
        made[quota] += 1
        heapq.heappush(coming, (made[quota] * whole // weights[quota] + 1, quota))
        yield _Unit(quota, first, last)


def _swap(chunk: list[_Unit], start: int, generator: np.random.Generator) -> None:
    """Shuffle ``chunk``, whose first position is ``start``, so that all units stay inside their windows.

    A Metropolis walk over all such orders, towards each being equally likely: a unit proposes a place of its window,
    and an exchange with a unit of a longer window, which would propose the way back less often, is refused as often.
    """
    size = len(chunk)
    for sweep in generator.random((_SWEEPS, size, 2)).tolist():
        for here, (chance, consent) in enumerate(sweep):
            unit = chunk[here]
            low, high = max(unit.first - start, 0), min(unit.last - start, size - 1)
            there = low + int(chance * (high - low + 1))
            other = chunk[there]
            if other.first <= here + start <= other.last:
                length = min(other.last - start, size - 1) - max(other.first - start, 0) + 1
                if consent * length < high - low + 1:
                    chunk[here], chunk[there] = other, unit
