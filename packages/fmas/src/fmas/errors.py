"""Everything ``fmas`` raises on purpose, in one tree.

::

    FmasError                      one line for the user: expected, got, what to do
    ├── UsageError                 the command or the configuration is wrong         (exit code 2)
    │   ├── ConfigError            an unknown key, a value out of range
    │   └── UnknownComponentError  a name that no plugin registered
    ├── PluginError                a plugin cannot be loaded or breaks its contract
    │   └── MissingRequirementError  (fmas.plugins) what a component requires is not installed; names the command
    ├── ComponentError             a component returned what its contract forbids
    ├── ImageError                 a file that cannot be used as an image
    ├── PlanError                  no usable prompt plan
    ├── OutputError                the output folder cannot be used
    └── ModelError                 a model folder cannot be used

A message has three parts: what was expected, what arrived, what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "ComponentError",
    "ConfigError",
    "FmasError",
    "ImageError",
    "ModelError",
    "OutputError",
    "PlanError",
    "PluginError",
    "UnknownComponentError",
    "UsageError",
    "suggest",
]


class FmasError(Exception):
    """Base of every error that ``fmas`` raises on purpose; ``str(error)`` is one line meant for the user."""


class UsageError(FmasError):
    """The command line or the configuration is wrong; nothing was started."""


class ConfigError(UsageError):
    """A configuration key is unknown or its value is not allowed."""


class UnknownComponentError(UsageError):
    """No plugin registered a component of that name."""


class PluginError(FmasError):
    """A plugin could not be loaded, or what it registers breaks the contract."""


class ComponentError(FmasError):
    """A component returned something that its protocol forbids (a wrong size, dtype or range)."""


class ImageError(FmasError):
    """A file cannot be used as an image: truncated, empty, too large, too small, not an image."""


class PlanError(FmasError):
    """There is no usable prompt plan."""


class OutputError(FmasError):
    """The output folder cannot be used: another run's, locked, not writable, full."""


class ModelError(FmasError):
    """A model folder cannot be used: foreign, unfinished, truncated, of another version."""


def suggest(name: str, known: Iterable[str]) -> str:
    """Say which names are known, and which of them is nearest to ``name``.

    Args:
        name: What the user typed.
        known: Every allowed name.

    Returns:
        A phrase to end an error message with, e.g. ``did you mean 'scratch'? known: crack, scratch``.
    """
    names = sorted(known)
    listing = f"known: {', '.join(names)}" if names else "none are known"
    nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"did you mean {nearest[0]!r}? {listing}" if nearest else listing
