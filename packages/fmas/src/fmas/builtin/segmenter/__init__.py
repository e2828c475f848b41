"""The built-in segmenter: a part on an even background, or a texture that fills the picture; no model, no training.

How it works, on a copy of at most ``working_size`` pixels a side, in lightness and two hues:

1. :mod:`~fmas.builtin.segmenter.background`: the border is cut into segments; the smooth field of colour that most of
   them agree with is the background under uneven light. Up to two such explanations compete.
2. :mod:`~fmas.builtin.segmenter.outline`: what is farther from the background than the background's own spread stands
   out; shadows are told from parts by their hue and their soft rim, holes from highlights by the ground seen in them.
3. :mod:`~fmas.builtin.segmenter.evidence`: the result is a part only when it stands out clearly and sharply, and meets
   the border seldom; else the picture is a texture.
4. :mod:`~fmas.builtin.segmenter.surround`: a texture with a flat dark rim along its border (a part that nearly fills
   the picture) is the picture without that rim.
"""

from __future__ import annotations

from fmas.builtin.segmenter.component import BuiltinSegmenter, SegmenterOptions, create

__all__ = ["BuiltinSegmenter", "SegmenterOptions", "create"]
