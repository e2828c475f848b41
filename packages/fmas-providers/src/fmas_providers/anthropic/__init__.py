"""Anthropic: Claude as architect."""

from __future__ import annotations
