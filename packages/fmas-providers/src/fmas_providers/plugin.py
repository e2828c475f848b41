"""What this package brings to fmas: names and one line each; no SDK is imported here, nor before one is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fmas import hookimpl
from fmas.specs import LLMSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from fmas.specs import Options

__all__ = ["fmas_register_llms"]


def _install(extra: str) -> str:
    return f"pip install 'fmas-providers[{extra}]'"


def _create(module: str) -> Callable[[Options], Any]:
    """Return what imports ``fmas_providers.<module>`` when it is called, and calls its ``create``."""

    def create(options: Options) -> Any:  # noqa: ANN401 (a component of whichever kind the spec is of)
        return import_module(f"fmas_providers.{module}").create(options)

    return create


@hookimpl
def fmas_register_llms() -> list[LLMSpec]:
    """Return the language models."""
    return [
        LLMSpec(
            "openai",
            "GPT, or any server that speaks OpenAI's language (vLLM, Ollama, LM Studio).",
            _create("openai.llm"),
            requires=("openai",),
            install=_install("openai"),
        ),
        LLMSpec(
            "anthropic",
            "Claude.",
            _create("anthropic.llm"),
            requires=("anthropic",),
            install=_install("anthropic"),
        ),
    ]
