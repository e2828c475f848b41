"""What a training is asked for, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator

from fmas.calibration import Calibration, fewest_scores
from fmas.config import ComponentConfig
from fmas.model_folder import ModelAbout

__all__ = ["DEFAULT_DETECTOR", "TrainRequest", "TrainSummary"]

DEFAULT_DETECTOR = "unet"

_VALIDATION = 0.15
_MOST_VALIDATION = 0.25


class TrainRequest(BaseModel):
    """What to train on what, and where to.

    Attributes:
        data: ``OUT`` of ``fmas run``, or a category's folder.
        out: The model folder.
        detector: Which detector, and its own options.
        category: Which category of ``data``, where there are several.
        false_alarms: Share of good pictures that may be called anomalous.
        validation: Share of the photographs that nothing is learnt from: they say when to stop, and calibrate. ``None``
            for 0.15, or more where ``false_alarms`` takes more photographs than that, up to a quarter.
        holdout: Folders of test pictures; a training picture that occurs there is refused. Not part of what decides
            the result.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    data: Path
    out: Path
    detector: ComponentConfig = ComponentConfig(name=DEFAULT_DETECTOR)
    category: str | None = None
    false_alarms: float = Field(default=0.05, gt=0.0, lt=1.0)
    validation: float | None = Field(default=None, gt=0.0, lt=1.0)
    holdout: tuple[Path, ...] = ()

    @field_validator("detector", mode="before")
    @classmethod
    def _name_default(cls, value: object) -> object:
        """Options alone are those of the default detector."""
        return {"name": DEFAULT_DETECTOR, **value} if isinstance(value, Mapping) else value

    def validation_share(self, photographs: int) -> float:
        """Return the share of so many photographs that nothing is learnt from."""
        if self.validation is not None or photographs == 0:
            return self.validation or _VALIDATION
        wanted = max(_VALIDATION, fewest_scores(self.false_alarms) / photographs)
        return min(wanted, _MOST_VALIDATION)

    @property
    def seed(self) -> int:
        """The detector's option ``seed``, which divides the photographs, too; 0 if it is not given."""
        seed = self.detector.options.get("seed", 0)
        return seed if isinstance(seed, int) else 0


@dataclass(frozen=True, slots=True)
class TrainSummary:
    """What came of a training.

    Attributes:
        folder: The model folder.
        about: What ``model.json`` says.
        calibration: From score to verdict.
        is_new: Whether anything was done; a finished model is left as it is.
        seconds: How long this call took.
        notes: What the user should know.
    """

    folder: Path
    about: ModelAbout
    calibration: Calibration
    is_new: bool
    seconds: float
    notes: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """What ``fmas train`` ends with."""
        return 0

    def to_json(self) -> dict[str, object]:
        """Return JSON values."""
        calibration = self.calibration.to_json()
        del calibration["scores"]
        return {
            "model": str(self.folder),
            "new": self.is_new,
            "detector": self.about.detector,
            "category": self.about.category,
            "data": dict(self.about.data),
            "training": dict(self.about.training),
            "calibration": calibration,
            "seconds": round(self.seconds, 3),
            "notes": list(self.notes),
        }
