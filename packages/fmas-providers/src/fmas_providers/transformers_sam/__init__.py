"""SAM, SAM 2 and SAM 3 from transformers: the sculptor that listens to the product's name."""

from __future__ import annotations
