"""The built-in components as a plugin, like any other: light to import, everything heavy inside ``create``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmas.hookspecs import hookimpl
from fmas.specs import InpainterSpec, LLMSpec, Options, SegmenterSpec, SelectorSpec

if TYPE_CHECKING:
    from fmas.protocols import LLM, Inpainter, Segmenter, Selector

__all__ = [
    "fmas_register_inpainters",
    "fmas_register_llms",
    "fmas_register_segmenters",
    "fmas_register_selectors",
]

_NAME = "builtin"


@hookimpl
def fmas_register_llms() -> list[LLMSpec]:
    """Return the catalogue of documented defects; it always answers the same and costs nothing."""
    summary = "documented industrial defects by family of material, or a list of your own (llm.defects)"
    return [LLMSpec(name=_NAME, summary=summary, create=_create_llm, live=False)]


@hookimpl
def fmas_register_segmenters() -> list[SegmenterSpec]:
    """Return the segmenter that needs no model."""
    summary = "a part on an even background, or a texture that fills the picture; no model"
    return [SegmenterSpec(name=_NAME, summary=summary, create=_create_segmenter)]


@hookimpl
def fmas_register_inpainters() -> list[InpainterSpec]:
    """Return the inpainter that draws defects instead of generating them."""
    summary = "draws each kind of defect as light would show it; no model"
    return [InpainterSpec(name=_NAME, summary=summary, create=_create_inpainter, leaves_traces=False)]


@hookimpl
def fmas_register_selectors() -> list[SelectorSpec]:
    """Return the selector that needs no network."""
    summary = "colour and structure differences at several scales inside the mask's box; no model"
    return [SelectorSpec(name=_NAME, summary=summary, create=_create_selector)]


def _create_llm(options: Options) -> LLM:
    from fmas.builtin.catalogue import create

    return create(options)


def _create_segmenter(options: Options) -> Segmenter:
    from fmas.builtin.segmenter import create

    return create(options)


def _create_inpainter(options: Options) -> Inpainter:
    from fmas.builtin.inpainter import create

    return create(options)


def _create_selector(options: Options) -> Selector:
    from fmas.builtin.selector import create

    return create(options)
