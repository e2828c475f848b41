"""Taking what a plugin says into a file: JSON values only, no secrets, nothing that JSON cannot hold."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from fmas.errors import ComponentError
from fmas.secrecy import first_secret_setting, without_secrets

__all__ = ["json_values"]

_DEEPEST = 20


def json_values(content: object, *, what: str) -> dict[str, object]:
    """Return a mapping as JSON values; numbers of numpy become plain ones, those that are not finite ``None``.

    Args:
        content: What a plugin returned.
        what: Names it in messages.

    Raises:
        ComponentError: If it is no mapping, or holds something that JSON cannot, or a secret.
    """
    if not isinstance(content, Mapping):
        raise ComponentError(f"expected a mapping as {what}, got {type(content).__name__}; mend its plugin")
    if secret := first_secret_setting(content):
        raise ComponentError(f"expected no secret in {what}, got {secret!r}; mend its plugin")
    return {str(key): _value(value, f"{what}, {key}", _DEEPEST) for key, value in content.items()}


def _value(value: object, what: str, depth: int) -> object:
    if depth == 0:
        raise ComponentError(f"expected at most {_DEEPEST} levels in {what}, got more; mend its plugin")
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Mapping):
        return {str(key): _value(one, f"{what}.{key}", depth - 1) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_value(one, what, depth - 1) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return without_secrets(value)
    if value is None or isinstance(value, bool | int):
        return value
    raise ComponentError(f"expected a JSON value as {what}, got {type(value).__name__}; mend its plugin")
