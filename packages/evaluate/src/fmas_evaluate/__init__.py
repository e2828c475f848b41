"""Honest numbers for anomaly detection, from arrays in memory."""

from fmas_evaluate.auroc import image_auroc

__all__ = ["__version__", "image_auroc"]

__version__ = "0.1.0.dev0"
