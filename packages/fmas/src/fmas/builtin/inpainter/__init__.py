"""Painting defects without a model: one module per physical kind, behind one registry."""

from __future__ import annotations

from fmas.builtin.inpainter.component import BuiltinInpainter, InpainterOptions, create

__all__ = ["BuiltinInpainter", "InpainterOptions", "create"]
