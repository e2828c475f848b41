"""Everything ``wdam`` raises on purpose, in one tree; each also is the built-in error one would expect.

::

    WDAMError
    ├── ShapeError    (ValueError)    rank, channels or size of a tensor
    ├── DtypeError    (TypeError)     a tensor that is not floating point, an option of a wrong type
    ├── OptionError   (ValueError)    a value outside its range, options that exclude each other
    │   └── WaveletError              a wavelet or a mode that does not exist
    ├── BackendError  (RuntimeError)  a backend was asked for by name and cannot run here
    └── ModelError    (ValueError)    a model that a module cannot be inserted into

A message has three parts: what was expected, what arrived, what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "BackendError",
    "BackendWarning",
    "DtypeError",
    "ModelError",
    "OptionError",
    "ShapeError",
    "WDAMError",
    "WaveletError",
    "nearest",
]


class WDAMError(Exception):
    """Base of every error that ``wdam`` raises on purpose."""


class ShapeError(WDAMError, ValueError):
    """A tensor has another rank, other channels or another size than expected."""


class DtypeError(WDAMError, TypeError):
    """A tensor is not floating point, or an option has a wrong type."""


class OptionError(WDAMError, ValueError):
    """An option is outside its range, or two options exclude each other."""


class WaveletError(OptionError):
    """There is no such wavelet or mode, or it cannot be used here."""


class BackendError(WDAMError, RuntimeError):
    """A backend was asked for by name and cannot run here; it is never replaced silently."""


class ModelError(WDAMError, ValueError):
    """A model has no place, or no unambiguous place, for what should be inserted."""


class BackendWarning(UserWarning):
    """``backend="auto"`` met a CUDA tensor and takes plain PyTorch; the message says why. Shown once per reason."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'haar'?"`` for the known name most like ``name``, or ``""`` when none is alike.

    Args:
        name: What the caller wrote.
        known: Every allowed name.
    """
    matches = difflib.get_close_matches(name.lower(), list(known), n=1, cutoff=0.5)
    return f"; did you mean {matches[0]!r}?" if matches else ""
