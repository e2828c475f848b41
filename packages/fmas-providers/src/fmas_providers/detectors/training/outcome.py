"""What a training came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

__all__ = ["Times", "TrainingOutcome", "Validated"]


@dataclass(frozen=True, slots=True)
class Validated:
    """How well the held-out pairs went.

    Attributes:
        score: What training is stopped and weights are chosen by; larger is better, finite.
        measures: What to report, by name.
    """

    score: float
    measures: Mapping[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Times:
    """Where the time went, in seconds; whatever a killed process did after its last checkpoint is not in it.

    Attributes:
        total: All of the training.
        in_model: Forward, backward and the optimiser's step, and the network's part of validation.
        waiting: For a batch.
        validating: On the held-out pairs, the network's part included.
        saving: Checkpoints.
    """

    total: float = 0.0
    in_model: float = 0.0
    waiting: float = 0.0
    validating: float = 0.0
    saving: float = 0.0


@dataclass(frozen=True, slots=True)
class TrainingOutcome:
    """What a training came to.

    Attributes:
        steps: How many were done.
        planned_steps: How many would have been done without stopping early.
        best_step: After which step the weights that were kept stood.
        stopped_early: Whether validation stopped it.
        times: Where the time went.
        validation: The measures of the weights that were kept; empty without validation.
        history: For each check, its step, score, measures and the training loss since the check before.
    """

    steps: int
    planned_steps: int
    best_step: int
    stopped_early: bool
    times: Times
    validation: Mapping[str, float]
    history: tuple[Mapping[str, float], ...]

    def about(self) -> dict[str, object]:
        """Return JSON values, as :meth:`fmas.detectors.TrainableDetector.train` promises them."""
        times = {f"seconds_{name}": round(value, 3) for name, value in asdict(self.times).items()}
        return {
            "steps": self.steps,
            "planned_steps": self.planned_steps,
            "best_step": self.best_step,
            "stopped_early": self.stopped_early,
            "seconds": times.pop("seconds_total"),
            **times,
            "share_in_model": round(self.times.in_model / self.times.total, 4) if self.times.total else 0.0,
            "validation": dict(self.validation),
            "history": [dict(row) for row in self.history],
        }
