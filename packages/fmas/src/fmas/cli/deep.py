"""``fmas doctor --deep``: every installed component is imported and looked at, each on its own; nothing is downloaded.

Here alone a command imports SDKs before somebody uses them. What a component says of itself comes from the ``diagnose``
of its spec; where there is none it is created, which checks its options and its keys.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from fmas.secrecy import one_line, without_secrets

if TYPE_CHECKING:
    from fmas.config import ComponentConfig
    from fmas.plugins import PluginRegistry
    from fmas.protocols import Component
    from fmas.specs import ComponentKind, ComponentSpec

__all__ = ["DeepRow", "examine_components"]

_OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}


@dataclass(frozen=True, slots=True)
class DeepRow:
    """What was found out about one component.

    Attributes:
        wanted: Whether the settings name it, so that a run from here would use it.
        found: What it says, e.g. library -> version, ``device``, ``weights``.
        error: What keeps it from working, in one line; empty if nothing does.
    """

    kind: ComponentKind
    name: str
    wanted: bool
    found: Mapping[str, str]
    error: str

    @property
    def status(self) -> str:
        """The row in words."""
        said = "; ".join(f"{key} {value}" for key, value in self.found.items())
        return f"{self.error}{f' ({said})' if said else ''}" if self.error else f"ready{f': {said}' if said else ''}"

    def as_json(self) -> dict[str, object]:
        """Return the attributes as JSON values."""
        return {
            "kind": self.kind,
            "name": self.name,
            "wanted": self.wanted,
            "found": dict(self.found),
            "error": self.error or None,
        }


def examine_components(registry: PluginRegistry, wanted: Mapping[ComponentKind, ComponentConfig]) -> list[DeepRow]:
    """Look at every component, one after the other; whatever one raises stays with it.

    Args:
        registry: The installed plugins.
        wanted: Kind -> what the settings name, with its options; others are looked at with their defaults.
    """
    for name, value in _OFFLINE.items():  # read when the SDKs are imported: looking must not fetch gigabytes
        os.environ.setdefault(name, value)
    rivals = {one for claimants in registry.ambiguous() for one in claimants}
    rows = []
    for component in registry.components():
        if component in rivals:
            continue  # told by itself
        spec = component.spec
        named = wanted.get(spec.kind)
        is_wanted = named is not None and named.name == spec.name
        options = named.options if named is not None and is_wanted else {}
        found, error = _examine(spec, options)
        rows.append(DeepRow(spec.kind, spec.name, is_wanted, found, error))
    return rows


def _examine(spec: ComponentSpec[Component], options: Mapping[str, object]) -> tuple[dict[str, str], str]:
    found: dict[str, str] = {}
    try:
        for module in spec.requires:
            found[module] = _version(module, importlib.import_module(module))
        diagnose = getattr(spec, "diagnose", None)
        if diagnose is None:
            spec.create(options)
        else:
            said = cast("Mapping[object, object]", diagnose(options))
            found |= {without_secrets(str(key)): without_secrets(str(value)) for key, value in said.items()}
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 (an SDK's sys.exit must not end the examination)
        advice = f"; run: {spec.install}" if isinstance(error, ModuleNotFoundError) and spec.install else ""
        return found, f"{type(error).__name__}: {one_line(error)}{advice}"
    return found, ""


def _version(name: str, module: object) -> str:
    version = getattr(module, "__version__", None)
    if version is None:
        distributions = importlib.metadata.packages_distributions().get(name, [])
        version = importlib.metadata.version(distributions[0]) if distributions else "installed"
    return str(version)
