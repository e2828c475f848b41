"""The training loop that all detectors here share."""

from __future__ import annotations
