"""Calling a service through its SDK: waiting while it is busy, and one clear error for everything else.

OpenAI's and Anthropic's SDKs come out of the same generator: their errors have the same names and mean the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from fmas.errors import PlanError
from fmas.secrecy import one_line
from fmas_providers.llm.backoff import Backoff, Busy, PatienceEndedError
from fmas_providers.llm.faults import Service, retry_after

__all__ = ["SDKErrors", "ask"]

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class SDKErrors:
    """An SDK's exceptions.

    Attributes:
        root: What all of them are.
        timeout: No answer in time.
        connection: No connection.
        status: An answer with an HTTP status that is none of success.
    """

    root: type[Exception]
    timeout: type[Exception]
    connection: type[Exception]
    status: type[Any]
    """``Any``: it carries ``status_code``, ``response`` and ``code``, which no type of ours promises."""

    def busy(self, error: Exception, service: Service) -> Busy | None:
        """Say whether an error means "later"."""
        if isinstance(error, self.timeout):
            return service.busy(None, "no answer in time (timeout)", None)
        if isinstance(error, self.connection):
            return service.busy(None, f"no connection ({one_line(error.__cause__ or error)})", None)
        if isinstance(error, self.status) and getattr(error, "code", None) != _NO_MONEY:
            status, response = error.status_code, error.response
            wait = retry_after(response.headers.get("retry-after"))
            return service.busy(status, f"{status} {response.reason_phrase}".strip(), wait)
        return None


_NO_MONEY = "insufficient_quota"  # a 429 of OpenAI's that no waiting mends


def ask(work: Callable[[], ResultT], service: Service, backoff: Backoff, errors: SDKErrors) -> ResultT:
    """Call the service, waiting while it is busy.

    Args:
        work: One call of the SDK, which must not retry by itself.
        service: Who is asked, for messages.
        backoff: The patience that is left for this question.
        errors: The SDK's.

    Raises:
        PlanError: For everything that waiting does not mend, in one line that names the fix.
    """
    try:
        return backoff.call(work, lambda error: errors.busy(error, service))
    except PatienceEndedError as ended:
        raise service.gave_up(ended) from ended
    except errors.status as error:
        raise service.refused(error.status_code, error) from error
    except (errors.root, ValueError) as error:
        raise PlanError(
            f"expected an answer of the form of {service.name}'s from {service.host}, got {type(error).__name__}: "
            f"{one_line(error)}; check {service.section}.base_url"
        ) from error
