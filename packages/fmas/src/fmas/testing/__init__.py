"""Conformance checks for plugins: call them in a plugin's own tests, ours pass the same ones.

::

    from fmas.testing import check_llm, check_plugin

    def test_plugin():
        check_plugin(fmas_provider_xyz.plugin)

    def test_llm():
        check_llm(create({"model": "tiny"}))

Each check raises :class:`ConformanceError`, an :class:`AssertionError`, at the first breach. What the component itself
raises passes through unchanged. No check needs pytest, a network or a GPU.
"""

from __future__ import annotations

from fmas.testing.conformance import ConformanceError
from fmas.testing.detector import check_detector
from fmas.testing.fingerprint import check_fingerprint
from fmas.testing.inpainter import check_inpainter
from fmas.testing.llm import check_llm
from fmas.testing.plugin import check_plugin, check_spec
from fmas.testing.segmenter import check_segmenter
from fmas.testing.selector import check_selector

__all__ = [
    "ConformanceError",
    "check_detector",
    "check_fingerprint",
    "check_inpainter",
    "check_llm",
    "check_plugin",
    "check_segmenter",
    "check_selector",
    "check_spec",
]
