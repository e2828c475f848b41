"""Segment Anything from Meta's own package and checkpoints: the paper's sculptor."""

from __future__ import annotations
