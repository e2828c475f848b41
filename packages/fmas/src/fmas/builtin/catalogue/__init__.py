"""The built-in llm: documented industrial defects by family of material, or the user's own list."""

from __future__ import annotations

from fmas.builtin.catalogue.llm import CatalogueLLM, CatalogueOptions, create

__all__ = ["CatalogueLLM", "CatalogueOptions", "create"]
