"""The options that all language models share."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator

from fmas_providers.llm.question import PAPER_QUESTION

__all__ = ["LLMOptions"]


class LLMOptions(BaseModel):
    """Options of a language model.

    Attributes:
        model: The model's name at the service.
        template: The question; ``{object}`` stands for the product. The paper's by default.
        instructions: How the answer is to look; ours by default.
        defects: How many defects to ask for.
        reference: Whether the first photograph goes along; for models that take images.
        max_output_tokens: The answer's longest length.
        timeout: Seconds that one call may take.
        patience: Seconds that all waiting for a busy service may take together.
        price_input: US dollars per million input tokens, to compute the cost in ``run.json``.
        price_output: US dollars per million output tokens.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(min_length=1)
    template: str = Field(default=PAPER_QUESTION, min_length=1)
    instructions: str | None = None
    defects: int = Field(default=8, ge=1, le=50)
    reference: bool = True
    max_output_tokens: int = Field(default=8192, ge=64)
    timeout: float = Field(default=120.0, gt=0.0, allow_inf_nan=False)
    patience: float = Field(default=30.0, ge=0.0, allow_inf_nan=False)
    price_input: float | None = Field(default=None, ge=0.0, allow_inf_nan=False)
    price_output: float | None = Field(default=None, ge=0.0, allow_inf_nan=False)

    @field_validator("template")
    @classmethod
    def _names_the_product(cls, value: str) -> str:
        if "{object}" not in value:
            raise ValueError(f"expected a template that holds {{object}}, got {value[:80]!r}; add it")
        return value
