"""Waiting for a service that is busy: longer each time, and never longer in all than the user is patient."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
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
        waited: Seconds waited between tries, for the whole question.
    """

    def __init__(self, busy: Busy, tries: int, waited: float) -> None:
        super().__init__(busy.reason)
        self.busy, self.tries, self.waited = busy, tries, waited


@dataclass(slots=True)
class Backoff:
    """Calls again while a service is busy; one for each question, however many calls that takes.

    Attributes:
        patience: Seconds that all waits together may take, calls that came to nothing included. A wait that would
            exceed it is not begun, so that a ``Retry-After`` of an hour ends at once instead of hanging.
        sleep: Waits; replaced in tests.
        clock: Tells the time in seconds; replaced in tests.
    """

    patience: float = 30.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    _waited: float = field(default=0.0, init=False)
    _lost: float = field(default=0.0, init=False)

    def renewed(self) -> Backoff:
        """Return one that has not waited yet, for the next question."""
        return Backoff(self.patience, self.sleep, self.clock)

    def call(self, work: Callable[[], ResultT], busy: Callable[[Exception], Busy | None]) -> ResultT:
        """Return ``work()``.

        Args:
            work: Asks the service once.
            busy: Says whether an error means "later"; ``None`` for one that waiting does not mend, which is raised.

        Raises:
            PatienceEndedError: If the service stayed busy, chained to its last error.
        """
        wait, tries = _FIRST_WAIT, 0
        while True:
            tries += 1
            began = self.clock()
            try:
                return work()
            except Exception as error:
                later = busy(error)
                if later is None:
                    raise
                pause = wait if later.retry_after is None else max(later.retry_after, 0.0)
                self._lost += self.clock() - began  # most of all a call that timed out
                spent = self._waited + self._lost
                if spent + pause > self.patience or (pause == 0.0 and tries > _MOST_UNPAUSED):
                    raise PatienceEndedError(later, tries, self._waited) from error
            self.sleep(pause)
            self._waited += pause
            wait = min(2 * wait, _LONGEST_WAIT)


_MOST_UNPAUSED = 20  # a service that says "again, at once" for ever must not be asked for ever
