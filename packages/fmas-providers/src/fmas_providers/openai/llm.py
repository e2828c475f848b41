"""The LLM ``openai``: GPT through the Responses API, any compatible server through chat completions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import openai

from fmas.errors import PlanError
from fmas.options import parse_options
from fmas.specs import Options
from fmas.types import Fingerprint, PlanRequest, PromptPlan
from fmas_providers.llm.answer import SCHEMA_NAME, answer_schema
from fmas_providers.llm.asking import ask
from fmas_providers.llm.backoff import Backoff
from fmas_providers.llm.conversation import Question, Reply, Turn, ask_for_defects
from fmas_providers.llm.reference import REFERENCE_TYPE
from fmas_providers.llm.usage import Tokens, UsageMeter
from fmas_providers.openai.options import OpenAIOptions
from fmas_providers.openai.service import ERRORS, connect

__all__ = ["OpenAILLM", "create"]

_VERSION = "2"  # raise it whenever the same options would ask another question


def create(options: Options) -> OpenAILLM:
    """Return the LLM; ``options`` are those of :class:`OpenAIOptions`, the key comes from ``OPENAI_API_KEY``."""
    return OpenAILLM(parse_options(OpenAIOptions, options, section="llm"))


class OpenAILLM:
    """Asks for defects; see the module's first line."""

    def __init__(self, options: OpenAIOptions, *, backoff: Backoff | None = None) -> None:
        self._options = options
        self._backoff = backoff or Backoff(options.patience)
        self._meter = UsageMeter(price_input=options.price_input, price_output=options.price_output)
        self._client, self._service = connect(base_url=options.base_url, timeout=options.timeout, model=options.model)

    def fingerprint(self) -> Fingerprint:
        """Return name, version and options."""
        return Fingerprint("openai", _VERSION, self._options.model_dump(mode="json"))

    def usage(self) -> Mapping[str, object]:
        """Return the totals of all calls so far: calls, tokens, cost."""
        return self._meter.as_dict()

    def plan(self, request: PlanRequest) -> PromptPlan:
        """Ask what can go wrong with ``request.object``.

        Raises:
            PlanError: If there is no usable answer; the message names the fix.
        """
        send = self._chat if self._options.speaks_chat else self._responses
        backoff = self._backoff.renewed()
        return ask_for_defects(
            lambda asked: send(asked, backoff), request, self._options, self._meter, who=f"{self._options.model!r}"
        )

    def _responses(self, question: Question, backoff: Backoff) -> Reply:
        options = self._options
        response = ask(
            lambda: self._client.responses.create(
                model=options.model,
                instructions=question.instructions,
                input=[_responses_turn(turn) for turn in question.turns],
                max_output_tokens=options.max_output_tokens,
                temperature=openai.omit if options.temperature is None else options.temperature,
                text={
                    "format": {"type": "json_schema", "name": SCHEMA_NAME, "schema": answer_schema(), "strict": True}
                },
                store=False,
            ),
            self._service,
            backoff,
            ERRORS,
        )
        outputs: list[Any] = list(response.output or []) if hasattr(response, "output") else []
        parts: list[Any] = [part for output in outputs for part in getattr(output, "content", None) or []]
        if not outputs:
            raise self._strange("a response without output")
        usage = getattr(response, "usage", None)
        details = getattr(response, "incomplete_details", None)
        reason = getattr(details, "reason", None)
        return Reply(
            text="".join(part.text or "" for part in parts if getattr(part, "type", "") == "output_text"),
            tokens=Tokens(getattr(usage, "input_tokens", None), getattr(usage, "output_tokens", None)),
            refusal=" ".join(part.refusal for part in parts if getattr(part, "type", "") == "refusal")
            or ("its content filter stopped the answer" if reason == "content_filter" else ""),
            truncated=reason == "max_output_tokens",
        )

    def _chat(self, question: Question, backoff: Backoff) -> Reply:
        options = self._options
        messages: list[Any] = [
            {"role": "system", "content": question.instructions},
            *(_chat_turn(turn) for turn in question.turns),
        ]
        completion = ask(
            lambda: self._client.chat.completions.create(
                model=options.model,
                messages=messages,
                max_tokens=options.max_output_tokens,
                temperature=openai.omit if options.temperature is None else options.temperature,
                response_format={
                    "type": "json_schema",
                    "json_schema": {"name": SCHEMA_NAME, "schema": answer_schema(), "strict": True},
                },
            ),
            self._service,
            backoff,
            ERRORS,
        )
        choices: list[Any] = list(getattr(completion, "choices", None) or [])
        message = getattr(choices[0], "message", None) if choices else None
        if message is None:
            raise self._strange("a completion without a message")
        finished = getattr(choices[0], "finish_reason", None)
        usage = getattr(completion, "usage", None)
        return Reply(
            text=getattr(message, "content", None) or "",
            tokens=Tokens(getattr(usage, "prompt_tokens", None), getattr(usage, "completion_tokens", None)),
            refusal=getattr(message, "refusal", None)
            or ("its content filter stopped the answer" if finished == "content_filter" else ""),
            truncated=finished == "length",
        )

    def _strange(self, what: str) -> PlanError:
        return PlanError(
            f"expected an answer from {self._service.name} at {self._service.host}, got {what}; check llm.base_url and "
            "llm.api"
        )


def _responses_turn(turn: Turn) -> dict[str, object]:
    kind = "input_text" if turn.role == "user" else "output_text"
    content: list[dict[str, object]] = [{"type": kind, "text": turn.text}]
    if turn.image is not None:
        content.append(
            {"type": "input_image", "detail": "auto", "image_url": f"data:{REFERENCE_TYPE};base64,{turn.image}"}
        )
    return {"role": turn.role, "content": content}


def _chat_turn(turn: Turn) -> dict[str, object]:
    if turn.image is None:
        return {"role": turn.role, "content": turn.text}
    picture = {"type": "image_url", "image_url": {"url": f"data:{REFERENCE_TYPE};base64,{turn.image}"}}
    return {"role": turn.role, "content": [{"type": "text", "text": turn.text}, picture]}
