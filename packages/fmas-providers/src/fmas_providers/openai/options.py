"""The options of the LLM ``openai`` and of the inpainter ``openai-images``; readable without the SDK."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from fmas_providers.llm.options import LLMOptions

__all__ = ["OpenAIImagesOptions", "OpenAIOptions"]


class OpenAIOptions(LLMOptions):
    """Options of the LLM ``openai``.

    Attributes:
        model: The model's name at the service.
        base_url: A compatible server (vLLM, Ollama, LM Studio), e.g. ``http://127.0.0.1:11434/v1``.
        api: ``responses`` or ``chat``; ``auto`` takes chat completions when ``base_url`` is given, since that is what
            compatible servers speak.
        temperature: 0 for the likeliest answer, larger for varied ones; not every model takes it.
    """

    model: str = Field(default="gpt-5.5", min_length=1)
    base_url: str | None = Field(default=None, pattern=r"^https?://")
    api: Literal["auto", "responses", "chat"] = "auto"
    temperature: float | None = Field(default=None, ge=0.0, le=2.0, allow_inf_nan=False)

    @property
    def speaks_chat(self) -> bool:
        """Whether chat completions are used."""
        return self.api == "chat" or (self.api == "auto" and self.base_url is not None)


class OpenAIImagesOptions(BaseModel):
    """Options of the inpainter ``openai-images``.

    Attributes:
        model: The image model's name at the service.
        base_url: A compatible server, e.g. ``http://127.0.0.1:8000/v1``.
        quality: What the service offers; higher costs more.
        size: Side of the square that is sent and comes back, in pixels; crops are padded by reflection to a square.
        parallel: Requests at once.
        timeout: Seconds that one call may take.
        patience: Seconds that all waiting for a busy service may take together, for each picture.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(default="gpt-image-1.5", min_length=1)
    base_url: str | None = Field(default=None, pattern=r"^https?://")
    quality: Literal["auto", "low", "medium", "high"] = "auto"
    size: Literal[256, 512, 1024] = 1024
    parallel: int = Field(default=4, ge=1, le=64)
    timeout: float = Field(default=180.0, gt=0.0, allow_inf_nan=False)
    patience: float = Field(default=30.0, ge=0.0, allow_inf_nan=False)
