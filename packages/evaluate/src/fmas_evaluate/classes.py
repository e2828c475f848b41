"""A table over classes whose means say which classes they are over."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from fmas_evaluate.errors import InvalidInput

__all__ = ["ClassMean", "ClassTable", "class_table"]


@dataclass(frozen=True, slots=True)
class ClassMean:
    """The mean of one measure over the classes in which it is defined.

    Attributes:
        value: Unweighted mean, each class counting once; NaN if the measure is defined in none.
        n_classes: Classes that it is over.
        left_out: Names of the classes without a value.
    """

    value: float
    n_classes: int
    left_out: tuple[str, ...]

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        note = f" (without {', '.join(self.left_out)})" if self.left_out else ""
        return f"{self.value:.4f}{note}"


@dataclass(frozen=True, slots=True)
class ClassTable:
    """Measures by class, and their means.

    Attributes:
        rows: Class to measure to value, in the order given; NaN where a measure is not defined.
        means: Measure to mean.
    """

    rows: Mapping[str, Mapping[str, float]]
    means: Mapping[str, ClassMean]

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the measures, in the order of the first class that has them."""
        return tuple(self.means)

    def as_dict(self) -> dict[str, Any]:
        """Return the rows, the means, and beside them the classes that a mean leaves out."""
        return {
            "classes": {name: dict(row) for name, row in self.rows.items()},
            "mean": {metric: mean.value for metric, mean in self.means.items()},
            "n_classes": {metric: mean.n_classes for metric, mean in self.means.items()},
            "left_out": {metric: list(mean.left_out) for metric, mean in self.means.items() if mean.left_out},
        }


def class_table(evaluations: Mapping[str, Mapping[str, float]]) -> ClassTable:
    """Put the evaluations of several classes side by side and average them.

    A class whose measure is not defined (no defect, no normal pixel) is left out of that mean and named; it counts
    neither as 0 nor as anything else.

    Args:
        evaluations: Class to its evaluation, or to any mapping of measure to value; NaN marks one that is not defined,
            as does a missing one.

    Returns:
        The table.

    Raises:
        InvalidInput: Without a class.

    Examples:
        >>> table = class_table({"cable": {"aupro": 0.9}, "pill": {"aupro": 0.7}, "new": {"aupro": float("nan")}})
        >>> str(table.means["aupro"])
        '0.8000 (without new)'
    """
    if not evaluations:
        raise InvalidInput("expected at least one class, got none; pass class name to evaluation")
    metrics = list(dict.fromkeys(metric for evaluation in evaluations.values() for metric in evaluation))
    rows = {
        name: MappingProxyType({metric: float(evaluation.get(metric, math.nan)) for metric in metrics})
        for name, evaluation in evaluations.items()
    }
    means = {metric: _mean({name: row[metric] for name, row in rows.items()}) for metric in metrics}
    return ClassTable(MappingProxyType(rows), MappingProxyType(means))


def _mean(values: Mapping[str, float]) -> ClassMean:
    """Average what is defined."""
    left_out = tuple(name for name, value in values.items() if math.isnan(value))
    defined = [value for value in values.values() if not math.isnan(value)]
    return ClassMean(math.fsum(defined) / len(defined) if defined else math.nan, len(defined), left_out)
