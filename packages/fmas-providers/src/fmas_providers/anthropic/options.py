"""The options of the LLM ``anthropic``; readable without the SDK."""

from __future__ import annotations

from pydantic import Field

from fmas_providers.llm.options import LLMOptions

__all__ = ["AnthropicOptions"]


class AnthropicOptions(LLMOptions):
    """Options of the LLM ``anthropic``.

    Attributes:
        model: The model's name at the service.
        base_url: Another address of the service, without ``/v1``; ``ANTHROPIC_BASE_URL`` does the same.
    """

    model: str = Field(default="claude-sonnet-5", min_length=1)
    base_url: str | None = Field(default=None, pattern=r"^https?://")
