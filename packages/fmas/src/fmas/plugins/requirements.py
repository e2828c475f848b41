"""Whether the libraries that a component needs are installed, without importing any of them."""

from __future__ import annotations

import importlib.util
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING

from fmas.errors import PluginError
from fmas.specs import ComponentSpec

if TYPE_CHECKING:
    from fmas.protocols import Component

__all__ = ["MissingRequirementError", "is_required", "missing_requirements"]


class MissingRequirementError(PluginError, ModuleNotFoundError):
    """A component needs a library that is not installed; the message ends with the command that brings it."""


def missing_requirements(spec: ComponentSpec[Component]) -> tuple[str, ...]:
    """Return those of ``spec.requires`` that cannot be found; looks at the import path only and imports nothing."""
    return tuple(name for name in spec.requires if not _is_importable(name))


def is_required(module: str, spec: ComponentSpec[Component]) -> bool:
    """Whether ``module``, its parent or its child is among the requirements."""
    return any(module == one or module.startswith(f"{one}.") or one.startswith(f"{module}.") for one in spec.requires)


def _is_importable(name: str) -> bool:
    top, *rest = name.split(".")
    try:
        found = importlib.util.find_spec(top)
    except ValueError:  # a module without a spec is in sys.modules already
        return True
    for part in rest:  # find_spec("a.b") would import a
        if found is None or found.submodule_search_locations is None:
            return False
        top = f"{top}.{part}"
        found = PathFinder.find_spec(top, found.submodule_search_locations)
    return found is not None
