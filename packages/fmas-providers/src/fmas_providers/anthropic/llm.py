"""The LLM ``anthropic``: Claude through the Messages API, with structured output."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import anthropic

from fmas.errors import ConfigError, PlanError
from fmas.options import parse_options
from fmas.specs import Options
from fmas.types import Fingerprint, PlanRequest, PromptPlan
from fmas_providers.anthropic.options import AnthropicOptions
from fmas_providers.llm.answer import answer_schema
from fmas_providers.llm.asking import SDKErrors, ask
from fmas_providers.llm.backoff import Backoff
from fmas_providers.llm.conversation import Question, Reply, Turn, ask_for_defects
from fmas_providers.llm.faults import Service
from fmas_providers.llm.reference import REFERENCE_TYPE
from fmas_providers.llm.usage import Tokens, UsageMeter

__all__ = ["AnthropicLLM", "create"]

_VERSION = "2"  # raise it whenever the same options would ask another question
_KEYS = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN")
_ERRORS = SDKErrors(
    anthropic.AnthropicError, anthropic.APITimeoutError, anthropic.APIConnectionError, anthropic.APIStatusError
)


def create(options: Options) -> AnthropicLLM:
    """Return the LLM; ``options`` are those of :class:`AnthropicOptions`, the key comes from ``ANTHROPIC_API_KEY``."""
    return AnthropicLLM(parse_options(AnthropicOptions, options, section="llm"))


class AnthropicLLM:
    """Asks for defects; see the module's first line.

    Raises:
        ConfigError: If there is no key.
    """

    def __init__(self, options: AnthropicOptions, *, backoff: Backoff | None = None) -> None:
        if not any(os.environ.get(name) for name in _KEYS):
            raise ConfigError(f"expected a key in the environment variable {_KEYS[0]}, got none; set it and run again")
        self._options = options
        self._backoff = backoff or Backoff(options.patience)
        self._meter = UsageMeter(price_input=options.price_input, price_output=options.price_output)
        # max_retries=0: the SDK would sleep through a Retry-After of an hour; the backoff is ours.
        self._client = anthropic.Anthropic(base_url=options.base_url, timeout=options.timeout, max_retries=0)
        host = urlsplit(str(self._client.base_url)).netloc.rpartition("@")[2]
        self._service = Service("Anthropic", host, _KEYS[0], options.model)

    def fingerprint(self) -> Fingerprint:
        """Return name, version and options."""
        return Fingerprint("anthropic", _VERSION, self._options.model_dump(mode="json"))

    def usage(self) -> Mapping[str, object]:
        """Return the totals of all calls so far: calls, tokens, cost."""
        return self._meter.as_dict()

    def plan(self, request: PlanRequest) -> PromptPlan:
        """Ask what can go wrong with ``request.object``.

        Raises:
            PlanError: If there is no usable answer; the message names the fix.
        """
        backoff = self._backoff.renewed()
        return ask_for_defects(
            lambda asked: self._send(asked, backoff),
            request,
            self._options,
            self._meter,
            who=f"{self._options.model!r}",
        )

    def _send(self, question: Question, backoff: Backoff) -> Reply:
        message = ask(
            lambda: self._client.messages.create(
                model=self._options.model,
                max_tokens=self._options.max_output_tokens,
                system=question.instructions,
                messages=[_turn(turn) for turn in question.turns],
                output_config={"format": {"type": "json_schema", "schema": answer_schema()}},
            ),
            self._service,
            backoff,
            _ERRORS,
        )
        parts: list[Any] = list(getattr(message, "content", None) or [])
        stopped = getattr(message, "stop_reason", None)
        if not parts and stopped not in ("refusal", "max_tokens"):
            raise PlanError(
                f"expected an answer from {self._service.name} at {self._service.host}, got a message without content; "
                "run again, or check llm.base_url"
            )
        usage = getattr(message, "usage", None)
        text = "".join(getattr(part, "text", None) or "" for part in parts if getattr(part, "type", "") == "text")
        return Reply(
            text=text,
            tokens=Tokens(getattr(usage, "input_tokens", None), getattr(usage, "output_tokens", None)),
            refusal=(text or "it gave no reason") if stopped == "refusal" else "",
            truncated=stopped == "max_tokens",
        )


def _turn(turn: Turn) -> dict[str, object]:
    if turn.image is None:
        return {"role": turn.role, "content": turn.text}
    picture = {"type": "image", "source": {"type": "base64", "media_type": REFERENCE_TYPE, "data": turn.image}}
    return {"role": turn.role, "content": [picture, {"type": "text", "text": turn.text}]}
