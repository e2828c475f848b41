"""The connection to OpenAI or a compatible server: keys and addresses."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

import openai

from fmas.errors import ConfigError
from fmas_providers.llm.asking import SDKErrors
from fmas_providers.llm.faults import Service

__all__ = ["ERRORS", "KEY_VARIABLE", "connect"]

KEY_VARIABLE = "OPENAI_API_KEY"
_NO_KEY = "none"  # local servers want no key, the SDK wants one all the same

ERRORS = SDKErrors(openai.OpenAIError, openai.APITimeoutError, openai.APIConnectionError, openai.APIStatusError)


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
