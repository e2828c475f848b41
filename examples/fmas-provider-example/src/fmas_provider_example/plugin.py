"""What ``fmas`` finds through the entry point: names, summaries and how to create each component.

This module is imported every time ``fmas`` starts, so it imports the standard library and ``fmas`` only. Whatever is
heavy (here numpy and pydantic, in a real provider an SDK or torch) lives in the module that ``create`` imports.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmas import hookimpl
from fmas.specs import InpainterSpec, LLMSpec, Options, SegmenterSpec, SelectorSpec

if TYPE_CHECKING:
    import typer

    from fmas.protocols import LLM, Inpainter, Segmenter, Selector

__all__ = [
    "fmas_register_commands",
    "fmas_register_inpainters",
    "fmas_register_llms",
    "fmas_register_segmenters",
    "fmas_register_selectors",
]


@hookimpl
def fmas_register_llms() -> list[LLMSpec]:
    """Return the LLM of this plugin."""
    return [
        LLMSpec(
            name="example-fixed",
            summary="Always answers with the same two defects.",
            create=_create_llm,
            live=False,  # two calls answer alike and cost nothing
        )
    ]


@hookimpl
def fmas_register_segmenters() -> list[SegmenterSpec]:
    """Return the segmenter of this plugin."""
    return [
        SegmenterSpec(
            name="example-threshold",
            summary="Everything darker than a threshold is the product.",
            create=_create_segmenter,
            requires=("numpy",),
            install="pip install fmas-provider-example",
        )
    ]


@hookimpl
def fmas_register_inpainters() -> list[InpainterSpec]:
    """Return the inpainter of this plugin."""
    return [InpainterSpec(name="example-spot", summary="Paints one dark spot.", create=_create_inpainter)]


@hookimpl
def fmas_register_selectors() -> list[SelectorSpec]:
    """Return the selector of this plugin."""
    return [SelectorSpec(name="example-mean", summary="Mean absolute difference.", create=_create_selector)]


@hookimpl
def fmas_register_commands(app: typer.Typer) -> None:
    """Add ``fmas example-hello``."""

    @app.command("example-hello")
    def hello(name: str = "inspector") -> None:
        """Say hello, to show how a plugin adds a command."""
        import typer

        typer.echo(f"Hello, {name}!")


def _create_llm(options: Options) -> LLM:
    from fmas_provider_example.llm import create

    return create(options)


def _create_segmenter(options: Options) -> Segmenter:
    from fmas_provider_example.segmenter import create

    return create(options)


def _create_inpainter(options: Options) -> Inpainter:
    from fmas_provider_example.inpainter import create

    return create(options)


def _create_selector(options: Options) -> Selector:
    from fmas_provider_example.selector import create

    return create(options)
