"""Everything that an evaluation of files found out, and how its parts are called."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from fmas_evaluate.bootstrap import Intervals
from fmas_evaluate.classes import class_table
from fmas_evaluate.comparison import Comparison
from fmas_evaluate.protocols import ProtocolResult
from fmas_evaluate.report.curves import Curves
from fmas_evaluate.results import Evaluation, Result

__all__ = ["Findings", "bounds_of", "title_of"]

_TITLES: Final = {
    "image_auroc": "image AUROC",
    "pixel_auroc": "pixel AUROC",
    "average_precision": "average precision",
    "f1_max": "F1-max",
}


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found.

    Attributes:
        maps: Folder of the score maps.
        truth: Folder or table of the truth.
        mode: ``exact`` or ``histogram``.
        image_scores: Where the image scores come from, in words.
        evaluation: Of all images together.
        groups: Name -> evaluation, if asked for.
        grouped_by: ``category`` or ``defect``.
        curves: Of all images together; ``None`` if undefined.
        intervals: From resampling the images, if asked for.
        comparison: With the other method, if asked for.
        other: Folder of its score maps.
        other_curves: Its curves.
        protocol: Name of the published protocol, if asked for.
        published: Its numbers.
    """

    maps: str
    truth: str
    mode: str
    image_scores: str
    evaluation: Evaluation
    groups: Mapping[str, Evaluation]
    grouped_by: str
    curves: Curves | None
    intervals: Intervals | None = None
    comparison: Comparison | None = None
    other: str | None = None
    other_curves: Curves | None = None
    protocol: str | None = None
    published: Mapping[str, ProtocolResult] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the content of ``--json``: the measures at top level, what cannot be computed as ``None``."""
        content: dict[str, Any] = self.evaluation.as_dict() | {"mode": self.mode, "image_scores": self.image_scores}
        if self.intervals is not None:
            content["intervals"] = self.intervals.as_dict()
        if self.groups:
            content["grouped_by"] = self.grouped_by
            content["classes"] = {name: one.as_dict() for name, one in self.groups.items()}
            means = class_table(self.groups).means
            content["mean"] = {name: mean.value for name, mean in means.items()}
            content["left_out"] = {name: list(mean.left_out) for name, mean in means.items() if mean.left_out}
        if self.comparison is not None:
            content["comparison"] = self.comparison.as_dict()
        if self.protocol is not None:
            content["protocol"] = {"name": self.protocol} | {
                name: {"value": one.value, "exact": one.exact, "gap": one.gap, "note": one.note}
                for name, one in self.published.items()
            }
        cleaned: dict[str, Any] = _without_nan(content)
        return cleaned


def title_of(name: str, result: Result) -> str:
    """Return what a measure is called, PRO with its limit."""
    return f"PRO@{result.limit:g}" if result.limit is not None else _TITLES.get(name, name)


def bounds_of(findings: Findings, name: str) -> tuple[float, float] | None:
    """Return the interval to show beside a value: of the bootstrap, else the certified one, else none."""
    if findings.intervals is not None and name in findings.intervals:
        interval = findings.intervals[name]
        return interval.lower, interval.upper
    result = findings.evaluation[name]
    return None if result.exact else (result.lower, result.upper)


def _without_nan(content: Any) -> Any:  # noqa: ANN401 (JSON)
    """Return what strict JSON can hold: NaN is ``None``, infinities are text."""
    if isinstance(content, Mapping):
        return {key: _without_nan(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_without_nan(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None if math.isnan(content) else str(float(content))
    return content
