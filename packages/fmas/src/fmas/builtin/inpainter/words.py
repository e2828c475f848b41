"""What a defect's own words say about how it looks, where its kind leaves that open."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

from fmas.types import Defect

__all__ = ["mentioned"]

ValueT = TypeVar("ValueT")


def mentioned(defect: Defect, vocabulary: Mapping[str, ValueT]) -> ValueT | None:
    """Return what the first word of a vocabulary stands for that the defect's name, or else its prompt, uses.

    Args:
        defect: Its name is looked at before its prompt, and of a prompt what follows the first "with".
        vocabulary: Beginnings of words, in lower case, and what they stand for; earlier ones win.

    Returns:
        The value, or ``None`` when no word occurs.
    """
    # "close-up photo of a glass bottle with a scratch": what the product is made of is no defect.
    before, _, after = defect.prompt.lower().partition(" with ")
    for text in (defect.name.lower(), after or before):
        for word, value in vocabulary.items():
            if re.search(rf"\b{re.escape(word)}", text):
                return value
    return None
