"""What a plugin's hook returns: a name, a summary and how to create the component, without importing anything heavy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Generic, Literal, TypeAlias, TypeVar

if TYPE_CHECKING:  # at run time this module must not cost a plugin numpy and pydantic
    from fmas.protocols import LLM, Component, Detector, Inpainter, Segmenter, Selector  # noqa: F401 (named in strings)

__all__ = [
    "COMPONENT_KINDS",
    "ComponentKind",
    "ComponentSpec",
    "DetectorSpec",
    "InpainterSpec",
    "LLMSpec",
    "Options",
    "SegmenterSpec",
    "SelectorSpec",
]

ComponentKind: TypeAlias = Literal["llm", "segmenter", "inpainter", "selector", "detector"]
COMPONENT_KINDS: tuple[ComponentKind, ...] = ("llm", "segmenter", "inpainter", "selector", "detector")

Options: TypeAlias = Mapping[str, object]
"""A component's options as the configuration holds them; validate with :func:`fmas.options.parse_options`."""

ComponentT_co = TypeVar("ComponentT_co", bound="Component", covariant=True)


@dataclass(frozen=True, slots=True)
class ComponentSpec(Generic[ComponentT_co]):
    """How to get one component; cheap to build, so that listing plugins imports no SDK.

    Attributes:
        name: What the user types, ``[a-z0-9][a-z0-9-]*``; unique within its kind.
        summary: One line for ``fmas plugins list``.
        create: Turns options into the component; this is where an SDK is imported.
        requires: Import names that ``create`` needs besides ``fmas``; ``fmas doctor`` looks whether they are there.
        install: The exact command that brings ``requires``; empty when nothing is required.
        diagnose: Says for ``fmas doctor --deep`` what ``create`` would work with (device, memory, weights), or raises
            what would keep it from working; may import the SDK, must not fetch anything. Without it, ``create`` is
            tried.
    """

    kind: ClassVar[ComponentKind]

    name: str
    summary: str
    create: Callable[[Options], ComponentT_co]
    requires: tuple[str, ...] = ()
    install: str = ""
    diagnose: Callable[[Options], Mapping[str, str]] | None = None


@dataclass(frozen=True, slots=True)
class LLMSpec(ComponentSpec["LLM"]):
    """How to get an LLM.

    Attributes:
        live: Whether two calls may answer differently or cost something. Shards of a run with a live LLM refuse to
            start without a stored plan; a catalogue that always answers the same sets ``live=False``.
    """

    kind: ClassVar[ComponentKind] = "llm"

    live: bool = True


@dataclass(frozen=True, slots=True)
class SegmenterSpec(ComponentSpec["Segmenter"]):
    """How to get a segmenter.

    Attributes:
        elsewhere: Whether it computes on a GPU or at a service. The core then reads and writes files meanwhile.
        takes_object: Whether it has an option ``object`` that is the product's name unless the user sets it.
    """

    kind: ClassVar[ComponentKind] = "segmenter"

    elsewhere: bool = False
    takes_object: bool = False


@dataclass(frozen=True, slots=True)
class InpainterSpec(ComponentSpec["Inpainter"]):
    """How to get an inpainter.

    Attributes:
        elsewhere: Whether it computes on a GPU or at a service. The core then reads and writes files meanwhile.
        leaves_traces: Whether it paints more than the defect: a model's decoder, a resampling or a service changes
            everything that it touches a little. Negative controls make sense for such a one only.
    """

    kind: ClassVar[ComponentKind] = "inpainter"

    elsewhere: bool = False
    leaves_traces: bool = True


@dataclass(frozen=True, slots=True)
class SelectorSpec(ComponentSpec["Selector"]):
    """How to get a selector.

    Attributes:
        elsewhere: Whether it computes on a GPU or at a service. The core then reads and writes files meanwhile.
    """

    kind: ClassVar[ComponentKind] = "selector"

    elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class DetectorSpec(ComponentSpec["Detector"]):
    """How to get a detector."""

    kind: ClassVar[ComponentKind] = "detector"
