"""Waiting for a service that is busy: longer each time, and never longer in all than the user is patient."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

__all__ = ["Backoff", "Busy", "PatienceEndedError"]

ResultT = TypeVar("ResultT")

_FIRST_WAIT = 0.5  # seconds; doubled each time
_LONGEST_WAIT = 8.0


@dataclass(frozen=True, slots=True)
class Busy:
    """What a service said when it could not answer now.

    Attributes:
        reason: A few words for the user, e.g. ``429 Too Many Requests``.
        retry_after: Seconds it asks to wait; ``None`` if it did not say.
    """

    reason: str
    retry_after: float | None = None


class PatienceEndedError(Exception):
    """The service stayed busy.

    Attributes:
        busy: What it said last.
        tries: How often it was asked.
        waited: Seconds waited in all.
    """

    def __init__(self, busy: Busy, tries: int, waited: float) -> None:
        super().__init__(busy.reason)
        self.busy, self.tries, self.waited = busy, tries, waited


@dataclass(frozen=True, slots=True)
class Backoff:
    """Calls again while a service is busy.

    Attributes:
        patience: Seconds that all waits together may take. A wait that would exceed it is not begun, so that a
            ``Retry-After`` of an hour ends at once instead of hanging.
        sleep: Waits; replaced in tests.
    """

    patience: float = 30.0
    sleep: Callable[[float], None] = time.sleep

    def call(self, work: Callable[[], ResultT], busy: Callable[[Exception], Busy | None]) -> ResultT:
        """Return ``work()``.

        Args:
            work: Asks the service once.
            busy: Says whether an error means "later"; ``None`` for one that waiting does not mend, which is raised.

        Raises:
            PatienceEndedError: If the service stayed busy, chained to its last error.
        """
        waited, wait, tries = 0.0, _FIRST_WAIT, 0
        while True:
            tries += 1
            try:
                return work()
            except Exception as error:
                later = busy(error)
                if later is None:
                    raise
                pause = wait if later.retry_after is None else max(later.retry_after, 0.0)
                if waited + pause > self.patience or (pause == 0.0 and tries > _MOST_UNPAUSED):
                    raise PatienceEndedError(later, tries, waited) from error
            self.sleep(pause)
            waited += pause
            wait = min(2 * wait, _LONGEST_WAIT)


_MOST_UNPAUSED = 20  # a service that says "again, at once" for ever must not be asked for ever
