"""The connection to OpenAI or a compatible server: keys, addresses, waiting, and errors that say what to do."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit

import openai

from fmas.errors import ConfigError, PlanError
from fmas.secrecy import one_line
from fmas_providers.llm.backoff import Backoff, Busy, PatienceEndedError
from fmas_providers.llm.faults import Service, retry_after

__all__ = ["KEY_VARIABLE", "ask", "connect"]

KEY_VARIABLE = "OPENAI_API_KEY"
_NO_KEY = "none"  # local servers want no key, the SDK wants one all the same

ResultT = TypeVar("ResultT")


def connect(*, base_url: str | None, timeout: float, model: str, section: str = "llm") -> tuple[openai.OpenAI, Service]:
    """Return a client that never retries by itself, and who it talks to.

    Args:
        base_url: A compatible server, e.g. ``http://127.0.0.1:8000/v1``; OpenAI, or what ``OPENAI_BASE_URL`` names, by
            default. With it no key is needed.
        timeout: Seconds for one call.
        model: For messages.
        section: Where the options stand, for messages.

    Raises:
        ConfigError: If there is no key and no other server.
    """
    key = os.environ.get(KEY_VARIABLE)
    elsewhere = base_url or os.environ.get("OPENAI_BASE_URL")
    if not key and not elsewhere:
        raise ConfigError(
            f"expected a key in the environment variable {KEY_VARIABLE}, got none; set it, or name a server of your "
            f"own with --set {section}.base_url=http://…"
        )
    # max_retries=0: the SDK obeys a Retry-After of any length, or gives up at once; the backoff is ours.
    client = openai.OpenAI(api_key=key or _NO_KEY, base_url=base_url, timeout=timeout, max_retries=0)
    host = urlsplit(str(client.base_url)).netloc.rpartition("@")[2]
    return client, Service(
        "OpenAI" if not elsewhere else "the OpenAI-compatible server", host, KEY_VARIABLE, model, section
    )


def ask(work: Callable[[], ResultT], service: Service, backoff: Backoff) -> ResultT:
    """Call the service, waiting while it is busy.

    Raises:
        PlanError: For everything that waiting does not mend, in one line that names the fix.
    """
    try:
        return backoff.call(work, lambda error: _busy(error, service))
    except PatienceEndedError as ended:
        raise service.gave_up(ended) from ended
    except openai.APIStatusError as error:
        raise service.refused(error.status_code, error) from error
    except (openai.OpenAIError, ValueError) as error:
        raise PlanError(
            f"expected an answer of the form of {service.name}'s from {service.host}, got {type(error).__name__}: "
            f"{one_line(error)}; check {service.section}.base_url"
        ) from error


def _busy(error: Exception, service: Service) -> Busy | None:
    if isinstance(error, openai.APITimeoutError):
        return service.busy(None, "no answer in time (timeout)", None)
    if isinstance(error, openai.APIConnectionError):
        cause = error.__cause__ or error
        return service.busy(None, f"no connection ({one_line(cause)})", None)
    if isinstance(error, openai.APIStatusError):
        if _quota_is_spent(error):
            return None  # waiting brings no money
        wait = retry_after(error.response.headers.get("retry-after"))
        return service.busy(error.status_code, f"{error.status_code} {error.response.reason_phrase}".strip(), wait)
    return None


def _quota_is_spent(error: openai.APIStatusError) -> bool:
    return bool(error.code == "insufficient_quota")
