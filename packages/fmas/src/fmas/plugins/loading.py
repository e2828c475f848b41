"""Loading entry points of group ``fmas.plugins``, one at a time.

Each plugin has a pluggy manager of its own, so that nothing one plugin does (a wrapper, a misspelt hook) reaches
another. A plugin that fails in any way contributes nothing and is kept as a failure.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import re
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pluggy

from fmas import hookspecs
from fmas.errors import PluginError, suggest
from fmas.plugins.registry import Plugin, PluginFailure, PluginOrigin, PluginRegistry
from fmas.specs import (
    COMPONENT_KINDS,
    ComponentKind,
    ComponentSpec,
    DetectorSpec,
    InpainterSpec,
    LLMSpec,
    SegmenterSpec,
    SelectorSpec,
)

if TYPE_CHECKING:  # discovery must not cost numpy and pydantic
    from fmas.protocols import Component

__all__ = ["ENTRY_POINT_GROUP", "load_plugins"]

ENTRY_POINT_GROUP = "fmas.plugins"

_HOOKS = (*(f"fmas_register_{kind}s" for kind in COMPONENT_KINDS), "fmas_register_commands")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
_SPEC_TYPES = (LLMSpec, SegmenterSpec, InpainterSpec, SelectorSpec, DetectorSpec)


def load_plugins(entry_points: Iterable[importlib.metadata.EntryPoint] | None = None) -> PluginRegistry:
    """Load every plugin, one at a time.

    Args:
        entry_points: What to load; by default all installed entry points of group ``fmas.plugins``.

    Returns:
        The registry. Whatever a plugin raises, ``SystemExit`` included and ``KeyboardInterrupt`` excluded, is in its
        ``failures``. What a plugin prints while it loads goes to stderr, because stdout belongs to results.
    """
    if entry_points is None:
        entry_points = importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)
    plugins: list[Plugin] = []
    failures: list[PluginFailure] = []
    for entry_point, origin in _distinct(entry_points):
        try:
            with contextlib.redirect_stdout(sys.stderr):
                plugins.append(_load(entry_point, origin))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 (kept and shown; a broken plugin must break nothing else)
            failures.append(PluginFailure(origin, error))
    return PluginRegistry(tuple(plugins), tuple(failures))


def _distinct(
    entry_points: Iterable[importlib.metadata.EntryPoint],
) -> Iterator[tuple[importlib.metadata.EntryPoint, PluginOrigin]]:
    """Yield entry points in a stable order, once per distribution and module."""
    described = sorted(((_origin(one), one) for one in entry_points), key=lambda pair: _sort_key(pair[0]))
    seen = set()
    for origin, entry_point in described:
        identity = (re.sub(r"[-_.]+", "-", origin.distribution).lower(), origin.module)
        if identity not in seen:
            seen.add(identity)
            yield entry_point, origin


def _sort_key(origin: PluginOrigin) -> tuple[str, ...]:
    return origin.distribution, origin.entry_point, origin.module, origin.version


def _origin(entry_point: importlib.metadata.EntryPoint) -> PluginOrigin:
    distribution, version = "unknown", "unknown"
    with contextlib.suppress(Exception):  # damaged metadata must not hide the plugin, let alone the others
        if entry_point.dist is not None:
            distribution, version = entry_point.dist.name or distribution, entry_point.dist.version or version
    return PluginOrigin(entry_point.name, entry_point.value, distribution, version)


def _load(entry_point: importlib.metadata.EntryPoint, origin: PluginOrigin) -> Plugin:
    plugin = entry_point.load()
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    _register_hooks(manager, plugin, origin)
    specs = tuple(spec for kind in COMPONENT_KINDS for spec in _collect_specs(manager, kind))
    commands = manager.hook.fmas_register_commands
    add_commands = (lambda app: commands(app=app)) if commands.get_hookimpls() else None
    return Plugin(origin, specs, add_commands)


def _register_hooks(manager: pluggy.PluginManager, plugin: object, origin: PluginOrigin) -> None:
    """Register ``plugin``, refusing what pluggy would overlook: a misspelt or an undecorated hook, or none."""
    for name in dir(plugin):
        if not name.startswith("fmas_reg"):
            continue
        if name not in _HOOKS:
            raise PluginError(f"expected the name of a hook, got {name!r}; rename it: {suggest(name, _HOOKS)}")
        if manager.parse_hookimpl_opts(plugin, name) is None:
            raise PluginError(f"expected {name} to be decorated, got a plain one; put @fmas.hookimpl above it")
    manager.register(plugin)
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(f"expected only known hooks, got {error}; rename it: {suggest('', _HOOKS)}") from error
    if not manager.get_hookcallers(plugin):
        raise PluginError(
            f"expected at least one hook, got none in {origin.module!r}; decorate one with @fmas.hookimpl: "
            f"{suggest('', _HOOKS)}"
        )


def _collect_specs(manager: pluggy.PluginManager, kind: ComponentKind) -> Iterator[ComponentSpec[Component]]:
    hook = getattr(manager.hook, f"fmas_register_{kind}s")
    if not hook.get_hookimpls():
        return
    names = set()
    for returned in hook() or [None]:  # pluggy drops a None
        if not isinstance(returned, list | tuple):
            raise PluginError(f"expected a list of specs from {hook.name}, got {returned!r}; return a list")
        for spec in returned:
            _check_spec(spec, kind, hook.name)
            if spec.name in names:
                raise PluginError(f"expected each {kind} once, got {spec.name!r} twice from {hook.name}; drop one")
            names.add(spec.name)
            yield spec


def _check_spec(spec: object, kind: ComponentKind, hook: str) -> None:
    expected = next(one for one in _SPEC_TYPES if one.kind == kind)
    if not isinstance(spec, expected):
        raise PluginError(f"expected {expected.__name__} from {hook}, got {spec!r}; return specs of that class only")
    fields: dict[str, Any] = {one: getattr(spec, one) for one in ("name", "summary", "create", "requires", "install")}
    name, requires = fields["name"], fields["requires"]
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise PluginError(f"expected a name of a-z, 0-9 and hyphens from {hook}, got {name!r}; rename the {kind}")
    for field in ("summary", "install"):
        if not isinstance(fields[field], str):
            raise PluginError(f"expected a text as {field} of {kind} {name!r}, got {fields[field]!r}; write a text")
    if not callable(fields["create"]):
        raise PluginError(
            f"expected a callable as create of {kind} {name!r}, got {fields['create']!r}; give a function"
        )
    if not isinstance(requires, tuple) or not all(isinstance(one, str) and one for one in requires):
        raise PluginError(
            f"expected a tuple of import names as requires of {kind} {name!r}, got {requires!r}; "
            "write ('module',), with the comma"
        )
