"""The ``fmas`` command. Nothing heavy is imported before a command's body runs."""

from __future__ import annotations

from fmas.cli.app import main

__all__ = ["main"]
