"""What a run reports when it ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fmas.balance import Share
from fmas.derive import DatasetCounts
from fmas.usage import Usage

__all__ = ["RunSummary"]


@dataclass(frozen=True, slots=True)
class RunSummary:
    """The end of a run.

    Attributes:
        out: The output folder.
        dataset: The category's folder in it.
        counts: What the output folder holds now, of all shards and earlier runs.
        made: Pairs, held-out photographs and negative controls that this process finished.
        kept: What was finished before and is kept.
        failed: Pairs of this process that could not be made.
        seconds: How long this process took.
        ignored_files: Files in the images folder that are no images.
        notes: Things worth knowing that stopped nothing.
        refilled: Of ``made``, the pictures in the places of dropped ones.
        dropped_and_still_there: Pictures of the output folder that were dropped in review and are still there.
        usage: What services were asked for the output folder in all, and what that cost.
        balance: What was asked by that setting, and what the output folder holds of it; empty where nothing was.
    """

    out: Path
    dataset: Path
    counts: DatasetCounts
    made: int
    kept: int
    failed: int
    seconds: float
    ignored_files: int
    notes: tuple[str, ...] = ()
    refilled: int = 0
    dropped_and_still_there: int = 0
    balance: tuple[Share, ...] = ()
    usage: Mapping[str, Usage] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0 all done, 3 some images failed, 1 nothing could be made."""
        if self.failed == 0:
            return 0
        return 3 if self.made or self.kept else 1

    def to_json(self) -> dict[str, object]:
        """Return the summary as JSON values."""
        return {
            "out": str(self.out),
            "dataset": str(self.dataset),
            "made": self.made,
            "refilled": self.refilled,
            "kept": self.kept,
            "dropped_and_still_there": self.dropped_and_still_there,
            "failed": self.failed,
            "seconds": round(self.seconds, 3),
            "per_second": round(self.made / self.seconds, 3) if self.seconds > 0 else None,
            "ignored_files": self.ignored_files,
            "notes": list(self.notes),
            "counts": self.counts.to_json(),
            "usage": {kind: dict(totals) for kind, totals in self.usage.items()},
            "balance": [{"name": share.name, "asked": share.asked, "made": share.made} for share in self.balance],
        }
