"""OpenAI, and every server that speaks its language: GPT as architect, its image model as painter."""

from __future__ import annotations
