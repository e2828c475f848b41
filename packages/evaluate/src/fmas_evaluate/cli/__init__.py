"""The ``fmas-evaluate`` command. Nothing beyond the package itself is imported before it is needed."""

from __future__ import annotations

from fmas_evaluate.cli.command import main

__all__ = ["main"]
