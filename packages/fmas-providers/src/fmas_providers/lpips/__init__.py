"""LPIPS: the paper's judge of how strong a defect looks."""

from __future__ import annotations
