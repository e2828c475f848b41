"""Finding plugins, keeping the broken ones apart, and creating components by kind and name."""

from __future__ import annotations

from fmas.plugins.loading import ENTRY_POINT_GROUP, load_plugins
from fmas.plugins.registry import Plugin, PluginFailure, PluginOrigin, PluginRegistry, RegisteredComponent
from fmas.plugins.requirements import MissingRequirementError, missing_requirements

__all__ = [
    "ENTRY_POINT_GROUP",
    "MissingRequirementError",
    "Plugin",
    "PluginFailure",
    "PluginOrigin",
    "PluginRegistry",
    "RegisteredComponent",
    "load_plugins",
    "missing_requirements",
]
