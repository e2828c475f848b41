"""The providers' pages name settings that exist, and every setting that a user may need is on its page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from fmas_providers.anthropic.options import AnthropicOptions
from fmas_providers.diffusers.options import DiffusersOptions
from fmas_providers.lpips.options import LPIPSOptions
from fmas_providers.openai.options import OpenAIImagesOptions, OpenAIOptions
from fmas_providers.segment_anything.options import SAMOptions
from fmas_providers.transformers_sam.options import SAMHFOptions

PAGES = Path(__file__).parents[2] / "docs" / "how-to"
OPTIONS: dict[str, tuple[str, tuple[type[BaseModel], ...]]] = {
    "use-gpt-or-claude.md": ("llm", (OpenAIOptions, AnthropicOptions)),
    "use-sam.md": ("segmenter", (SAMOptions, SAMHFOptions)),
    "use-diffusers.md": ("inpainter", (DiffusersOptions, OpenAIImagesOptions)),
    "use-lpips.md": ("selector", (LPIPSOptions,)),
}


def keys(model: type[BaseModel], prefix: str) -> set[str]:
    found = set()
    for name, field in model.model_fields.items():
        found.add(f"{prefix}.{name}")
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found |= keys(field.annotation, f"{prefix}.{name}")
    return found


@pytest.mark.parametrize("page", OPTIONS)
def test_settings_on_the_page_exist(page: str) -> None:
    section, models = OPTIONS[page]
    known = set().union({f"{section}.name"}, *(keys(model, section) for model in models))
    named = set(re.findall(rf"\b{section}\.[a-z_.]*[a-z_]", (PAGES / page).read_text(encoding="utf-8")))
    assert named
    assert named - known == set()


@pytest.mark.parametrize("models", [models for _, models in OPTIONS.values()])
def test_every_setting_is_explained_in_its_docstring(models: tuple[type[BaseModel], ...]) -> None:
    for model in models:
        own = [name for name in model.__annotations__ if not name.startswith("model_config")]
        explained = set(re.findall(r"^        ([a-z_]+):", model.__doc__ or "", flags=re.MULTILINE))
        assert set(own) - explained == set(), model
