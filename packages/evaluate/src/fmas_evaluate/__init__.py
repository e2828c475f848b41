"""Honest numbers for anomaly detection: exact at the speed of one sort, certified where data never fits."""

from fmas_evaluate.auroc import image_auroc
from fmas_evaluate.curves import pr_curve, pro_curve, roc_curve
from fmas_evaluate.errors import EvaluateError, InvalidInput, InvalidType
from fmas_evaluate.evaluation import evaluate
from fmas_evaluate.evaluator import Evaluator
from fmas_evaluate.pixel import average_precision, f1_max, pixel_auroc
from fmas_evaluate.pro import aupro, per_region_overlap
from fmas_evaluate.results import Evaluation, Result
from fmas_evaluate.stream import compute_stream

__all__ = [
    "EvaluateError",
    "Evaluation",
    "Evaluator",
    "InvalidInput",
    "InvalidType",
    "Result",
    "__version__",
    "aupro",
    "average_precision",
    "compute_stream",
    "evaluate",
    "f1_max",
    "image_auroc",
    "per_region_overlap",
    "pixel_auroc",
    "pr_curve",
    "pro_curve",
    "roc_curve",
]

__version__ = "0.1.0.dev0"
