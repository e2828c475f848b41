"""Honest numbers for anomaly detection: exact at the speed of one sort, certified where data never fits."""

from fmas_evaluate.aupimo import Aupimo, aupimo
from fmas_evaluate.auroc import image_auroc
from fmas_evaluate.bootstrap import Interval, Intervals, bootstrap
from fmas_evaluate.classes import ClassTable, class_table
from fmas_evaluate.comparison import Comparison, compare
from fmas_evaluate.curves import pr_curve, pro_curve, roc_curve
from fmas_evaluate.errors import EvaluateError, InvalidInput, InvalidType
from fmas_evaluate.evaluation import evaluate
from fmas_evaluate.evaluator import Evaluator
from fmas_evaluate.misses import SizeBin, misses_by_size
from fmas_evaluate.pixel import average_precision, f1_max, pixel_auroc
from fmas_evaluate.pro import aupro, per_region_overlap
from fmas_evaluate.protocols import ProtocolResult, protocol
from fmas_evaluate.results import Evaluation, Result
from fmas_evaluate.stream import compute_stream
from fmas_evaluate.thresholds import ThresholdReport, threshold_report

__all__ = [
    "Aupimo",
    "ClassTable",
    "Comparison",
    "EvaluateError",
    "Evaluation",
    "Evaluator",
    "Interval",
    "Intervals",
    "InvalidInput",
    "InvalidType",
    "ProtocolResult",
    "Result",
    "SizeBin",
    "ThresholdReport",
    "__version__",
    "aupimo",
    "aupro",
    "average_precision",
    "bootstrap",
    "class_table",
    "compare",
    "compute_stream",
    "evaluate",
    "f1_max",
    "image_auroc",
    "misses_by_size",
    "per_region_overlap",
    "pixel_auroc",
    "pr_curve",
    "pro_curve",
    "protocol",
    "roc_curve",
    "threshold_report",
]

__version__ = "0.1.0.dev0"
