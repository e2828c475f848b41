"""Saying what went wrong at a service, and what to do about it, in one line without a key."""

from __future__ import annotations

import math
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from time import time

from fmas.errors import PlanError
from fmas.secrecy import one_line
from fmas_providers.llm.backoff import Busy, PatienceEndedError

__all__ = ["Service", "retry_after"]

_TRANSIENT = frozenset({408, 409, 429, 500, 502, 503, 504, 529})
_BAD_REQUEST, _UNAUTHORISED, _UNPAID, _FORBIDDEN, _UNKNOWN = 400, 401, 402, 403, 404


@dataclass(frozen=True, slots=True)
class Service:
    """Who is asked, for messages.

    Attributes:
        name: E.g. ``OpenAI``.
        host: Where it is, without credentials.
        key_variable: Where its key comes from.
        model: The model asked.
        section: Where its options stand, ``llm`` or ``inpainter``.
    """

    name: str
    host: str
    key_variable: str
    model: str
    section: str = "llm"

    def busy(self, status: int | None, reason: str, wait: float | None) -> Busy | None:
        """Say whether a status means "later"; ``None`` as status stands for a connection that failed or timed out."""
        if status is None or status in _TRANSIENT or status >= 500:
            return Busy(reason, wait)
        return None

    def refused(self, status: int, error: Exception) -> PlanError:
        """Turn a status that waiting does not mend into an error that names the fix."""
        said = one_line(error)
        fix = {
            _UNAUTHORISED: f"set {self.key_variable} to a valid key",
            _UNPAID: "see to the account's billing",
            _FORBIDDEN: (
                f"give the key in {self.key_variable} access to {self.model!r}, or choose another {self.section}.model"
            ),
            _UNKNOWN: f"choose an {self.section}.model that this service has, or check {self.section}.base_url",
            _BAD_REQUEST: (
                f"check {self.section}.model and its options"
                + (
                    "; a model without images wants --set llm.reference=false, one without structured output cannot "
                    "be used"
                    if self.section == "llm"
                    else ""
                )
            ),
        }.get(status, f"check {self.section}.model and its options")
        return PlanError(f"expected an answer from {self.name} at {self.host}, got {status}: {said}; {fix}")

    def gave_up(self, ended: PatienceEndedError) -> PlanError:
        """Turn a service that stayed busy into an error."""
        asked = f" and the wish to wait {ended.busy.retry_after:.0f} s" if ended.busy.retry_after is not None else ""
        return PlanError(
            f"expected an answer from {self.name} at {self.host}, got {ended.busy.reason}{asked} after {ended.tries} "
            f"tries and {ended.waited:.1f} s of waiting; run again later, or raise {self.section}.patience"
        )


def retry_after(header: str | None) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks for: a number, or a date; ``None`` for anything else."""
    if not header:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(header).timestamp() - time()
        except (ValueError, TypeError):
            return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None
