"""A complete third-party plugin for fmas; start reading at ``plugin.py``."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0.dev0"
