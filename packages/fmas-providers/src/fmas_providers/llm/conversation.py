"""Asking for a plan: one question, one chance to repair the answer, and one clear error for everything else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from fmas.errors import PlanError
from fmas.secrecy import one_line, without_secrets
from fmas.types import PlanRequest, PromptPlan
from fmas_providers.llm.answer import InvalidAnswerError, parse_answer
from fmas_providers.llm.options import LLMOptions
from fmas_providers.llm.question import instructions, question
from fmas_providers.llm.reference import reference_base64
from fmas_providers.llm.usage import Tokens, UsageMeter

__all__ = ["Question", "Reply", "Send", "Turn", "ask_for_defects"]


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation."""

    role: Literal["user", "assistant"]
    text: str
    image: str | None = None
    """Base64 of a JPEG, with the first question only."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is sent.

    Attributes:
        instructions: How the answer is to look.
        turns: The conversation so far; the last one is the user's.
    """

    instructions: str
    turns: tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back.

    Attributes:
        text: The answer, JSON if all went well.
        tokens: What it used.
        refusal: What the model said instead of an answer; empty if it did not refuse.
        truncated: Whether it was cut off for its length.
    """

    text: str
    tokens: Tokens = field(default_factory=Tokens)
    refusal: str = ""
    truncated: bool = False


Send: TypeAlias = Callable[[Question], Reply]
"""Asks a service once, waiting while it is busy; raises :class:`fmas.errors.PlanError` for what waiting cannot mend."""


def ask_for_defects(
    send: Send, request: PlanRequest, options: LLMOptions, meter: UsageMeter, *, who: str
) -> PromptPlan:
    """Ask what can go wrong with a product.

    Args:
        send: The service.
        request: The product and, perhaps, a photograph of it.
        options: The question's form.
        meter: Counts every reply, also an invalid one.
        who: Names the model in messages.

    Raises:
        PlanError: If the model refuses, is cut off, or answers twice with something that is no plan.
    """
    image = reference_base64(request.reference) if options.reference and request.reference is not None else None
    how = options.instructions if options.instructions is not None else instructions(options.defects)
    turns: tuple[Turn, ...] = (Turn("user", question(options.template, request.object), image),)
    text = _answer(send, Question(how, turns), meter, options, who)
    try:
        return parse_answer(text)
    except InvalidAnswerError as error:
        repair = f"Your answer cannot be used: {one_line(error)}. Answer again with all defects, in the form asked for."
    turns = (*turns, Turn("assistant", text or "(nothing)"), Turn("user", repair))
    text = _answer(send, Question(how, turns), meter, options, who)
    try:
        return parse_answer(text)
    except InvalidAnswerError as error:
        raise PlanError(
            f"expected defects from {who}, got twice an answer that is none: {one_line(error)}; run again, or choose "
            "another llm.model"
        ) from error


def _answer(send: Send, asked: Question, meter: UsageMeter, options: LLMOptions, who: str) -> str:
    reply = send(asked)
    meter.add(reply.tokens)
    if reply.refusal:
        raise PlanError(
            f"expected defects from {who}, got a refusal: {_short(reply.refusal)}; reword --object or "
            "llm.template, or choose another llm.model"
        )
    if reply.truncated:
        raise PlanError(
            f"expected a whole answer from {who}, got one cut off after {options.max_output_tokens} tokens; "
            "raise llm.max_output_tokens or ask for fewer llm.defects"
        )
    return without_secrets(reply.text)  # whatever a server may repeat, a plan is a file


def _short(text: str) -> str:
    return one_line(ValueError(text))[:300]
