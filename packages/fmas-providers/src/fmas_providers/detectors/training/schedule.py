"""What changes from step to step, each as a function of the step alone: resuming then has nothing to restore."""

from __future__ import annotations

import math

__all__ = ["check_steps", "learning_rate"]


def learning_rate(step: int, steps: int, *, highest: float, warmup: float) -> float:
    """Return the learning rate of a step: a linear rise, then a half cosine down to nearly 0.

    Args:
        step: From 0.
        steps: How many there are.
        highest: Reached by the last step of the rise.
        warmup: The part of the steps over which it rises, in [0, 1].
    """
    rise = round(warmup * steps)
    if step < rise:
        return highest * (step + 1) / rise
    # The last step still learns: its rate is that of half a step before the cosine's end.
    done = (step - rise + 0.5) / (steps - rise)
    return highest * 0.5 * (1.0 + math.cos(math.pi * done))


def check_steps(steps: int, checks: int) -> frozenset[int]:
    """Return after how many steps to validate: ``checks`` times at even distances, at the end for sure."""
    return frozenset(max(1, round(steps * number / checks)) for number in range(1, checks + 1))
