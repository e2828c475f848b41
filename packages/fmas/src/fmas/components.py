"""The components of a run: created once where they are used, never sent between processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

from fmas.config import ComponentConfig, RunConfig
from fmas.errors import ComponentError
from fmas.plan import StoredPlan
from fmas.plugins import PluginRegistry, load_plugins
from fmas.protocols import LLM, Component, Inpainter, Segmenter, Selector
from fmas.secrecy import one_line
from fmas.specs import ComponentKind
from fmas.stages import Resources
from fmas.types import Fingerprint
from fmas.usage import Usage, UsageMeterReading

__all__ = ["ComponentHandle", "RunComponents"]

ComponentT = TypeVar("ComponentT", bound=Component)


class ComponentHandle(Generic[ComponentT]):
    """A component by name and options; created at the first :meth:`get` in each process.

    Args:
        kind: What kind it is.
        config: Its name and options.
        registry: Where to find it in this process; another process loads the installed plugins itself.
    """

    __slots__ = ("_component", "_config", "_fingerprint", "_kind", "_reading", "_registry")

    def __init__(self, kind: ComponentKind, config: ComponentConfig, registry: PluginRegistry | None = None) -> None:
        self._kind: ComponentKind = kind
        self._config = config
        self._registry = registry
        self._component: ComponentT | None = None
        self._fingerprint: Fingerprint | None = None
        self._reading = UsageMeterReading()

    def get(self) -> ComponentT:
        """Return the component, creating it at first.

        Raises:
            FmasError: If no plugin brings it, its options are wrong or something it requires is missing.
        """
        if self._component is None:
            registry = self._registry if self._registry is not None else load_plugins()
            created = registry.create(self._kind, self._config.name, self._config.options)
            self._component = cast("ComponentT", created)
            self._reading.new(created)  # what it counted before, for whoever else has it, is none of ours
        return self._component

    def fingerprint(self) -> Fingerprint:
        """Return the component's fingerprint, read once.

        Raises:
            ComponentError: If it is no fingerprint, or holds something that is no JSON value.
        """
        if self._fingerprint is None:
            self._fingerprint = _checked_fingerprint(self.get().fingerprint(), self._kind, self._config.name)
        return self._fingerprint

    def resources(self) -> Resources:
        """Return what a stage that uses this component asks for: a GPU when the component computes elsewhere."""
        registry = self._registry if self._registry is not None else load_plugins()
        spec = registry.spec(self._kind, self._config.name)
        return Resources(gpus=1.0 if getattr(spec, "elsewhere", False) else 0.0)

    def new_usage(self) -> Usage:
        """Return what the component used in this process since the last call; empty if it counts nothing."""
        return self._reading.new(self._component) if self._component is not None else {}

    def release(self) -> None:
        """Let go of the component; it is created again when it is needed again."""
        self._component = None
        self._reading = UsageMeterReading()

    def __reduce__(self) -> tuple[Callable[..., ComponentHandle[ComponentT]], tuple[ComponentKind, ComponentConfig]]:
        return ComponentHandle, (self._kind, self._config)


def _checked_fingerprint(fingerprint: object, kind: str, name: str) -> Fingerprint:
    advice = "check it with fmas.testing.check_fingerprint"
    if not isinstance(fingerprint, Fingerprint):
        got = type(fingerprint).__name__
        raise ComponentError(f"expected a Fingerprint from the {kind} {name!r}, got {got}; {advice}")
    try:
        fingerprint.digest()
    except (TypeError, ValueError) as error:
        raise ComponentError(
            f"expected JSON values in the fingerprint of the {kind} {name!r}, got: {one_line(error)}; {advice}"
        ) from error
    return fingerprint


@dataclass(frozen=True, slots=True)
class RunComponents:
    """The four components that ``fmas run`` uses."""

    llm: ComponentHandle[LLM]
    segmenter: ComponentHandle[Segmenter]
    inpainter: ComponentHandle[Inpainter]
    selector: ComponentHandle[Selector]
    llm_is_live: bool

    @classmethod
    def from_config(cls, config: RunConfig, registry: PluginRegistry) -> RunComponents:
        """Find the components that ``config`` names; unknown names and wrong options fail here."""
        live = registry.spec("llm", config.llm.name).live
        segmenter = config.segmenter
        if registry.spec("segmenter", segmenter.name).takes_object and "object" not in segmenter.options:
            segmenter = ComponentConfig.model_validate(segmenter.model_dump() | {"object": config.object_name})
        components = cls(
            llm=ComponentHandle("llm", config.llm, registry),
            segmenter=ComponentHandle("segmenter", segmenter, registry),
            inpainter=ComponentHandle("inpainter", config.inpainter, registry),
            selector=ComponentHandle("selector", config.selector, registry),
            llm_is_live=live,
        )
        components.fingerprints()
        if not live:  # a live one may need a key, which a run with a stored plan does not
            components.llm.fingerprint()
        return components

    def release(self) -> None:
        """Let go of all components, before worker processes create their own."""
        for handle in (self.llm, self.segmenter, self.inpainter, self.selector):
            handle.release()

    def fingerprints(self) -> dict[str, Fingerprint]:
        """Return kind -> fingerprint of everything that touches pixels; the LLM counts through its plan."""
        return {
            "segmenter": self.segmenter.fingerprint(),
            "inpainter": self.inpainter.fingerprint(),
            "selector": self.selector.fingerprint(),
        }

    def provenance(self, plan: StoredPlan) -> dict[str, dict[str, str]]:
        """Return kind -> name, version and digest, as metadata rows hold them; the LLM is the plan's author."""
        fingerprints = self.fingerprints() | {"llm": plan.llm}
        return {
            kind: {"name": print_.name, "version": print_.version, "digest": print_.digest()[:16]}
            for kind, print_ in sorted(fingerprints.items())
        }
