"""Everything ``fmas_evaluate`` raises on purpose.

::

    EvaluateError                  one line for the user: expected, got, what to do
    ├── InvalidInput  (ValueError) values, shapes or numbers of images that cannot be evaluated
    └── InvalidType   (TypeError)  the wrong kind of object or dtype
"""

from __future__ import annotations

__all__ = ["EvaluateError", "InvalidInput", "InvalidType"]


class EvaluateError(Exception):
    """Base of every error that ``fmas_evaluate`` raises on purpose; ``str(error)`` is one line meant for the user."""


class InvalidInput(EvaluateError, ValueError):  # noqa: N818 - reads like the builtin it extends
    """Values, shapes or numbers of images that cannot be evaluated."""


class InvalidType(EvaluateError, TypeError):  # noqa: N818
    """An object or a dtype of the wrong kind."""
