"""The contract a plugin fulfils: one hook per kind of component, each returning specs, and one for commands.

A plugin is a module named by an entry point in group ``fmas.plugins``::

    from fmas import hookimpl
    from fmas.specs import SegmenterSpec

    @hookimpl
    def fmas_register_segmenters() -> list[SegmenterSpec]:
        return [SegmenterSpec(name="mine", summary="…", create=create)]

The module imports only the standard library and ``fmas``; whatever is heavy is imported inside ``create``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    import typer

    from fmas.specs import DetectorSpec, InpainterSpec, LLMSpec, SegmenterSpec, SelectorSpec

__all__ = [
    "PROJECT",
    "fmas_register_commands",
    "fmas_register_detectors",
    "fmas_register_inpainters",
    "fmas_register_llms",
    "fmas_register_segmenters",
    "fmas_register_selectors",
    "hookimpl",
]

PROJECT = "fmas"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def fmas_register_llms() -> Sequence[LLMSpec]:  # type: ignore[empty-body]
    """Return the LLMs this plugin brings."""


@hookspec
def fmas_register_segmenters() -> Sequence[SegmenterSpec]:  # type: ignore[empty-body]
    """Return the segmenters this plugin brings."""


@hookspec
def fmas_register_inpainters() -> Sequence[InpainterSpec]:  # type: ignore[empty-body]
    """Return the inpainters this plugin brings."""


@hookspec
def fmas_register_selectors() -> Sequence[SelectorSpec]:  # type: ignore[empty-body]
    """Return the selectors this plugin brings."""


@hookspec
def fmas_register_detectors() -> Sequence[DetectorSpec]:  # type: ignore[empty-body]
    """Return the detectors this plugin brings."""


@hookspec
def fmas_register_commands(app: typer.Typer) -> None:
    """Add commands to the ``fmas`` application; imports of anything heavy belong inside the command bodies."""
