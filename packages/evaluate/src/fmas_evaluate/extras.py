"""Libraries that only the command needs, imported when a file asks for them."""

from __future__ import annotations

import importlib
from types import ModuleType

__all__ = ["MissingExtra", "extra_module"]


class MissingExtra(ModuleNotFoundError):  # noqa: N818 (named as errors.InvalidInput is)
    """A library of the extra ``cli`` is not installed."""


def extra_module(name: str, *, purpose: str, distribution: str | None = None) -> ModuleType:
    """Import what the extra ``cli`` brings.

    Args:
        name: The module.
        purpose: What it is needed for, for the message.
        distribution: The package that brings it, if that has another name.

    Raises:
        MissingExtra: If it is not installed; the message ends with the command that installs it.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name.partition(".")[0]:
            raise
        raise MissingExtra(
            f"expected {distribution or name} {purpose}, got no such package; install it: "
            "pip install 'fmas-evaluate[cli]'",
            name=error.name,
        ) from error
