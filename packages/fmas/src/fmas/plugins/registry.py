"""What plugins registered, and getting one component of it by kind and name."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, overload

from fmas.errors import PluginError, UnknownComponentError, suggest
from fmas.plugins.commands import add_commands
from fmas.plugins.requirements import MissingRequirementError, is_required
from fmas.specs import (
    COMPONENT_KINDS,
    ComponentKind,
    ComponentSpec,
    DetectorSpec,
    InpainterSpec,
    LLMSpec,
    Options,
    SegmenterSpec,
    SelectorSpec,
)

if TYPE_CHECKING:  # discovery must not cost numpy, pydantic and typer
    import typer

    from fmas.protocols import LLM, Component, Detector, Inpainter, Segmenter, Selector

__all__ = ["Plugin", "PluginFailure", "PluginOrigin", "PluginRegistry", "RegisteredComponent"]


@dataclass(frozen=True, slots=True)
class PluginOrigin:
    """Where a plugin comes from.

    Attributes:
        entry_point: The entry point's name, e.g. ``builtin``.
        module: What the entry point names, e.g. ``fmas.builtin.plugin``.
        distribution: The installed distribution's name, ``unknown`` if its metadata does not say.
        version: That distribution's version, ``unknown`` if its metadata does not say.
    """

    entry_point: str
    module: str
    distribution: str
    version: str

    def __str__(self) -> str:
        return f"{self.entry_point} ({self.distribution} {self.version})"


@dataclass(frozen=True, slots=True)
class PluginFailure:
    """A plugin that could not be used, and why.

    Attributes:
        origin: Where it comes from.
        error: What it raised, or the :class:`~fmas.errors.PluginError` that says what it breaks.
    """

    origin: PluginOrigin
    error: BaseException

    @property
    def entry_point(self) -> str:
        """The entry point's name."""
        return self.origin.entry_point

    @property
    def distribution(self) -> str:
        """The installed distribution's name."""
        return self.origin.distribution

    @property
    def reason(self) -> str:
        """The error in one line."""
        text = ""
        with contextlib.suppress(Exception):  # a broken plugin's error may not even have a text
            text = " ".join(str(self.error).split())
        if isinstance(self.error, PluginError):
            return text
        return f"{type(self.error).__name__}: {text}" if text else type(self.error).__name__

    def __str__(self) -> str:
        return f"{self.origin}: {self.reason}"


@dataclass(frozen=True, slots=True)
class RegisteredComponent:
    """A spec and the plugin that brought it."""

    spec: ComponentSpec[Component]
    origin: PluginOrigin


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plugin that loaded.

    Attributes:
        origin: Where it comes from.
        specs: Everything it registers.
        add_commands: Its ``fmas_register_commands`` hook, or ``None``.
    """

    origin: PluginOrigin
    specs: tuple[ComponentSpec[Component], ...]
    add_commands: Callable[[typer.Typer], object] | None = None


@dataclass(frozen=True, slots=True)
class PluginRegistry:
    """Every component that installed plugins bring; made by :func:`load_plugins`, never changed afterwards.

    Attributes:
        plugins: The plugins that loaded.
        failures: The plugins that did not.
    """

    plugins: tuple[Plugin, ...]
    failures: tuple[PluginFailure, ...] = ()

    def components(self, kind: ComponentKind | None = None) -> tuple[RegisteredComponent, ...]:
        """Return everything registered (of one kind, or of all) by kind and name, ambiguous names included."""
        kinds = COMPONENT_KINDS if kind is None else (kind,)
        found = [
            RegisteredComponent(spec, plugin.origin)
            for plugin in self.plugins
            for spec in plugin.specs
            if spec.kind in kinds
        ]
        return tuple(sorted(found, key=lambda one: (COMPONENT_KINDS.index(one.spec.kind), one.spec.name)))

    def ambiguous(self) -> tuple[tuple[RegisteredComponent, ...], ...]:
        """Return, for each name that several plugins claim within a kind, all its claimants."""
        claims: dict[tuple[ComponentKind, str], list[RegisteredComponent]] = {}
        for component in self.components():
            claims.setdefault((component.spec.kind, component.spec.name), []).append(component)
        return tuple(tuple(claimants) for claimants in claims.values() if len(claimants) > 1)

    @overload
    def spec(self, kind: Literal["llm"], name: str) -> LLMSpec: ...
    @overload
    def spec(self, kind: Literal["segmenter"], name: str) -> SegmenterSpec: ...
    @overload
    def spec(self, kind: Literal["inpainter"], name: str) -> InpainterSpec: ...
    @overload
    def spec(self, kind: Literal["selector"], name: str) -> SelectorSpec: ...
    @overload
    def spec(self, kind: Literal["detector"], name: str) -> DetectorSpec: ...
    @overload
    def spec(self, kind: ComponentKind, name: str) -> ComponentSpec[Component]: ...

    def spec(self, kind: ComponentKind, name: str) -> ComponentSpec[Component]:
        """Return the one spec of that kind and name.

        Raises:
            UnknownComponentError: If no plugin registered it; lists the known names and the plugins that failed.
            PluginError: If several plugins registered it.
        """
        claimants = [component for component in self.components(kind) if component.spec.name == name]
        if len(claimants) == 1:
            return claimants[0].spec
        if claimants:
            raise PluginError(_ambiguity(claimants))
        known = {component.spec.name for component in self.components(kind)}
        message = f"expected the name of an installed {kind}, got {name!r}: {suggest(name, known)}"
        if self.failures:
            listing = "; ".join(map(str, self.failures))
            message += f"; it may belong to a plugin that could not be loaded ({listing})"
        raise UnknownComponentError(message)

    @overload
    def specs(self, kind: Literal["llm"]) -> tuple[LLMSpec, ...]: ...
    @overload
    def specs(self, kind: Literal["segmenter"]) -> tuple[SegmenterSpec, ...]: ...
    @overload
    def specs(self, kind: Literal["inpainter"]) -> tuple[InpainterSpec, ...]: ...
    @overload
    def specs(self, kind: Literal["selector"]) -> tuple[SelectorSpec, ...]: ...
    @overload
    def specs(self, kind: Literal["detector"]) -> tuple[DetectorSpec, ...]: ...
    @overload
    def specs(self, kind: ComponentKind) -> tuple[ComponentSpec[Component], ...]: ...

    def specs(self, kind: ComponentKind) -> tuple[ComponentSpec[Component], ...]:
        """Return the specs of one kind that can be asked for, by name; ambiguous ones are left out."""
        taken = {component for claimants in self.ambiguous() for component in claimants}
        return tuple(component.spec for component in self.components(kind) if component not in taken)

    @overload
    def create(self, kind: Literal["llm"], name: str, options: Options) -> LLM: ...
    @overload
    def create(self, kind: Literal["segmenter"], name: str, options: Options) -> Segmenter: ...
    @overload
    def create(self, kind: Literal["inpainter"], name: str, options: Options) -> Inpainter: ...
    @overload
    def create(self, kind: Literal["selector"], name: str, options: Options) -> Selector: ...
    @overload
    def create(self, kind: Literal["detector"], name: str, options: Options) -> Detector: ...
    @overload
    def create(self, kind: ComponentKind, name: str, options: Options) -> Component: ...

    def create(self, kind: ComponentKind, name: str, options: Options) -> Component:
        """Create a component.

        Args:
            kind: Its kind.
            name: Its registered name.
            options: Its section of the configuration; the component itself validates it.

        Returns:
            The component, which has everything that its protocol in :mod:`fmas.protocols` asks for.

        Raises:
            UnknownComponentError: If no plugin registered it.
            PluginError: If several plugins did, or what was created does not fulfil the protocol.
            MissingRequirementError: If a library that the spec ``requires`` is not installed.
        """
        spec = self.spec(kind, name)
        try:
            component = spec.create(options)
        except ModuleNotFoundError as error:
            if error.name is None or not is_required(error.name, spec):
                raise
            raise MissingRequirementError(
                f"{kind} {name!r} expected the module {error.name!r}, got none installed; "
                f"{f'run: {spec.install}' if spec.install else 'install it'}",
                name=error.name,
            ) from error
        _check_protocol(component, spec)
        return component

    def register_commands(self, app: typer.Typer) -> tuple[PluginFailure, ...]:
        """Let every plugin add its commands to ``app``.

        A plugin whose hook raises, takes a command name that ``app`` already has, or replaces the callback of ``app``
        adds nothing at all.

        Returns:
            The plugins that failed in this way; the others' commands are in ``app``.
        """
        failures = []
        for plugin in self.plugins:
            if plugin.add_commands is None:
                continue
            try:
                add_commands(app, plugin.add_commands)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001 (kept and shown; a plugin must not take the CLI down)
                failures.append(PluginFailure(plugin.origin, error))
        return tuple(failures)


def _ambiguity(claimants: list[RegisteredComponent]) -> str:
    spec = claimants[0].spec
    origins = " and ".join(str(one.origin) for one in claimants)
    return f"expected one {spec.kind} named {spec.name!r}, got one each from {origins}; uninstall all but one"


def _check_protocol(component: object, spec: ComponentSpec[Component]) -> None:
    from fmas import protocols

    protocol = {
        "llm": protocols.LLM,
        "segmenter": protocols.Segmenter,
        "inpainter": protocols.Inpainter,
        "selector": protocols.Selector,
        "detector": protocols.Detector,
    }[spec.kind]
    if not isinstance(component, protocol):
        members = [one for one in dir(protocol) if not one.startswith("_")]
        missing = ", ".join(one for one in members if not hasattr(component, one)) or "a method that is None"
        raise PluginError(
            f"{spec.kind} {spec.name!r}: expected an object with {', '.join(members)}, got a "
            f"{type(component).__name__} without {missing}; see fmas.protocols.{protocol.__name__}"
        )
