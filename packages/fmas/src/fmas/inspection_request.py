"""What an inspection is asked for, and what it reports when it ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fmas.inspection_journal import InspectionCounts

__all__ = ["InspectRequest", "InspectSummary"]


@dataclass(frozen=True, slots=True)
class InspectRequest:
    """What to inspect.

    Attributes:
        model: A model folder.
        images: A folder of photographs, looked through with everything below it, or one photograph.
        out: The folder to write; a rerun finishes what is missing.
        explain: Whether to write the sub-band weights of each photograph.
        overlays: Whether to draw the map on the photograph.
        threshold: Scores above it are anomalous; ``None`` for the model's own.
        overrides: Options of the detector that count instead of the model's, e.g. ``gate``.
        limit: Only the first so many photographs; ``None`` for all.
        max_pixels: Larger photographs fail before they are decoded.
    """

    model: Path
    images: Path
    out: Path
    explain: bool = False
    overlays: bool = True
    threshold: float | None = None
    overrides: Mapping[str, object] = field(default_factory=dict)
    limit: int | None = None
    max_pixels: int = 200_000_000


@dataclass(frozen=True, slots=True)
class InspectSummary:
    """The end of an inspection.

    Attributes:
        out: The folder.
        inspected: Photographs that this process inspected.
        kept: What was inspected before and is kept.
        failed: Photographs that this process could not inspect.
        counts: What the folder holds now, of all processes.
        threshold: Scores above it are anomalous.
        seconds: How long this process took, the model's loading included.
        ignored_files: Files among the photographs that are none.
        notes: Things worth knowing that stopped nothing.
    """

    out: Path
    inspected: int
    kept: int
    failed: int
    counts: InspectionCounts
    threshold: float
    seconds: float
    ignored_files: int = 0
    notes: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 all done, 3 some photographs failed, 1 all of them."""
        if self.failed == 0:
            return 0
        return 3 if self.inspected or self.kept else 1

    def to_json(self) -> dict[str, object]:
        """Return the summary as JSON values."""
        return {
            "out": str(self.out),
            "inspected": self.inspected,
            "kept": self.kept,
            "failed": self.failed,
            "threshold": self.threshold,
            "counts": self.counts.to_json(),
            "seconds": round(self.seconds, 3),
            "per_second": round(self.inspected / self.seconds, 3) if self.seconds > 0 else None,
            "ignored_files": self.ignored_files,
            "notes": list(self.notes),
        }
