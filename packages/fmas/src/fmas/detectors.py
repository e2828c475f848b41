"""What a detector may offer beyond :class:`fmas.protocols.Detector`; `fmas train`, `inspect` and `export` ask for it.

A detector without any of this still trains (``fit``), inspects (``score``) and is saved. Each class here is one more
thing that it can do, found by ``isinstance``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

from fmas.protocols import Detector
from fmas.types import NormalSyntheticMask, RGBImage

__all__ = [
    "SUBBANDS",
    "ExplainingDetector",
    "ExportableDetector",
    "Exported",
    "SubbandWeights",
    "TrainableDetector",
    "TrainingProgress",
]

SUBBANDS = ("LL", "LH", "HL", "HH")
"""The order of sub-band weights: approximation, then PyWavelets' horizontal, vertical and diagonal details."""

SubbandWeights: TypeAlias = Mapping[str, tuple[float, float, float, float]]
"""Layer -> its four weights in the order of ``SUBBANDS``, each in ``[0, 1]``; the shallowest layer comes first."""

TrainingProgress: TypeAlias = Callable[[int, int, Mapping[str, float]], None]
"""Called with (finished steps, planned steps, latest values by name, e.g. ``loss``)."""


@runtime_checkable
class TrainableDetector(Detector, Protocol):
    """Trains step by step, so that it can be watched, stopped early and resumed."""

    def train(
        self,
        pairs: Sequence[NormalSyntheticMask],
        validation: Sequence[NormalSyntheticMask],
        *,
        workspace: Path,
        progress: TrainingProgress | None = None,
    ) -> Mapping[str, object]:
        """Learn from ``pairs``; stop early by how well ``validation`` goes.

        Args:
            pairs: What to learn from; items are read lazily and any number of times.
            validation: Pairs of other photographs; nothing is learnt from them.
            workspace: A folder for checkpoints. Killed and called again with the same arguments, training goes on from
                the last one and ends with the same weights as without the interruption.
            progress: Told about every step.

        Returns:
            What the model card says about the training, JSON values: ``steps``, ``best_step``, ``stopped_early``,
            ``seconds``, ``seconds_in_model`` and ``validation`` (measure -> value) at least.
        """
        ...


@runtime_checkable
class ExplainingDetector(Detector, Protocol):
    """Looks through WDAM and can say which sub-bands mattered."""

    def explain(self, images: Iterable[RGBImage]) -> Iterator[SubbandWeights]:
        """Yield for each image, in order, the sub-band weights of each layer; empty without WDAM."""
        ...


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export made.

    Attributes:
        detector: Registered name of the detector that loads it.
        options: That detector's options, JSON values.
        largest_difference: Largest absolute difference of a map to the original's on the parity pictures, relative to
            the largest value; ``None`` where the runtime is not installed and nothing was compared.
    """

    detector: str
    options: Mapping[str, object] = field(default_factory=dict)
    largest_difference: float | None = None


@runtime_checkable
class ExportableDetector(Detector, Protocol):
    """Can be used without what trained it."""

    def export_onnx(self, directory: Path, *, parity: Sequence[RGBImage]) -> Exported:
        """Write an ONNX model into ``directory`` and compare its maps of the ``parity`` pictures with its own."""
        ...
