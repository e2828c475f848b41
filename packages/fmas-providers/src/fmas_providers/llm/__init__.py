"""What the language models share: the question, the answer's form, waiting, counting, and saying what went wrong."""

from __future__ import annotations
